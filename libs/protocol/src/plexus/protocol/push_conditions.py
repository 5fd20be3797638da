"""The conditions of push rules, compiled: each becomes a function of an event and a user.

A condition that is not known, or known but malformed, becomes None: it never matches, and so its rule never
does.

The default rules that name their user are compiled for all users at once: `THIS_USER` stands in the place of
the ID. There the whole ID must be equal: as the glob that the definition makes of it, an old user ID with a
``*`` in it would be mentioned in every room.

Client-Server API, "Push Rules", "Conditions".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from plexus.protocol.globs import MOST_CHARACTERS, Glob, glob
from plexus.protocol.property_paths import split_path
from plexus.protocol.push_event import BODY, EventView, as_entry

THIS_USER: Final = "\0"
"""In a rule: the user whose rule it is. No user ID holds this character."""

Test: TypeAlias = Callable[[EventView, str | None, str | None], bool]
"""(event, user ID, display name in the room) to whether the condition holds. Without a user ID it is for
somebody whom the event does not name."""

_BODY_PATH: Final = split_path(BODY)
MAX_INTEGER: Final = 2**53 - 1
_MEMBER_COUNT = re.compile(r"(==|<|>|>=|<=)?([0-9]+)")
_COMPARISONS: Final[Mapping[str | None, Callable[[int, int], bool]]] = {
    None: operator.eq,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    ">=": operator.ge,
    "<=": operator.le,
}


class Condition(NamedTuple):
    test: Test
    personal: bool = False
    """Whether the answer is another one for each user, beyond what `THIS_USER` stands for."""


def may_step_through(condition: Mapping[str, Any]) -> bool:
    """Whether the condition may look at a text character by character: in search of words, or for a ``?``."""
    key, pattern = condition.get("key"), condition.get("pattern")
    return condition.get("kind") == "contains_display_name" or (
        condition.get("kind") == "event_match"
        and isinstance(key, str)
        and isinstance(pattern, str)
        and ("?" in pattern or split_path(key) == _BODY_PATH)
    )


def compile_condition(
    condition: Mapping[str, Any], *, by_server: bool = False, most: int = MOST_CHARACTERS
) -> Condition | None:
    """What the condition asks; None if nothing can match it.

    Only the server's rules speak of `THIS_USER`. ``most`` is for the `Glob`.
    """
    if not by_server and THIS_USER in (condition.get("pattern"), condition.get("value")):
        return None
    kind = condition.get("kind")
    compiler = _COMPILERS.get(kind) if isinstance(kind, str) else None
    return None if compiler is None else compiler(condition, most)


def _glob_in_words(wanted: Glob, most: int) -> Test:
    def test(event: EventView, user_id: str | None, name: str | None) -> bool:
        body = event.folded(BODY)
        return body is not None and wanted.occurs_in(body, most)

    return test


def _event_match(condition: Mapping[str, Any], most: int) -> Condition | None:
    key, pattern = condition.get("key"), condition.get("pattern")
    if not isinstance(key, str) or not isinstance(pattern, str):
        return None
    if pattern == THIS_USER:
        path = split_path(key)
        return Condition(lambda event, user_id, name: event.value(path) == user_id)
    wanted = glob(pattern)
    if split_path(key) == _BODY_PATH:
        return Condition(_glob_in_words(wanted, most))
    if wanted.is_literal:
        literal = wanted.folded
        return Condition(lambda event, user_id, name: event.folded(key) == literal)

    def test(event: EventView, user_id: str | None, name: str | None) -> bool:
        text = event.folded(key)
        return text is not None and wanted.matches(text, most)

    return Condition(test)


def _event_property_is(condition: Mapping[str, Any], most: int) -> Condition | None:
    key = condition.get("key")
    if not isinstance(key, str) or not _is_comparable(condition):
        return None
    path, wanted = split_path(key), condition["value"]
    of_type = type(wanted)

    def test(event: EventView, user_id: str | None, name: str | None) -> bool:
        value = event.value(path)
        return type(value) is of_type and value == wanted

    return Condition(test)


def _event_property_contains(condition: Mapping[str, Any], most: int) -> Condition | None:
    key = condition.get("key")
    if not isinstance(key, str) or not _is_comparable(condition):
        return None
    if condition["value"] == THIS_USER:
        return Condition(lambda event, user_id, name: user_id in event.entries(key))
    entry = as_entry(condition["value"])
    return Condition(lambda event, user_id, name: entry in event.entries(key))


def _contains_display_name(condition: Mapping[str, Any], most: int) -> Condition:
    def test(event: EventView, user_id: str | None, name: str | None) -> bool:
        if not name:
            return False
        body = event.folded(BODY)
        return body is not None and _name_glob(name).occurs_in(body, most)

    return Condition(test, personal=True)


def _room_member_count(condition: Mapping[str, Any], most: int) -> Condition | None:
    asked = condition.get("is")
    found = _MEMBER_COUNT.fullmatch(asked) if isinstance(asked, str) else None
    if found is None:
        return None
    compare = _COMPARISONS[found[1]]
    # No room is larger than this, and int() refuses very long numbers.
    digits = found[2].lstrip("0") or "0"
    number = int(digits) if len(digits) <= 16 else 10**16
    return Condition(lambda event, user_id, name: compare(event.member_count, number))


def _sender_notification_permission(condition: Mapping[str, Any], most: int) -> Condition | None:
    key = condition.get("key")
    if not isinstance(key, str):
        return None
    return Condition(lambda event, user_id, name: event.sender_may_notify(key))


def _thread_subscription(condition: Mapping[str, Any], most: int) -> Condition | None:
    """MSC4306: whether the event is in a thread, and the user is subscribed to it or is not."""
    wanted = condition.get("subscribed")
    if not isinstance(wanted, bool):
        return None

    def test(event: EventView, user_id: str | None, name: str | None) -> bool:
        return event.subscribers is not None and (user_id in event.subscribers) is wanted

    return Condition(test)


def _is_comparable(condition: Mapping[str, Any]) -> bool:
    """Whether ``value`` is a string, an integer in range, a boolean or null."""
    value = condition.get("value", ...)
    if type(value) is int:
        return abs(value) <= MAX_INTEGER
    return value is None or isinstance(value, str | bool)


@lru_cache(maxsize=4096)
def _name_glob(name: str) -> Glob:
    """A display name is text: its stars are stars."""
    return Glob(name, literal=True)


_COMPILERS: Final[Mapping[str, Callable[[Mapping[str, Any], int], Condition | None]]] = {
    "event_match": _event_match,
    "event_property_is": _event_property_is,
    "event_property_contains": _event_property_contains,
    "contains_display_name": _contains_display_name,
    "room_member_count": _room_member_count,
    "sender_notification_permission": _sender_notification_permission,
    "io.element.msc4306.thread_subscription": _thread_subscription,
}

"""The two spellings of sliding sync: that of today's clients, and that of the accepted proposal.

They differ in where parameters stand, in how state and ranges are named, and in the names of a few members of
the answer. `UNSTABLE` has ``$LAZY`` and ``$ME``, and three filters more.

MSC4186, "API" and "Changelog".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from plexus.platform.lanes import FROM_THE_FIRST, InboxToken
from plexus.protocol.errors import BadJson, InvalidParam
from plexus.sync.sliding.models import (
    MAX_TIMELINE,
    Element,
    Extensions,
    ListConfig,
    RequiredState,
    RoomConfig,
    RoomFilters,
    Scope,
    SlidingRequest,
    ToDevice,
)
from plexus.sync.streams.devices import MESSAGES

MOST_LISTS = 100
MOST_SUBSCRIPTIONS = 100
MOST_SUBSCRIPTIONS_UNSTABLE = 1_000
"""Clients of that form subscribe to what is on the screen, and some keep what was."""
MOST_ELEMENTS = 200
MOST_RANGES = 10
MOST_NAMES = 1_000
LONGEST_CONN_ID = 255
MOST_THREADS = 500
"""Changes of thread subscriptions in one response."""
THREAD_SUBSCRIPTIONS: Final = "io.element.msc4308.thread_subscriptions"
"""In both spellings: it is a proposal of its own, which is not accepted yet."""
_INT_MAX = 2**53 - 1
_PRESENCE: Final = frozenset(("online", "offline", "unavailable"))
_OPAQUE = re.compile(r"[0-9A-Za-z._~-]{1,255}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Codec:
    """``parse`` reads a request, from the query, the body and who asks; the rest are names in the answer."""

    parse: Callable[[Mapping[str, str], dict[str, Any], str], SlidingRequest]
    stripped_state: str
    expanded_timeline: str
    is_stable: bool


def _parse_stable(query: Mapping[str, str], body: dict[str, Any], user_id: str) -> SlidingRequest:
    lists = _object(body, "lists")
    for name in lists:
        if not _OPAQUE.fullmatch(name):
            raise InvalidParam("The name of a list is an opaque identifier")
    return SlidingRequest(
        conn_id=_conn_id(body),
        pos=_text(body, "pos"),
        timeout=(_integer(body, "timeout") or 0) / 1000,
        set_presence=_presence(_text(body, "set_presence")),
        lists={
            name: ListConfig(
                _stable_room(config),
                _filters(_object(config, "filters"), "is_invited"),
                _ranges([config["range"]] if config.get("range") is not None else None),
            )
            for name, config in _entries(lists, MOST_LISTS, "lists")
        },
        subscriptions={
            room_id: _stable_room(config)
            for room_id, config in _entries(
                _object(body, "room_subscriptions"), MOST_SUBSCRIPTIONS, "room_subscriptions"
            )
        },
        extensions=_extensions(_object(body, "extensions")),
    )


def _stable_room(config: dict[str, Any]) -> RoomConfig:
    required = _object(config, "required_state", needed=True)
    lazy = _flag(required, "lazy_members") or False
    state = RequiredState(_elements(required, "include"), _elements(required, "exclude"), lazy)
    return RoomConfig(_limit(config), frozenset((state,)))


def _elements(required: dict[str, Any], key: str) -> frozenset[Element]:
    found = _array(required, key) or ()
    if len(found) > MOST_ELEMENTS:
        raise InvalidParam(f"{key} has at most {MOST_ELEMENTS} elements")
    return frozenset(
        Element(_text(each, "type"), _text(each, "state_key"))
        for each in (_is_object(each, key) for each in found)
    )


def _parse_unstable(query: Mapping[str, str], body: dict[str, Any], user_id: str) -> SlidingRequest:
    timeout = query.get("timeout", "0")
    if not timeout.isascii() or not timeout.isdigit() or len(timeout) > 15:
        raise InvalidParam("timeout is a number of milliseconds")
    return SlidingRequest(
        conn_id=_conn_id(body),
        pos=query.get("pos") or None,
        timeout=int(timeout) / 1000,
        set_presence=_presence(query.get("set_presence")),
        lists={
            name: ListConfig(
                _unstable_room(config, user_id),
                _unstable_filters(_object(config, "filters")),
                _ranges(_array(config, "ranges")),
            )
            for name, config in _entries(_object(body, "lists"), MOST_LISTS, "lists")
        },
        subscriptions={
            room_id: _unstable_room(config, user_id)
            for room_id, config in _entries(
                _object(body, "room_subscriptions"), MOST_SUBSCRIPTIONS_UNSTABLE, "room_subscriptions"
            )
        },
        extensions=_extensions(_object(body, "extensions")),
    )


def _unstable_room(config: dict[str, Any], user_id: str) -> RoomConfig:
    """``required_state`` is a list of (type, state key), with ``*`` for any, ``$ME``, and ``$LAZY``."""
    pairs = _array(config, "required_state") or ()
    if len(pairs) > MOST_ELEMENTS:
        raise InvalidParam(f"required_state has at most {MOST_ELEMENTS} elements")
    include, lazy = set(), False
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(each, str) for each in pair):
            raise BadJson("required_state is a list of types with their state keys")
        type_, state_key = map(_without_nul, pair)
        if type_ == "m.room.member" and state_key == "$LAZY":
            lazy = True
            continue
        include.add(
            Element(
                None if type_ == "*" else type_,
                None if state_key == "*" else user_id if state_key == "$ME" else state_key,
            )
        )
    return RoomConfig(_limit(config), frozenset((RequiredState(frozenset(include), frozenset(), lazy),)))


def _unstable_filters(filters: dict[str, Any]) -> RoomFilters:
    found = _filters(filters, "is_invite")
    name = _text(filters, "room_name_like")
    return replace(
        found,
        favourite=_flag(filters, "is_favourite"),
        unread=_flag(filters, "is_unread"),
        name=None if name is None else name.casefold(),
    )


def _filters(filters: dict[str, Any], invited: str) -> RoomFilters:
    return RoomFilters(
        is_dm=_flag(filters, "is_dm"),
        spaces=_names(filters, "spaces"),
        is_encrypted=_flag(filters, "is_encrypted"),
        is_invited=_flag(filters, invited),
        room_types=_types(filters, "room_types"),
        not_room_types=_types(filters, "not_room_types") or frozenset(),
        tags=_names(filters, "tags"),
        not_tags=_names(filters, "not_tags") or frozenset(),
    )


def _extensions(extensions: dict[str, Any]) -> Extensions:
    to_device = _enabled(extensions, "to_device")
    return Extensions(
        to_device=None
        if to_device is None
        else ToDevice(_inbox(_text(to_device, "since")), _most(to_device, MESSAGES)),
        e2ee=_enabled(extensions, "e2ee") is not None,
        account_data=_scope(_enabled(extensions, "account_data")),
        receipts=_scope(_enabled(extensions, "receipts")),
        typing=_scope(_enabled(extensions, "typing")),
        thread_subscriptions=_most_threads(_enabled(extensions, THREAD_SUBSCRIPTIONS)),
    )


def _enabled(extensions: dict[str, Any], key: str) -> dict[str, Any] | None:
    config = _object(extensions, key)
    return config if _flag(config, "enabled") else None


def _most_threads(config: dict[str, Any] | None) -> int | None:
    if config is None:
        return None
    return min(_most(config, 100), MOST_THREADS)


def _most(config: dict[str, Any], default: int) -> int:
    limit = _integer(config, "limit")
    if limit == 0:
        raise InvalidParam("limit is greater than zero")
    return limit or default


def _scope(config: dict[str, Any] | None) -> Scope | None:
    if config is None:
        return None
    lists, rooms = _names(config, "lists"), _names(config, "rooms")
    return Scope(
        None if lists is None or "*" in lists else lists, None if rooms is None or "*" in rooms else rooms
    )


def _inbox(since: str | None) -> InboxToken:
    return FROM_THE_FIRST if since is None else InboxToken.decode(since)


def _presence(value: str | None) -> str:
    if value is None:
        return "online"
    if value not in _PRESENCE:
        raise InvalidParam("set_presence is online, offline or unavailable")
    return value


def _limit(config: dict[str, Any]) -> int:
    limit = _integer(config, "timeline_limit")
    if limit is None:
        raise BadJson("timeline_limit is missing")
    return min(limit, MAX_TIMELINE)


def _ranges(ranges: Sequence[Any] | None) -> tuple[tuple[int, int], ...] | None:
    if ranges is None:
        return None
    if len(ranges) > MOST_RANGES:
        raise InvalidParam(f"A list has at most {MOST_RANGES} ranges")
    found = []
    for each in ranges:
        if not isinstance(each, list) or len(each) != 2 or not all(type(end) is int for end in each):
            raise BadJson("A range is two integers")
        first, last = each
        if not 0 <= first <= last <= _INT_MAX:
            raise InvalidParam("A range begins at 0 or later and does not end before it begins")
        found.append((first, last))
    return tuple(found)


def _entries(found: dict[str, Any], most: int, name: str) -> list[tuple[str, dict[str, Any]]]:
    if len(found) > most:
        raise InvalidParam(f"{name} has at most {most} entries")
    return [(key, _is_object(value, key)) for key, value in found.items()]


def _names(obj: dict[str, Any], key: str) -> frozenset[str] | None:
    found = _array(obj, key)
    if found is None:
        return None
    if len(found) > MOST_NAMES or not all(isinstance(each, str) for each in found):
        raise BadJson(f"{key} is a list of at most {MOST_NAMES} strings")
    return frozenset(found)


def _types(obj: dict[str, Any], key: str) -> frozenset[str | None] | None:
    found = _array(obj, key)
    if found is None:
        return None
    if len(found) > MOST_NAMES or not all(each is None or isinstance(each, str) for each in found):
        raise BadJson(f"{key} is a list of at most {MOST_NAMES} room types")
    return frozenset(found)


def _is_object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadJson(f"{name} is not an object")
    return value


def _object(obj: dict[str, Any], key: str, *, needed: bool = False) -> dict[str, Any]:
    value = obj.get(key)
    if value is None and not needed:
        return {}
    return _is_object(value, key)


def _of_type(obj: dict[str, Any], key: str, type_: type[T], name: str) -> T | None:
    value = obj.get(key)
    if value is not None and not isinstance(value, type_):
        raise BadJson(f"{key} is not {name}")
    return value


def _text(obj: dict[str, Any], key: str) -> str | None:
    value = _of_type(obj, key, str, "a string")
    return None if value is None else _without_nul(value)


def _without_nul(text: str) -> str:
    """PostgreSQL has no text with a NUL, so nothing is of that name."""
    if "\0" in text:
        raise InvalidParam("A string has a NUL")
    return text


def _conn_id(body: dict[str, Any]) -> str:
    conn_id = _text(body, "conn_id") or ""
    if len(conn_id) > LONGEST_CONN_ID:
        raise InvalidParam(f"conn_id has at most {LONGEST_CONN_ID} characters")
    return conn_id


def _flag(obj: dict[str, Any], key: str) -> bool | None:
    return _of_type(obj, key, bool, "true or false")


def _array(obj: dict[str, Any], key: str) -> list[Any] | None:
    return _of_type(obj, key, list, "a list")


def _integer(obj: dict[str, Any], key: str) -> int | None:
    value = obj.get(key)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= _INT_MAX:
        raise BadJson(f"{key} is not a whole number from 0 on")
    return value


STABLE: Final = Codec(_parse_stable, "stripped_state", "expanded_timeline", True)
UNSTABLE: Final = Codec(_parse_unstable, "invite_state", "unstable_expanded_timeline", False)

"""Rules ``power_levels``. Nobody can give what they have not, or take from their equals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from plexus.protocol.auth_rules.context import Context
from plexus.protocol.identifiers import is_user_id
from plexus.protocol.power_levels import DEFAULTS, LEVEL_READERS

_Read: TypeAlias = Callable[[object], int | None]
"""How the room version reads a level."""


def check_power_levels(context: Context) -> bool:
    """In the order of the rules. Decides."""
    content = context.event.content
    read = LEVEL_READERS[context.version.auth.level_values]
    _check_shapes(context, read, content)
    _check_creators(context, content)
    event = context.state("m.room.power_levels", "")
    if event is None:
        return True  # power_levels.first
    current = event.content
    _check_named(context, _levels(read, current), _levels(read, content))
    for key in context.version.auth.guarded_entries:
        _check_entries(context, _entries(read, current, key), _entries(read, content, key))
    _check_users(context, _entries(read, current, "users"), _entries(read, content, "users"))
    return True


def _check_shapes(context: Context, read: _Read, content: Mapping[str, Any]) -> None:
    if context.version.auth.checks_all_levels:
        for name in DEFAULTS:
            if name in content and read(content[name]) is None:
                raise context.refusal("power_levels.level_shapes", f"{name} is not an integer")
        for key in ("events", "notifications"):
            if key in content and not _holds_levels(read, content[key]):
                raise context.refusal("power_levels.entry_shapes", f"{key} is not an object of integers")
    users = content.get("users", {})
    if not _holds_levels(read, users) or not all(map(is_user_id, users)):
        raise context.refusal("power_levels.users", "users is not an object of user IDs and integers")


def _holds_levels(read: _Read, entries: object) -> bool:
    return isinstance(entries, dict) and None not in map(read, entries.values())


def _check_creators(context: Context, content: Mapping[str, Any]) -> None:
    """``power_levels.creators``: a creator's power is beyond numbers and cannot be given one."""
    if context.version.auth.creators_have_infinite_power and not context.power.creators.isdisjoint(
        content.get("users", ())
    ):
        raise context.refusal("power_levels.creators", "Creators of the room cannot be listed in users")


def _check_named(context: Context, old: Mapping[str, int], new: Mapping[str, int]) -> None:
    """``power_levels.levels``, on what is written in the events: defaults are not values here."""
    level = context.sender_level
    for name, before, after in _changes(old, new, DEFAULTS):
        if before is not None and before > level:
            raise context.refusal("power_levels.levels.before", f"{name} is above your power")
        if after is not None and after > level:
            raise context.refusal("power_levels.levels.after", f"{name} cannot be set above your power")


def _check_entries(context: Context, old: Mapping[str, int], new: Mapping[str, int]) -> None:
    """``power_levels.entries_before`` and ``entries_after``."""
    level = context.sender_level
    for name, before, after in _changes(old, new):
        if before is not None and before > level:
            raise context.refusal(
                "power_levels.entries_before.level", f"The level for {name} is above your power"
            )
        if after is not None and after > level:
            raise context.refusal(
                "power_levels.entries_after.level", f"The level for {name} cannot be set above your power"
            )


def _check_users(context: Context, old: Mapping[str, int], new: Mapping[str, int]) -> None:
    """``power_levels.users_before`` and ``users_after``. One's own entry may be changed or removed; equals
    are out of reach.
    """
    level = context.sender_level
    for user, before, after in _changes(old, new):
        if before is not None and before >= level and user != context.event.sender:
            raise context.refusal("power_levels.users_before.level", f"You have no more power than {user}")
        if after is not None and after > level:
            raise context.refusal(
                "power_levels.users_after.level", f"{user} cannot be given more power than you have"
            )


def _entries(read: _Read, content: Mapping[str, Any], key: str) -> dict[str, int]:
    entries = content.get(key)
    return _levels(read, entries) if isinstance(entries, dict) else {}


def _levels(read: _Read, entries: Mapping[str, Any]) -> dict[str, int]:
    return {name: level for name, value in entries.items() if (level := read(value)) is not None}


def _changes(
    old: Mapping[str, int], new: Mapping[str, int], names: Mapping[str, int] | None = None
) -> Iterator[tuple[str, int | None, int | None]]:
    """(name, level before, level after) of what was added, changed or removed; None stands for absence."""
    for name in names if names is not None else old.keys() | new.keys():
        before, after = old.get(name), new.get(name)
        if before != after:
            yield name, before, after

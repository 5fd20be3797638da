"""Rules ``power_levels``. Nobody can give what they have not, or take from their equals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plexus.protocol.auth_rules.context import Context
from plexus.protocol.identifiers import is_user_id
from plexus.protocol.power_levels import DEFAULTS, LEVEL_READERS


def check_power_levels(context: Context) -> bool:
    """In the order of the rules. Decides."""
    content = context.event.content
    _check_shape(context, content)
    _check_creators(context, content)
    current = context.state("m.room.power_levels", "")
    if current is None:
        return True  # power_levels.first
    _check_named(context, current.content, content)
    for key in context.version.auth.guarded_entries:
        _check_entries(context, _entries(current.content, key), _entries(content, key))
    _check_users(context, _entries(current.content, "users"), _entries(content, "users"))
    return True


def _check_shape(context: Context, content: Mapping[str, Any]) -> None:
    read = LEVEL_READERS[context.version.auth.level_values]
    if context.version.auth.checks_all_levels:
        for name in DEFAULTS:
            if name in content and read(content[name]) is None:
                raise context.refusal("power_levels.level_shapes", f"{name} is not an integer")
        for key in ("events", "notifications"):
            _check_entry_shapes(context, content, key, "power_levels.entry_shapes")
    _check_entry_shapes(context, content, "users", "power_levels.users")
    if not all(is_user_id(user) for user in content.get("users", ())):
        raise context.refusal("power_levels.users", "users has a key that is not a user ID")


def _check_entry_shapes(context: Context, content: Mapping[str, Any], key: str, rule: str) -> None:
    if key not in content:
        return
    read = LEVEL_READERS[context.version.auth.level_values]
    entries = content[key]
    if not isinstance(entries, dict) or any(read(level) is None for level in entries.values()):
        raise context.refusal(rule, f"{key} is not an object of integers")


def _check_creators(context: Context, content: Mapping[str, Any]) -> None:
    """``power_levels.creators``: a creator's power is beyond numbers and cannot be given one."""
    if context.version.auth.creators_have_infinite_power and not context.power.creators.isdisjoint(
        content.get("users", ())
    ):
        raise context.refusal("power_levels.creators", "Creators of the room cannot be listed in users")


def _check_named(context: Context, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """``power_levels.levels``, on what is written in the events: defaults are not values here."""
    level = context.sender_level
    for name, before, after in _changes(_levels(context, old), _levels(context, new), DEFAULTS):
        if before is not None and before > level:
            raise context.refusal("power_levels.levels.before", f"{name} is above your power")
        if after is not None and after > level:
            raise context.refusal("power_levels.levels.after", f"{name} cannot be set above your power")


def _check_entries(context: Context, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """``power_levels.entries_before`` and ``entries_after``."""
    level = context.sender_level
    for name, before, after in _changes(_levels(context, old), _levels(context, new)):
        if before is not None and before > level:
            raise context.refusal(
                "power_levels.entries_before.level", f"The level for {name} is above your power"
            )
        if after is not None and after > level:
            raise context.refusal(
                "power_levels.entries_after.level", f"The level for {name} cannot be set above your power"
            )


def _check_users(context: Context, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """``power_levels.users_before`` and ``users_after``. One's own entry may be changed or removed; equals
    are out of reach.
    """
    level = context.sender_level
    for user, before, after in _changes(_levels(context, old), _levels(context, new)):
        if before is not None and before >= level and user != context.event.sender:
            raise context.refusal("power_levels.users_before.level", f"You have no more power than {user}")
        if after is not None and after > level:
            raise context.refusal(
                "power_levels.users_after.level", f"{user} cannot be given more power than you have"
            )


def _entries(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    entries = content.get(key)
    return entries if isinstance(entries, dict) else {}


def _levels(context: Context, entries: Mapping[str, Any]) -> dict[str, int]:
    read = LEVEL_READERS[context.version.auth.level_values]
    return {name: level for name, value in entries.items() if (level := read(value)) is not None}


def _changes(
    old: Mapping[str, int], new: Mapping[str, int], names: Mapping[str, int] | None = None
) -> Iterator[tuple[str, int | None, int | None]]:
    """(name, level before, level after) of what was added, changed or removed; None stands for absence."""
    for name in names if names is not None else old.keys() | new.keys():
        before, after = old.get(name), new.get(name)
        if before != after:
            yield name, before, after

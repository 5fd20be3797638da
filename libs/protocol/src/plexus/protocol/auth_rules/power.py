"""Rule 10: m.room.power_levels. Nobody can give what they have not, or take from their equals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plexus.protocol.auth_rules.context import Context
from plexus.protocol.errors import AuthRejected
from plexus.protocol.identifiers import is_user_id
from plexus.protocol.power_levels import DEFAULTS, read_lenient_level, read_level


def check_power_levels(context: Context) -> bool:
    """Rule 10 in its order. Decides."""
    content = context.event.content
    _check_shape(context, content)
    _check_creators(context, content)
    current = context.state("m.room.power_levels", "")
    if current is None:
        return True  # 10.5
    _check_named(context, current.content, content)
    for key in ("events", "notifications"):
        _check_entries(context, _entries(current.content, key), _entries(content, key))
    _check_users(context, _entries(current.content, "users"), _entries(content, "users"))
    return True


def _check_shape(context: Context, content: Mapping[str, Any]) -> None:
    read = read_level if context.version.auth.integer_power_levels else read_lenient_level
    for name in DEFAULTS:
        if name in content and read(content[name]) is None:
            raise AuthRejected("10.1", f"{name} is not an integer")
    for key, rule in (("events", "10.2"), ("notifications", "10.2"), ("users", "10.3")):
        if key not in content:
            continue
        entries = content[key]
        if not isinstance(entries, dict) or any(read(level) is None for level in entries.values()):
            raise AuthRejected(rule, f"{key} is not an object of integers")
    if not all(is_user_id(user) for user in content.get("users", ())):
        raise AuthRejected("10.3", "users has a key that is not a user ID")


def _check_creators(context: Context, content: Mapping[str, Any]) -> None:
    """Rule 10.4: a creator's power is beyond numbers and cannot be given one."""
    if context.version.auth.creators_have_infinite_power and not context.power.creators.isdisjoint(
        content.get("users", ())
    ):
        raise AuthRejected("10.4", "Creators of the room cannot be listed in users")


def _check_named(context: Context, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Rule 10.6, on what is written in the events: defaults are not values here."""
    level = context.sender_level
    for name, before, after in _changes(_levels(context, old), _levels(context, new), DEFAULTS):
        if before is not None and before > level:
            raise AuthRejected("10.6.1", f"{name} is above your power")
        if after is not None and after > level:
            raise AuthRejected("10.6.2", f"{name} cannot be set above your power")


def _check_entries(context: Context, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Rules 10.7 and 10.8."""
    level = context.sender_level
    for name, before, after in _changes(_levels(context, old), _levels(context, new)):
        if before is not None and before > level:
            raise AuthRejected("10.7.1", f"The level for {name} is above your power")
        if after is not None and after > level:
            raise AuthRejected("10.8.1", f"The level for {name} cannot be set above your power")


def _check_users(context: Context, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Rules 10.9 and 10.10. One's own entry may be changed or removed; equals are out of reach."""
    level = context.sender_level
    for user, before, after in _changes(_levels(context, old), _levels(context, new)):
        if before is not None and before >= level and user != context.event.sender:
            raise AuthRejected("10.9.1", f"You have no more power than {user}")
        if after is not None and after > level:
            raise AuthRejected("10.10.1", f"{user} cannot be given more power than you have")


def _entries(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    entries = content.get(key)
    return entries if isinstance(entries, dict) else {}


def _levels(context: Context, entries: Mapping[str, Any]) -> dict[str, int]:
    read = read_level if context.version.auth.integer_power_levels else read_lenient_level
    return {name: level for name, value in entries.items() if (level := read(value)) is not None}


def _changes(
    old: Mapping[str, int], new: Mapping[str, int], names: Mapping[str, int] | None = None
) -> Iterator[tuple[str, int | None, int | None]]:
    """(name, level before, level after) of what was added, changed or removed; None stands for absence."""
    for name in names if names is not None else old.keys() | new.keys():
        before, after = old.get(name), new.get(name)
        if before != after:
            yield name, before, after

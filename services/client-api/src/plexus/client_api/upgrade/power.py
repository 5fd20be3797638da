"""Who may do what in the room that replaces another. Pure.

The levels are those of the old room, with what the change of version makes necessary:

- Where creators stand above all numbers they must not be listed; the level for m.room.tombstone is then
  explicit and above ``state_default``, and above the usual 100 if the old room knew no such creators, because
  whoever upgrades such a room gains power over everybody (MSC4289).
- A creator of the old room who is none of the new one keeps `CREATOR_LEVEL`, as a creator has where power has
  an end. Who upgrades has at least the highest level that anything in the room needs.
- Levels that the new version does not take, strings for instance, become integers or go.

To send the rest of the state the one who upgrades may need more power than they had. So in the versions in
which creators are nothing special there are two events: the first raises them, the last puts them back.

Client-Server API, "m.room.power_levels" and "Room Upgrades".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plexus.protocol.canonical_json import MAX_INTEGER, check
from plexus.protocol.errors import BadJson
from plexus.protocol.identifiers import is_user_id
from plexus.protocol.power_levels import DEFAULTS, INFINITE, LEVEL_READERS, CreateEvent, PowerLevels
from plexus.protocol.room_versions import RoomVersion

CREATOR_LEVEL = 100
TOMBSTONE_LEVEL = 150
RESTRICTED_LEVEL = 50
"""To send and to invite in the old room afterwards, at least."""


@dataclass(frozen=True, slots=True)
class NewPower:
    """``first`` is the content to begin with, ``last`` the one to end with if that is another; ``limit`` is
    the level below which a user can be banned in between.
    """

    first: dict[str, Any]
    last: dict[str, Any] | None
    limit: int


def new_power(
    old_version: RoomVersion,
    old_content: Mapping[str, Any] | None,
    old_create: CreateEvent,
    version: RoomVersion,
    upgrader: str,
    additional_creators: list[str],
) -> NewPower:
    """The power levels of a room of ``version`` that replaces another."""
    old = PowerLevels.of(old_version, old_content, old_create)
    content = _cleaned(old_version, old_content or {})
    users: dict[str, int] = content.get("users", {})
    if old_version.auth.creators_have_infinite_power or old_content is None:
        # Their power came of being creators.
        for creator in filter(is_user_id, old.creators):
            users.setdefault(creator, CREATOR_LEVEL)
    content["users"] = users
    if version.auth.creators_have_infinite_power:
        for creator in (upgrader, *additional_creators):
            users.pop(creator, None)
        events = content.setdefault("events", {})
        before = None if old_version.auth.creators_have_infinite_power else TOMBSTONE_LEVEL
        events["m.room.tombstone"] = _tombstone_level(content, before)
        return NewPower(content, None, INFINITE)
    highest = _highest(content)
    if old.user_level(upgrader) == INFINITE:
        users[upgrader] = highest
    limit = max(highest, users.get(upgrader, 0))
    raised = {**content, "users": {**users, upgrader: limit}}
    return NewPower(raised, None if raised["users"] == users else content, limit)


def restricted(
    version: RoomVersion, content: Mapping[str, Any] | None, create: CreateEvent
) -> dict[str, Any] | None:
    """The power levels of the old room, so that nobody goes on in it; None if they are so already.

    "setting events_default and invite to the greater of 50 and users_default + 1", or leaving them where they
    are higher.
    """
    power = PowerLevels.of(version, content, create)
    least = max(RESTRICTED_LEVEL, power.named_level("users_default") + 1)
    changed = {name: least for name in ("events_default", "invite") if power.named_level(name) < least}
    if not changed:
        return None
    new = {**(content or {}), **changed}
    if content is None and not version.auth.creators_have_infinite_power:
        # Without such an event creators had their power by being creators.
        new["users"] = dict.fromkeys(sorted(power.creators), CREATOR_LEVEL)
    return new


def is_canonical(value: object) -> bool:
    """Whether this can stand in a new event: old versions let floats and any integer pass."""
    try:
        check(value)
    except BadJson:
        return False
    return True


def _cleaned(version: RoomVersion, old: Mapping[str, Any]) -> dict[str, Any]:
    """The content as the old version reads it: integers where levels belong, and nothing that is not one."""
    read = LEVEL_READERS[version.auth.level_values]

    def level(value: object) -> int | None:
        found = read(value)
        return None if found is None else max(-MAX_INTEGER, min(found, MAX_INTEGER))

    content = {key: value for key, value in old.items() if key not in DEFAULTS and is_canonical(value)}
    for name in DEFAULTS:
        if (found := level(old.get(name))) is not None:
            content[name] = found
    for name in ("events", "notifications", "users"):
        content.pop(name, None)
        entries = old.get(name)
        if isinstance(entries, dict):
            content[name] = {
                key: found for key, value in entries.items() if (found := level(value)) is not None
            }
    if "users" in content:
        content["users"] = {user: power for user, power in content["users"].items() if is_user_id(user)}
    return content


def _highest(content: Mapping[str, Any]) -> int:
    """The highest level that anything needs."""
    levels: list[int] = [content.get(name, DEFAULTS[name]) for name in DEFAULTS]
    levels += content.get("events", {}).values()
    return max(CREATOR_LEVEL, *levels)


def _tombstone_level(content: Mapping[str, Any], least: int | None) -> int:
    state_default: int = content.get("state_default", DEFAULTS["state_default"])
    level: int | None = content["events"].get("m.room.tombstone")
    if level is None or level <= state_default:
        level = max(TOMBSTONE_LEVEL, min(state_default + 1, MAX_INTEGER))
    return max(level, least or level)

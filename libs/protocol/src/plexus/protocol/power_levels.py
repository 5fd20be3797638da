"""Power levels: who may do what, read from m.room.power_levels with its defaults.

A `PowerLevels` is a view of one room at one point: the content of the power levels event (None if there is
none) and the creators. Creators stand above every number where the room version says so; otherwise they have
100 as long as there is no power levels event.

Client-Server API, "m.room.power_levels"; Server-Server API, "Definitions"; room version 12, "Authorisation
rules".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Protocol

from plexus.protocol.errors import BadJson
from plexus.protocol.room_versions import LevelValues, RoomVersion

INFINITE = 2**62
"""The level of a creator: above every integer that canonical JSON can hold."""

DEFAULTS: Mapping[str, int] = {
    "users_default": 0,
    "events_default": 0,
    "state_default": 50,
    "ban": 50,
    "kick": 50,
    "redact": 50,
    "invite": 0,
}
"""What applies for a key that m.room.power_levels does not have."""

# int() would take underscores and the digits of all scripts too, and stops at 4300 digits.
_STRING_LEVEL = re.compile(r"\s*[+-]?[0-9]{1,4000}\s*")

DEFAULT_NOTIFICATION_LEVEL = 50
CREATOR_LEVEL_WITHOUT_EVENT = 100


class CreateEvent(Protocol):
    """What is read of m.room.create."""

    @property
    def sender(self) -> str: ...
    @property
    def content(self) -> Mapping[str, Any]: ...


def creators_of(version: RoomVersion, create: CreateEvent) -> frozenset[str]:
    """The room's creators: the sender, in older versions the ``creator``, in newer ones the additional ones
    too.
    """
    content = create.content
    if version.auth.create_needs_creator:
        creator = content.get("creator")
        return frozenset((creator,)) if isinstance(creator, str) else frozenset()
    creators = frozenset((create.sender,))
    additional = content.get("additional_creators") if version.auth.additional_creators else None
    if isinstance(additional, list):
        return creators.union(user for user in additional if isinstance(user, str))
    return creators


class PowerLevels:
    """The power levels in force. Nothing is copied; a level is looked up when it is asked for."""

    __slots__ = ("_content", "_creator_level", "_read", "_users", "creators")

    def __init__(
        self,
        version: RoomVersion,
        content: Mapping[str, Any] | None,
        creators: frozenset[str],
    ) -> None:
        self._content: Mapping[str, Any] = {} if content is None else content
        self.creators = creators
        self._creator_level: int | None = None
        if version.auth.creators_have_infinite_power:
            self._creator_level = INFINITE
        elif content is None:
            self._creator_level = CREATOR_LEVEL_WITHOUT_EVENT
        self._read = LEVEL_READERS[version.auth.level_values]
        users = self._content.get("users")
        self._users: Mapping[str, Any] = users if isinstance(users, dict) else {}

    @classmethod
    def of(cls, version: RoomVersion, content: Mapping[str, Any] | None, create: CreateEvent) -> PowerLevels:
        """From the content of the room's power levels event, if any, and its create event."""
        return cls(version, content, creators_of(version, create))

    def user_level(self, user_id: str) -> int:
        if self._creator_level is not None and user_id in self.creators:
            return self._creator_level
        level = self._read(self._users.get(user_id))
        return self.named_level("users_default") if level is None else level

    def event_level(self, type: str, is_state: bool) -> int:
        """The required power level of an event type."""
        events = self._content.get("events")
        if isinstance(events, dict):
            level = self._read(events.get(type))
            if level is not None:
                return level
        return self.named_level("state_default" if is_state else "events_default")

    def named_level(self, name: str) -> int:
        """A level by its key in the content (a key of `DEFAULTS`)."""
        level = self._read(self._content.get(name))
        return DEFAULTS[name] if level is None else level

    @property
    def invite(self) -> int:
        return self.named_level("invite")

    @property
    def kick(self) -> int:
        return self.named_level("kick")

    @property
    def ban(self) -> int:
        return self.named_level("ban")

    @property
    def redact(self) -> int:
        return self.named_level("redact")

    def notification_level(self, key: str) -> int:
        """The level needed to trigger a notification of this kind, such as ``room``."""
        notifications = self._content.get("notifications")
        level = self._read(notifications.get(key)) if isinstance(notifications, dict) else None
        return DEFAULT_NOTIFICATION_LEVEL if level is None else level

    def can_send(self, user_id: str, type: str, is_state: bool) -> bool:
        return self.user_level(user_id) >= self.event_level(type, is_state)

    def can_redact(self, user_id: str) -> bool:
        """Whether this user may redact the events of others (Client-Server API, "Redactions")."""
        return self.user_level(user_id) >= self.redact


def check_own_levels(version: RoomVersion, content: Mapping[str, Any]) -> None:
    """`BadJson` for levels that are no integers, in an event of our own users.

    The room versions that take strings or floats do so for the sake of what was sent long ago; new ones are
    not to be made (Server-Server API, "Definitions"). In the others the authorisation rules say no.
    """
    if version.auth.checks_all_levels:
        return
    levels = [content[name] for name in DEFAULTS if name in content]
    for key in ("events", "notifications", "users"):
        entries = content.get(key, {})
        levels += entries.values() if isinstance(entries, dict) else [entries]
    if any(read_level(level) is None for level in levels):
        raise BadJson("Power levels are integers")


def read_level(value: object) -> int | None:
    """A level that must be an integer; None if there is none."""
    return value if type(value) is int else None


def read_string_level(value: object) -> int | None:
    """A level of the room versions that take a string holding an integer too (room version 6)."""
    if isinstance(value, str):
        return int(value) if _STRING_LEVEL.fullmatch(value) else None
    return read_level(value)


def read_float_level(value: object) -> int | None:
    """A level of the room versions that take a float too, of which the fraction is cut off (room version
    1).
    """
    if isinstance(value, float):
        return int(value) if isfinite(value) else None
    return read_string_level(value)


LEVEL_READERS: Mapping[LevelValues, Callable[[object], int | None]] = {
    "integers": read_level,
    "strings": read_string_level,
    "floats": read_float_level,
}
"""How a level is read, by `AuthorisationRules.level_values`."""

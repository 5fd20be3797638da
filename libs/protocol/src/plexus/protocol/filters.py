"""Filters: which events a client wants.

`Filter.parse` reads and checks a client's filter once; after that `EventFilter.matches` answers per event. The
flags ``is_everything`` let the hot path skip filtering altogether, which is the common case.

Senders and rooms match exactly, types may hold ``*``. What is excluded stays excluded even if also included.

Client-Server API, "Filtering"; Appendices, "Dot-separated property paths".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Self

from plexus.protocol.errors import BadJson, InvalidParam
from plexus.protocol.identifiers import is_room_id, is_user_id

MAX_ENTRIES = 1000
"""Entries in one list of a filter. Ours: a filter is kept and run for every event."""

MAX_WILDCARDS = 16


@dataclass(frozen=True, slots=True)
class EventFilter:
    """``EventFilter`` and ``RoomEventFilter`` in one: the members of the latter are unset in the former.

    ``types`` and the like are None if absent: everything; an empty set lets nothing through.
    """

    limit: int | None = None
    types: frozenset[str] | None = None
    not_types: frozenset[str] = frozenset()
    senders: frozenset[str] | None = None
    not_senders: frozenset[str] = frozenset()
    rooms: frozenset[str] | None = None
    not_rooms: frozenset[str] = frozenset()
    contains_url: bool | None = None
    lazy_load_members: bool = False
    include_redundant_members: bool = False
    unread_thread_notifications: bool = False
    is_everything: bool = field(init=False, default=True)
    _type: re.Pattern[str] | None = field(init=False, default=None, repr=False)
    _not_type: re.Pattern[str] | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        everything = (
            self.types is None
            and self.senders is None
            and self.rooms is None
            and self.contains_url is None
            and not (self.not_types or self.not_senders or self.not_rooms)
        )
        object.__setattr__(self, "is_everything", everything)
        object.__setattr__(self, "_type", _pattern(self.types))
        object.__setattr__(self, "_not_type", _pattern(self.not_types))

    @classmethod
    def parse(cls, obj: object, *, of_room: bool = False, where: str = "filter") -> Self:
        """Read ``EventFilter``, or ``RoomEventFilter`` if ``of_room``. Raises `BadJson` or `InvalidParam`."""
        data = _object(obj, where)
        shared: dict[str, Any] = {
            "limit": _limit(data, where),
            "types": _texts(data, "types", where),
            "not_types": _texts(data, "not_types", where) or frozenset(),
            "senders": _users(data, "senders", where),
            "not_senders": _users(data, "not_senders", where) or frozenset(),
        }
        if not of_room:
            return cls(**shared)
        return cls(
            **shared,
            rooms=_rooms(data, "rooms", where),
            not_rooms=_rooms(data, "not_rooms", where) or frozenset(),
            contains_url=_flag(data, "contains_url", where),
            lazy_load_members=_flag(data, "lazy_load_members", where) or False,
            include_redundant_members=_flag(data, "include_redundant_members", where) or False,
            unread_thread_notifications=_flag(data, "unread_thread_notifications", where) or False,
        )

    def matches(
        self,
        type: str,
        sender: str | None,
        room_id: str | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> bool:
        """Whether an event passes. An event without sender or room is only stopped by a list of those to include."""
        return self.is_everything or (
            self.matches_type(type)
            and (self.senders is None or sender in self.senders)
            and sender not in self.not_senders
            and (room_id is None or self.matches_room(room_id))
            and (self.contains_url is None or self.contains_url == ("url" in (content or ())))
        )

    def matches_type(self, type: str) -> bool:
        if self.types is not None and type not in self.types and not _found(self._type, type):
            return False
        return type not in self.not_types and not _found(self._not_type, type)

    def matches_room(self, room_id: str) -> bool:
        return room_id not in self.not_rooms and (self.rooms is None or room_id in self.rooms)

    @property
    def is_nothing(self) -> bool:
        """Whether no event at all can pass, as for ``{"types": []}``."""
        return any(wanted is not None and not wanted for wanted in (self.types, self.senders, self.rooms))


EVERYTHING = EventFilter()


@dataclass(frozen=True, slots=True)
class RoomFilter:
    """``RoomFilter``: which rooms, and a filter for each of their sections."""

    rooms: frozenset[str] | None = None
    not_rooms: frozenset[str] = frozenset()
    include_leave: bool = False
    state: EventFilter = EVERYTHING
    timeline: EventFilter = EVERYTHING
    ephemeral: EventFilter = EVERYTHING
    account_data: EventFilter = EVERYTHING

    @classmethod
    def parse(cls, obj: object) -> Self:
        data = _object(obj, "room")
        sections = {
            name: EventFilter.parse(data[name], of_room=True, where=f"room.{name}")
            for name in ("state", "timeline", "ephemeral", "account_data")
            if data.get(name) is not None
        }
        return cls(
            rooms=_rooms(data, "rooms", "room"),
            not_rooms=_rooms(data, "not_rooms", "room") or frozenset(),
            include_leave=_flag(data, "include_leave", "room") or False,
            **sections,
        )

    def matches(self, room_id: str) -> bool:
        return room_id not in self.not_rooms and (self.rooms is None or room_id in self.rooms)

    @property
    def is_everything(self) -> bool:
        """Whether every room is wanted; its sections have flags of their own."""
        return self.rooms is None and not self.not_rooms


EVERY_ROOM = RoomFilter()


@dataclass(frozen=True, slots=True)
class Filter:
    """A whole filter, as stored by the filter endpoint and given to /sync."""

    room: RoomFilter = EVERY_ROOM
    presence: EventFilter = EVERYTHING
    account_data: EventFilter = EVERYTHING
    event_fields: tuple[str, ...] | None = None
    event_format: Literal["client", "federation"] = "client"

    @classmethod
    def parse(cls, obj: object) -> Self:
        """Read a filter. `BadJson` for wrong types, `InvalidParam` for wrong values; unknown keys are ignored."""
        data = _object(obj, "filter")
        event_format = data.get("event_format", "client")
        if event_format not in ("client", "federation"):
            raise InvalidParam("event_format is client or federation")
        fields = _list(data, "event_fields", "filter")
        return cls(
            room=EVERY_ROOM if data.get("room") is None else RoomFilter.parse(data["room"]),
            presence=_section(data, "presence"),
            account_data=_section(data, "account_data"),
            event_fields=None if fields is None else tuple(fields),
            event_format=event_format,
        )

    @property
    def lazy_load_members(self) -> bool:
        """Lazy-loading is asked for on the state section (Client-Server API, "Lazy-loading room members")."""
        return self.room.state.lazy_load_members

    @property
    def include_redundant_members(self) -> bool:
        return self.room.state.include_redundant_members

    @property
    def unread_thread_notifications(self) -> bool:
        return self.room.timeline.unread_thread_notifications

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out and nothing rewritten."""
        room = self.room
        return (
            self.event_fields is None
            and self.event_format == "client"
            and room.is_everything
            and room.state.is_everything
            and room.timeline.is_everything
            and room.ephemeral.is_everything
            and room.account_data.is_everything
            and self.presence.is_everything
            and self.account_data.is_everything
        )


def apply_event_fields(event: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The event with only these properties, each a dot-separated path. Absent ones are left out."""
    kept: dict[str, Any] = {}
    for path in fields:
        *parents, last = split_path(path)
        source: Any = event
        for name in parents:
            source = source.get(name) if isinstance(source, Mapping) else None
        if not isinstance(source, Mapping) or last not in source:
            continue
        target: Any = kept
        for name in parents:
            target = target.setdefault(name, {})
        # Copied, so that a longer path below this one does not write into the caller's event.
        target[last] = deepcopy(source[last])
    return kept


@lru_cache(maxsize=1024)
def split_path(path: str) -> tuple[str, ...]:
    r"""The property names of a dot-separated path; ``\.`` and ``\\`` stand for a dot and a backslash in a name."""
    names = [""]
    escaped = False
    for character in path:
        if escaped:
            # Other escapes are reserved and stand for themselves, backslash included.
            names[-1] += character if character in ".\\" else "\\" + character
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ".":
            names.append("")
        else:
            names[-1] += character
    if escaped:
        names[-1] += "\\"
    return tuple(names)


def _pattern(types: frozenset[str] | None) -> re.Pattern[str] | None:
    """One expression for all entries with wildcards; None without any, so that plain lists stay set look-ups."""
    globs = sorted(entry for entry in types or () if "*" in entry)
    if not globs:
        return None
    return re.compile("|".join(".*".join(map(re.escape, re.split(r"\*+", glob))) for glob in globs), re.DOTALL)


def _found(pattern: re.Pattern[str] | None, type: str) -> bool:
    return pattern is not None and pattern.fullmatch(type) is not None


def _object(obj: object, where: str) -> dict[str, Any]:
    if not isinstance(obj, dict):
        raise BadJson(f"{where} must be an object")
    return obj


def _section(data: Mapping[str, Any], key: str) -> EventFilter:
    return EVERYTHING if data.get(key) is None else EventFilter.parse(data[key], where=key)


def _list(data: Mapping[str, Any], key: str, where: str) -> list[str] | None:
    value = data.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise BadJson(f"{where}.{key} must be a list of strings")
    if len(value) > MAX_ENTRIES:
        raise InvalidParam(f"{where}.{key} has more than {MAX_ENTRIES} entries")
    return value


def _texts(data: Mapping[str, Any], key: str, where: str) -> frozenset[str] | None:
    value = _list(data, key, where)
    if value is None:
        return None
    # Each wildcard multiplies the work of a match that fails; event types have at most a handful of parts.
    if any(entry.count("*") > MAX_WILDCARDS for entry in value):
        raise InvalidParam(f"{where}.{key} has an entry with more than {MAX_WILDCARDS} wildcards")
    return frozenset(value)


def _users(data: Mapping[str, Any], key: str, where: str) -> frozenset[str] | None:
    value = _list(data, key, where)
    if value is not None and not all(is_user_id(entry) for entry in value):
        raise InvalidParam(f"{where}.{key} holds what is not a user ID")
    return None if value is None else frozenset(value)


def _rooms(data: Mapping[str, Any], key: str, where: str) -> frozenset[str] | None:
    value = _list(data, key, where)
    if value is not None and not all(is_room_id(entry) for entry in value):
        raise InvalidParam(f"{where}.{key} holds what is not a room ID")
    return None if value is None else frozenset(value)


def _flag(data: Mapping[str, Any], key: str, where: str) -> bool | None:
    value = data.get(key)
    if value is not None and not isinstance(value, bool):
        raise BadJson(f"{where}.{key} must be true or false")
    return value


def _limit(data: Mapping[str, Any], where: str) -> int | None:
    value = data.get("limit")
    if value is None:
        return None
    if type(value) is not int:
        raise BadJson(f"{where}.limit must be an integer")
    if value <= 0:
        raise InvalidParam(f"{where}.limit must be greater than 0")
    return value

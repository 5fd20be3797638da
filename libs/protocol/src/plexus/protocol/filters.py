"""Filters: which events a client wants.

`Filter.parse` reads and checks a client's filter once; after that `EventFilter.matches` answers per event.
The flags ``is_everything`` let the hot path skip filtering altogether, which is the common case.

Senders and rooms match exactly, types may hold ``*``. What is excluded stays excluded even if also included.

Client-Server API, "Filtering".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from plexus.protocol.errors import InvalidParam
from plexus.protocol.filter_parsing import (
    Glob,
    any_glob_matches,
    globs_of,
    read_flag,
    read_limit,
    read_list,
    read_object,
    read_rooms,
    read_texts,
    read_users,
)
from plexus.protocol.property_paths import apply_event_fields, without_redundant

__all__ = ["EVERYTHING", "EVERY_ROOM", "EventFilter", "Filter", "RoomFilter", "apply_event_fields"]


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
    is_nothing: bool = field(init=False, default=False)
    """Whether no event at all can pass, as for ``{"types": []}`` and ``{"not_types": ["*"]}``."""
    _type: tuple[Glob, ...] = field(init=False, default=(), repr=False)
    _not_type: tuple[Glob, ...] = field(init=False, default=(), repr=False)

    def __post_init__(self) -> None:
        everything = (
            self.types is None
            and self.senders is None
            and self.rooms is None
            and self.contains_url is None
            and not (self.not_types or self.not_senders or self.not_rooms)
        )
        object.__setattr__(self, "is_everything", everything)
        nothing = "*" in self.not_types or any(
            wanted is not None and not wanted for wanted in (self.types, self.senders, self.rooms)
        )
        object.__setattr__(self, "is_nothing", nothing)
        object.__setattr__(self, "_type", globs_of(self.types))
        object.__setattr__(self, "_not_type", globs_of(self.not_types))

    @classmethod
    def parse(cls, obj: object, *, of_room: bool = False, where: str = "filter") -> Self:
        """Read ``EventFilter``, or ``RoomEventFilter`` if ``of_room``. Raises `BadJson` or `InvalidParam`."""
        data = read_object(obj, where)
        shared: dict[str, Any] = {
            "limit": read_limit(data, where),
            "types": read_texts(data, "types", where),
            "not_types": read_texts(data, "not_types", where) or frozenset(),
            "senders": read_users(data, "senders", where),
            "not_senders": read_users(data, "not_senders", where) or frozenset(),
        }
        if not of_room:
            return cls(**shared)
        return cls(
            **shared,
            rooms=read_rooms(data, "rooms", where),
            not_rooms=read_rooms(data, "not_rooms", where) or frozenset(),
            contains_url=read_flag(data, "contains_url", where),
            lazy_load_members=read_flag(data, "lazy_load_members", where) or False,
            include_redundant_members=read_flag(data, "include_redundant_members", where) or False,
            unread_thread_notifications=read_flag(data, "unread_thread_notifications", where) or False,
        )

    def matches(
        self,
        type: str,
        sender: str | None,
        room_id: str | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> bool:
        """Whether an event passes. An event without sender or room is only stopped by a list of those to
        include.
        """
        return self.is_everything or (
            self.matches_type(type)
            and (self.senders is None or sender in self.senders)
            and sender not in self.not_senders
            and (room_id is None or self.matches_room(room_id))
            and (self.contains_url is None or self.contains_url == ("url" in (content or ())))
        )

    def matches_type(self, type: str) -> bool:
        if self.types is not None and type not in self.types and not any_glob_matches(self._type, type):
            return False
        return type not in self.not_types and not any_glob_matches(self._not_type, type)

    def matches_room(self, room_id: str) -> bool:
        return room_id not in self.not_rooms and (self.rooms is None or room_id in self.rooms)


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
        data = read_object(obj, "room")
        sections = {
            name: EventFilter.parse(data[name], of_room=True, where=f"room.{name}")
            for name in ("state", "timeline", "ephemeral", "account_data")
            if data.get(name) is not None
        }
        return cls(
            rooms=read_rooms(data, "rooms", "room"),
            not_rooms=read_rooms(data, "not_rooms", "room") or frozenset(),
            include_leave=read_flag(data, "include_leave", "room") or False,
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
        """Read a filter. `BadJson` for wrong types, `InvalidParam` for wrong values; unknown keys are
        ignored.
        """
        data = read_object(obj, "filter")
        event_format = data.get("event_format", "client")
        if event_format not in ("client", "federation"):
            raise InvalidParam("event_format is client or federation")
        fields = read_list(data, "event_fields", "filter")
        return cls(
            room=EVERY_ROOM if data.get("room") is None else RoomFilter.parse(data["room"]),
            presence=_section(data, "presence"),
            account_data=_section(data, "account_data"),
            event_fields=None if fields is None else without_redundant(fields),
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


def _section(data: Mapping[str, Any], key: str) -> EventFilter:
    return EVERYTHING if data.get(key) is None else EventFilter.parse(data[key], where=key)

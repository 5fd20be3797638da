"""Filters by id and by text, parsed once.

Clients send the same filter with every sync, so what a text says is kept; so is what a filter id of a user
says, since a stored filter never changes. What of a filter shapes the section of a room is a `Shape`; filters
that differ elsewhere only, in the rooms they leave out for instance, share it, and with it the fragments made
for it.

Client-Server API, "Filtering".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import orjson
from plexus.protocol.errors import BadJson, InvalidParam
from plexus.protocol.filters import EventFilter, Filter
from plexus.sync.events import SyncEvent

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
"""Events in a room's timeline, by default and at most."""


class Shape:
    """What of a filter shapes a room's section. Equal by identity: `FilterCache` makes one for each value.

    ``limit`` is how many events a timeline has at most: with 0 all there are count as cut off, unless no
    event is wanted anyway. Of the senders that are ``ignored`` a timeline has the state events only.
    Client-Server API, "Ignoring Users".
    """

    __slots__ = (
        "event_fields",
        "federation",
        "ignored",
        "lazy",
        "limit",
        "redundant",
        "shows_moves",
        "state",
        "timeline",
    )

    def __init__(self, filter: Filter, ignored: frozenset[str] = frozenset()) -> None:
        self.ignored = ignored
        self.timeline = filter.room.timeline
        self.state = filter.room.state
        self.lazy = filter.lazy_load_members
        self.redundant = filter.include_redundant_members
        self.event_fields = filter.event_fields
        self.federation = filter.event_format == "federation"
        self.shows_moves = _shows_moves(self.state)
        limit = DEFAULT_LIMIT if self.timeline.limit is None else self.timeline.limit
        self.limit = 0 if self.timeline.is_nothing else min(limit, MAX_LIMIT)

    @property
    def whole_timeline(self) -> bool:
        """Whether every event of a room is wanted in its timeline."""
        return self.timeline.is_everything and not self.ignored

    @property
    def loads_members(self) -> bool:
        """Whether member events are wanted where they are needed only."""
        return self.lazy and self.state.matches_type("m.room.member")

    def in_timeline(self, event: SyncEvent, room_id: str) -> bool:
        if event.state_key is None and event.sender in self.ignored:
            return False
        return _passes(self.timeline, event, room_id)

    def in_state(self, event: SyncEvent, room_id: str) -> bool:
        return _passes(self.state, event, room_id)


def _shows_moves(wanted: EventFilter) -> bool:
    """Whether nothing that says who shares which rooms is kept out of the state, whoever sent it."""
    any_sender = wanted.senders is None and not wanted.not_senders
    any_room = wanted.rooms is None and not wanted.not_rooms
    any_event = any_sender and any_room and wanted.contains_url is None
    return any_event and all(map(wanted.matches_type, ("m.room.member", "m.room.encryption")))


def _passes(wanted: EventFilter, event: SyncEvent, room_id: str) -> bool:
    return wanted.is_everything or (
        wanted.matches(event.type, event.sender, room_id)
        if wanted.contains_url is None
        else replace(wanted, contains_url=None).matches(event.type, event.sender, room_id)
        and event.has_url == wanted.contains_url
    )


@dataclass(frozen=True, slots=True)
class SyncFilter:
    filter: Filter
    shape: Shape

    def wants_room(self, room_id: str) -> bool:
        return self.filter.room.matches(room_id)


FilterStore = Callable[[str, str], Awaitable["bytes | None"]]
"""(user id, filter id) to the JSON of the stored filter."""


class FilterCache:
    """Keeps ``size`` parsed filters and as many shapes."""

    def __init__(self, stored: FilterStore, size: int = 1024) -> None:
        self._stored = stored
        self._size = size
        self._parsed: OrderedDict[str | tuple[str, str], SyncFilter] = OrderedDict()
        self._shapes: OrderedDict[object, Shape] = OrderedDict()
        self._ignoring: OrderedDict[object, Shape] = OrderedDict()
        self._none = self._shaped(Filter())

    async def get(self, user_id: str, text: str | None) -> SyncFilter:
        """The filter that ``text`` is or names. `BadJson`, `InvalidParam` for a wrong or unknown one."""
        if text is None:
            return self._none
        inline = text[0] == "{"
        key = text if inline else (user_id, text)
        known = self._parsed.get(key)
        if known is not None:
            self._parsed.move_to_end(key)
            return known
        parsed = self._shaped(parse_filter(text if inline else await self._load(user_id, text)))
        _keep(self._parsed, key, parsed, self._size)
        return parsed

    def ignoring(self, found: SyncFilter, ignored: frozenset[str]) -> Shape:
        """The shape of a filter for users who ignore these."""
        key = (found.shape, ignored)
        shape = self._ignoring.get(key)
        if shape is None:
            shape = Shape(found.filter, ignored)
        _keep(self._ignoring, key, shape, self._size)
        return shape

    async def _load(self, user_id: str, filter_id: str) -> bytes:
        stored = await self._stored(user_id, filter_id)
        if stored is None:
            raise InvalidParam("No such filter")
        return stored

    def _shaped(self, filter: Filter) -> SyncFilter:
        value = (filter.room.timeline, filter.room.state, filter.event_fields, filter.event_format)
        shape = self._shapes.get(value)
        if shape is None:
            shape = Shape(filter)
        _keep(self._shapes, value, shape, self._size)
        return SyncFilter(filter, shape)


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _keep(kept: OrderedDict[_Key, _Value], key: _Key, value: _Value, size: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > size:
        kept.popitem(last=False)


def parse_filter(text: str | bytes) -> Filter:
    """`BadJson` for what is not JSON or has wrong types, `InvalidParam` for wrong values."""
    try:
        obj = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadJson("The filter is not JSON") from None
    return Filter.parse(obj)

"""The two orders in which events are replayed."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from plexus.protocol.power_levels import PowerLevels
from plexus.protocol.room_versions import RoomVersion
from plexus.protocol.state_resolution.iterative import create_event_for
from plexus.protocol.state_resolution.lookups import Room, StateEvent

_NOT_ON_MAINLINE = 2**62
"""Stands for the infinite mainline position."""


def power_ordered(version: RoomVersion, room: Room, event_ids: Iterable[str]) -> list[StateEvent]:
    """The reverse topological power ordering: an event comes after those of its auth events that are among
    these; otherwise the one whose sender has more power goes first, then the earlier, then by event ID.
    """
    events = {event_id: room.get(event_id) for event_id in event_ids}
    citing: dict[str, list[StateEvent]] = {event_id: [] for event_id in events}
    waiting_for: dict[str, int] = {}
    for event_id, event in events.items():
        before = [cited for cited in set(event.auth_events) if cited in events]
        waiting_for[event_id] = len(before)
        for cited in before:
            citing[cited].append(event)

    def place(event: StateEvent) -> tuple[int, int, str]:
        return (-sender_level(version, room, event), event.origin_server_ts, event.event_id)

    ready = [place(event) for event_id, event in events.items() if not waiting_for[event_id]]
    heapify(ready)
    ordered: list[StateEvent] = []
    while ready:
        _, _, event_id = heappop(ready)
        ordered.append(events[event_id])
        for event in citing[event_id]:
            waiting_for[event.event_id] -= 1
            if not waiting_for[event.event_id]:
                heappush(ready, place(event))
    if len(ordered) < len(events):
        raise ValueError("The auth events form a cycle")
    return ordered


def sender_level(version: RoomVersion, room: Room, event: StateEvent) -> int:
    """The power of the event's sender by the event's own auth events."""
    levels = room.cited(event, "m.room.power_levels", "")
    create = create_event_for(version, room, event)
    if create is None:
        # Nothing can be authorised without it, so the place of the event does not matter.
        return 0
    return PowerLevels.of(version, None if levels is None else levels.content, create).user_level(
        event.sender
    )


def mainline_ordered(room: Room, levels: StateEvent | None, events: Iterable[StateEvent]) -> list[StateEvent]:
    """The mainline ordering based on the power levels event ``levels``: those that stand on an older power
    levels event go first, then the earlier, then by event ID. Without ``levels`` there is no mainline, and
    all positions are the same.
    """
    mainline = _Mainline(room, levels)
    return sorted(
        events, key=lambda event: (-mainline.position(event), event.origin_server_ts, event.event_id)
    )


class _Mainline:
    """Positions on the mainline, which is followed only as far back as the events asked about."""

    def __init__(self, room: Room, levels: StateEvent | None) -> None:
        self._room = room
        self._end = levels
        self._length = 0
        self._positions: dict[str, int] = {}
        self._is_empty = levels is None
        if levels is not None:
            self._positions[levels.event_id] = 0

    def position(self, event: StateEvent) -> int:
        if self._is_empty:
            return _NOT_ON_MAINLINE
        found = _NOT_ON_MAINLINE
        passed: list[str] = []
        levels = self._before(event)
        while levels is not None:
            self._extend(self._room.rank(levels.event_id))
            known = self._positions.get(levels.event_id)
            if known is not None:
                found = known
                break
            passed.append(levels.event_id)
            levels = self._before(levels)
        for event_id in passed:
            self._positions[event_id] = found
        return found

    def _extend(self, rank: int) -> None:
        while self._end is not None and self._room.rank(self._end.event_id) > rank:
            self._end = self._before(self._end)
            if self._end is not None:
                self._length += 1
                self._positions[self._end.event_id] = self._length

    def _before(self, event: StateEvent) -> StateEvent | None:
        return self._room.cited(event, "m.room.power_levels", "")

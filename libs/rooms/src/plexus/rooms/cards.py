"""What a list of rooms needs to know of each: how active it is, and by what it is filtered.

As of now, and not of a cut: a list that is a moment ahead is put right by the next look. Of a room that
somebody is not in it is as of the last they may see: in which lists a room is tells what these know of it.

MSC4186, "Lists"; "the server MUST NOT send any room information down that the user does not have permission
to see".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from plexus.rooms.ground import Ground
from plexus.rooms.heads import HeadReader
from plexus.rooms.packing import int4, int8
from plexus.rooms.state import StateKey, StateReader
from plexus.rooms.stored import StoredEvent
from plexus.rooms.values import RoomRef, Wanted

# Of a room that the user is not in, what counts is the event by which they came to be so.
_CARDS = """
SELECT q.i - 1, r.head_position, coalesce(own.origin_server_ts, r.active_ts),
       coalesce(own.origin_server_ts, r.bump_ts), made.raw, called.raw, encrypted.is_so IS NOT NULL
  FROM unnest(%s::smallint[], %s::integer[], %s::bigint[]) WITH ORDINALITY AS q (lane, room, own, i)
 CROSS JOIN LATERAL (SELECT * FROM rooms.room r WHERE r.lane = q.lane AND r.room = q.room LIMIT 1) AS r
  LEFT JOIN LATERAL (SELECT e.origin_server_ts FROM rooms.event e
                      WHERE e.lane = q.lane AND e.room = q.room AND e.num = q.own LIMIT 1) AS own ON true
  LEFT JOIN LATERAL (SELECT e.raw FROM rooms.current_state s JOIN rooms.event e USING (lane, room, num)
                      WHERE s.lane = q.lane AND s.room = q.room AND s.type = 'm.room.create'
                        AND s.state_key = '' LIMIT 1) AS made ON true
  LEFT JOIN LATERAL (SELECT e.raw FROM rooms.current_state s JOIN rooms.event e USING (lane, room, num)
                      WHERE s.lane = q.lane AND s.room = q.room AND s.type = 'm.room.name'
                        AND s.state_key = '' LIMIT 1) AS called ON true
  LEFT JOIN LATERAL (SELECT true AS is_so FROM rooms.current_state s
                      WHERE s.lane = q.lane AND s.room = q.room AND s.type = 'm.room.encryption'
                        AND s.state_key = '' LIMIT 1) AS encrypted ON true
"""

_TOLD = Wanted(types=frozenset({"m.room.create", "m.room.name", "m.room.encryption"}))


@dataclass(frozen=True, slots=True)
class Card:
    """``position`` is that of the room's last fact of events; ``active_ts`` and ``bump_ts`` are milliseconds,
    when the last event came in, and the last of those that people call activity. ``type`` is that of the
    m.room.create event, None for an ordinary room.
    """

    position: int
    active_ts: int
    bump_ts: int
    type: str | None
    name: str | None
    encrypted: bool


@dataclass(frozen=True, slots=True)
class Outside:
    """Somebody who is not in a room: the number of their member event, which is when it is to them, and the
    ordinal of the last event whose state they may see.
    """

    num: int
    until: int


class CardReader:
    def __init__(self, ground: Ground, heads: HeadReader, states: StateReader) -> None:
        self._ground = ground
        self._heads = heads
        self._states = states

    async def cards(self, rooms: Sequence[tuple[RoomRef, Outside | None]]) -> dict[RoomRef, Card]:
        """The cards of these rooms to somebody who is in them, or outside. One query, more for the latter."""
        if not rooms:
            return {}
        async with self._ground.db.read() as session:
            rows = await session.fetch(
                _CARDS,
                (
                    int4([ref.lane for ref, _ in rooms]),
                    int4([ref.room for ref, _ in rooms]),
                    int8([None if outside is None else outside.num for _, outside in rooms]),
                ),
            )
        cards = {
            rooms[i][0]: Card(
                position, active, bump, _text_in(created, "type"), _text_in(called, "name"), encrypted
            )
            for i, position, active, bump, created, called, encrypted in rows
        }
        seen = {ref: outside.until for ref, outside in rooms if outside is not None and ref in cards}
        for ref, state in (await self._seen(seen)).items():
            cards[ref] = replace(
                cards[ref],
                type=_content(state, "m.room.create", "type"),
                name=_content(state, "m.room.name", "name"),
                encrypted=("m.room.encryption", "") in state,
            )
        return cards

    async def _seen(self, until: Mapping[RoomRef, int]) -> dict[RoomRef, Mapping[StateKey, StoredEvent]]:
        """What the cards tell of the states after some ordinals."""
        if not until:
            return {}
        snapshots = await self._heads.snapshots_upto(list(until.items()))
        found = [
            (ref, 0 if snapshot is None else snapshot) for ref, snapshot in zip(until, snapshots, strict=True)
        ]
        states = await self._states.states([(ref, snapshot, _TOLD) for ref, snapshot in found])
        return {ref: state for (ref, _), state in zip(found, states, strict=True)}


def _content(state: Mapping[StateKey, StoredEvent], type_: str, key: str) -> str | None:
    event = state.get((type_, ""))
    value = None if event is None else event.content.get(key)
    return value if isinstance(value, str) else None


def _text_in(raw: bytes | None, key: str) -> str | None:
    content: Any = None if raw is None else orjson.loads(raw).get("content")
    value = content.get(key) if isinstance(content, dict) else None
    return value if isinstance(value, str) else None

"""Receipts: how far each user has read a room, as a whole and thread by thread.

A receipt goes only forward in the order of the room, whichever event it names. `m.read.private` is for nobody
but its user. What has happened since a position is read by position; what follows the lanes gets it with the
facts (`receipts_of`).

Client-Server API, "Receipts".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from plexus.proto.lanes.v1 import room_body_pb2 as proto
from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4, int8
from plexus.rooms.values import Place, RoomRef

ReceiptType: TypeAlias = Literal["m.read", "m.read.private"]

NUMBERS: dict[ReceiptType, int] = {"m.read": 1, "m.read.private": 2}
NAMES: dict[int, ReceiptType] = {number: name for name, number in NUMBERS.items()}

MAIN = "main"
"""The thread of what is in no thread."""

_BETWEEN = """
SELECT q.i - 1, r.user_id, r.type, r.thread, r.event_id, r.ts
  FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[], %(afters)s::bigint[], %(uptos)s::bigint[])
       WITH ORDINALITY AS q (lane, room, after, upto, i)
 CROSS JOIN LATERAL (SELECT * FROM rooms.receipt r
                      WHERE r.lane = q.lane AND r.room = q.room AND r.position > q.after
                        AND r.position <= q.upto AND (r.type = 1 OR r.user_id = %(user)s)
                      ORDER BY r.position) AS r
 ORDER BY q.i
"""

_OF_USER = """
SELECT q.i - 1, r.thread, r.ordinal, r.sub
  FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[]) WITH ORDINALITY AS q (lane, room, i)
  JOIN rooms.receipt r ON r.lane = q.lane AND r.room = q.room AND r.user_id = %(user)s
"""


class Receipt(NamedTuple):
    """``thread`` is None for an unthreaded one, `MAIN`, or the event ID of the thread's root."""

    user_id: str
    type: ReceiptType
    thread: str | None
    event_id: str
    ts: int


@dataclass(slots=True)
class ReadPlaces:
    """Up to where a user has read a room, by receipts of either type, public or private. ``room`` is that of
    the unthreaded ones and holds for all threads; ``threads`` has those of single threads, `MAIN` among them.
    """

    room: Place | None = None
    threads: dict[str, Place] = field(default_factory=dict)

    def of(self, thread: str) -> Place | None:
        """Up to where a thread is read: by its own receipts or those for all of the room, as is further."""
        own = self.threads.get(thread)
        if own is None or self.room is None:
            return self.room if own is None else own
        return max(own, self.room)


class ReceiptReader:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def between(self, ranges: Sequence[tuple[RoomRef, int, int]], user_id: str) -> list[list[Receipt]]:
        """For each (room, after, upto) the receipts that this user may see whose last change lies in
        ``after < position <= upto``. One that has changed again since is left out: it has a later position.
        """
        found: list[list[Receipt]] = [[] for _ in ranges]
        if not ranges:
            return found
        asked = {
            "lanes": int4([ref.lane for ref, _, _ in ranges]),
            "rooms": int4([ref.room for ref, _, _ in ranges]),
            "afters": int8([after for _, after, _ in ranges]),
            "uptos": int8([upto for _, _, upto in ranges]),
            "user": user_id,
        }
        # Not from a replica, which may not have what the lanes have told of.
        async with self._ground.db.read(primary=True) as session:
            rows = await session.fetch(_BETWEEN, asked)
        for i, who, type_, thread, event_id, ts in rows:
            found[i].append(Receipt(who, NAMES[type_], thread or None, event_id, ts))
        return found

    async def read_places(self, refs: Sequence[RoomRef], user_id: str) -> dict[RoomRef, ReadPlaces]:
        """Up to where the user has read each room. One query."""
        places = {ref: ReadPlaces() for ref in refs}
        if not refs:
            return places
        asked = {
            "lanes": int4([ref.lane for ref in refs]),
            "rooms": int4([ref.room for ref in refs]),
            "user": user_id,
        }
        async with self._ground.db.read(primary=True) as session:
            rows = await session.fetch(_OF_USER, asked)
        for i, thread, ordinal, sub in rows:
            places_of, place = places[refs[i]], Place(ordinal, sub)
            if not thread:
                places_of.room = place if places_of.room is None else max(place, places_of.room)
            else:
                places_of.threads[thread] = max(place, places_of.threads.get(thread, place))
        return places


def receipt_body(receipts: Sequence[Receipt]) -> bytes:
    """The serialised ``ReceiptBody`` of what was written to a room."""
    return proto.ReceiptBody(
        receipts=[
            proto.Receipt(user_id=user, type=NUMBERS[type_], thread=thread or "", event_id=event_id, ts=ts)
            for user, type_, thread, event_id, ts in receipts
        ]
    ).SerializeToString()


def receipts_of(body: bytes) -> list[Receipt]:
    """The receipts of a serialised ``ReceiptBody``; of a type that a later version knows, none."""
    return [
        Receipt(found.user_id, NAMES[found.type], found.thread or None, found.event_id, found.ts)
        for found in proto.ReceiptBody.FromString(body).receipts
        if found.type in NAMES
    ]

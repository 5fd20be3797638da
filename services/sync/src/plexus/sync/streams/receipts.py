"""``m.receipt`` among the ephemeral events of joined rooms.

Within the tail the receipts ride along with their facts. Only what was published without a body, what lies
beyond the tail and rooms that are new to the user are read, by position: a receipt that has moved on since
has a position beyond the cut, and comes with the next answer.

Client-Server API, "Receipts".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson
from plexus.platform.lanes import RoomFact
from plexus.rooms import Receipt, RoomRef, Rooms, receipts_of
from plexus.sync.fragments.cache import RoomCache
from plexus.sync.replica import Cut, Replica
from plexus.sync.replica.span import Span
from plexus.sync.replica.tail import BODY, DATA, KIND, TailFact
from plexus.sync.replica.views import Membership, holds_at
from plexus.sync.streams.context import Answer

TYPE = "m.receipt"
_RECEIPT = int(RoomFact.RECEIPT)
_RECEIPT_BYTES = 500


@dataclass(slots=True)
class _Told:
    """What some facts tell. ``events`` is the same for everybody; None if it is not, or must be read."""

    receipts: Sequence[Receipt] | None
    events: Sequence[bytes] | None

    @property
    def size(self) -> int:
        """What it costs in memory, in bytes, roughly."""
        return 500 + _RECEIPT_BYTES * len(self.receipts or ()) + sum(map(len, self.events or ()))


class ReceiptStream:
    """Keeps what was told within ``limit`` bytes, for the next who asks."""

    def __init__(self, replica: Replica, rooms: Rooms, limit: int) -> None:
        self._replica = replica
        self._rooms = rooms
        self._told: RoomCache[_Told] = RoomCache(limit)

    async def changes(self, answer: Answer, since: Cut) -> None:
        """Add the receipts since a cut, and all of rooms newly joined; after the rooms, which say so."""
        touched = self._touched(answer, self._replica.span(since, answer.cut))
        if not (touched or answer.newly_joined) or not _wanted(answer):
            return
        ranges: list[tuple[RoomRef, int, int]] = []
        new = {ref.room_id for ref in answer.newly_joined}
        for membership in touched:
            ref = membership.ref
            if ref.room_id in new or not holds_at(answer.cut, membership) or not _wants(answer, ref.room_id):
                continue
            after, upto = since.rooms[ref.lane], answer.cut.rooms[ref.lane]
            if after < self._replica.rooms.lanes[ref.lane].floor or not self._add(answer, ref, after, upto):
                ranges.append((ref, after, upto))
        ranges += [
            (ref, 0, answer.cut.rooms[ref.lane]) for ref in answer.newly_joined if _wants(answer, ref.room_id)
        ]
        if ranges:
            await self._read(answer, ranges)

    async def everything(self, answer: Answer, room_ids: Iterable[str]) -> None:
        """Add all receipts there are in some joined rooms."""
        joined = answer.view.joined
        await self.after(answer, {room_id: 0 for room_id in room_ids if room_id in joined})

    async def after(self, answer: Answer, positions: Mapping[str, int]) -> None:
        """Add those of some joined rooms after a position of each."""
        if positions and _wanted(answer):
            refs = [(answer.view.joined[room_id].ref, after) for room_id, after in positions.items()]
            ranges = [
                (ref, after, answer.cut.rooms[ref.lane]) for ref, after in refs if _wants(answer, ref.room_id)
            ]
            await self._read(answer, ranges)

    def _touched(self, answer: Answer, span: Span) -> Collection[Membership]:
        """The user's rooms that may have receipts in a span."""
        joined = answer.view.joined
        if span.in_tail:
            return span.among(joined, RoomFact.RECEIPT)
        return [membership for membership in joined.values() if membership.ref.lane in span.moved]

    def _add(self, answer: Answer, ref: RoomRef, after: int, upto: int) -> bool:
        """Add what the tail tells; False if it must be read."""
        subject = self._replica.rooms.subjects.get(ref.room_id)
        if subject is None:
            return True
        key = (ref.room_id, (answer.cut.generation, after, upto))
        told = self._told.get(key)
        if told is None:
            facts = [fact for fact in subject.between(after, upto) if fact[KIND] == _RECEIPT]
            told = _tell(facts)
            self._told.put(key, told)
        if told.receipts is None:
            return False
        events = told.events
        if events is None:
            mine = [r for r in told.receipts if r.type == "m.read" or r.user_id == answer.user_id]
            events = receipt_events(mine)
        for event in events:
            answer.add_ephemeral(ref.room_id, event)
        return True

    async def _read(self, answer: Answer, ranges: Sequence[tuple[RoomRef, int, int]]) -> None:
        found = await self._rooms.receipts(ranges, answer.user_id)
        for (ref, _, _), receipts in zip(ranges, found, strict=True):
            for event in receipt_events(receipts):
                answer.add_ephemeral(ref.room_id, event)


def _tell(facts: Sequence[TailFact]) -> _Told:
    receipts: list[Receipt] = []
    for fact in facts:
        body = fact[BODY]
        if body is None:
            return _Told(None, None)
        receipts += receipts_of(body)
    if any(fact[DATA] for fact in facts) or any(receipt.type != "m.read" for receipt in receipts):
        return _Told(receipts, None)
    return _Told(receipts, receipt_events(receipts))


def receipt_events(receipts: Iterable[Receipt]) -> list[bytes]:
    """``m.receipt`` events of some receipts of a room, later ones last: of each user, type and thread only
    the last. One event a thread, as a user may have receipts of several threads on one event.
    """
    latest = {(receipt.thread, receipt.type, receipt.user_id): receipt for receipt in receipts}
    contents: dict[str | None, dict[str, dict[str, dict[str, object]]]] = {}
    for (thread, type_, user_id), receipt in latest.items():
        said: dict[str, object] = {"ts": receipt.ts}
        if thread is not None:
            said["thread_id"] = thread
        content = contents.setdefault(thread, {})
        content.setdefault(receipt.event_id, {}).setdefault(type_, {})[user_id] = said
    return [b'{"type":"m.receipt","content":%b}' % orjson.dumps(content) for content in contents.values()]


def _wanted(answer: Answer) -> bool:
    wanted = answer.filter.filter.room.ephemeral
    return wanted.is_everything or (not wanted.is_nothing and wanted.matches_type(TYPE))


def _wants(answer: Answer, room_id: str) -> bool:
    return answer.filter.wants_room(room_id) and answer.filter.filter.room.ephemeral.matches(
        TYPE, None, room_id
    )

"""Writing receipts: those that come within a moment go together, one statement a lane.

Clients send a receipt whenever they show something, and only the last one counts. So what comes within
`GATHER_SECONDS` for the same user, room, type and thread becomes one row, the one that is furthest ahead;
everybody who waits for it is answered when it is committed. While a lane's statement is on its way, the lane
gathers on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from plexus.platform.lanes import ROOM, Fact, Group, RoomFact
from plexus.protocol.errors import Forbidden, LimitExceeded, Unavailable
from plexus.rooms.announcing import leave_marks
from plexus.rooms.ground import Ground
from plexus.rooms.packing import bytea, int4, int8, text
from plexus.rooms.receipt_targets import ReceiptTarget
from plexus.rooms.receipts import NUMBERS, Receipt, ReceiptType, receipt_body
from plexus.rooms.values import Place, RoomRef

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.05
MOST_WAITING = 10_000
"""Different receipts that may wait in this process; more are told to come again."""
MOST_AT_ONCE = 500
"""Receipts in one statement, which holds its lane."""

_WRITTEN, _NOT_AHEAD, _NOT_HERE = 0, 1, 2

_PUT = """
SELECT outcomes, positions
  FROM rooms.put_receipts(%s::smallint, %s::integer[], %s::text[], %s::text[], %s::smallint[], %s::text[],
                          %s::text[], %s::bigint[], %s::integer[], %s::bigint[], %s::bytea[])
"""

_Key = tuple[str, str, ReceiptType, str | None]


@dataclass(slots=True)
class _Waiting:
    ref: RoomRef
    place: Place
    receipt: Receipt
    done: list[asyncio.Future[None]] = field(default_factory=list)

    def answer(self, error: Exception | None = None) -> None:
        for future in self.done:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


class ReceiptWriter:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._waiting: dict[int, dict[_Key, _Waiting]] = {}
        self._count = 0
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._stopped = False

    async def put(
        self, ref: RoomRef, user_id: str, type_: ReceiptType, target: ReceiptTarget, thread: str | None
    ) -> None:
        """Returns when the receipt, or one further ahead, is committed. `Forbidden` if the user is not in the
        room; `Unavailable`: it is not known, send it again.
        """
        if self._stopped:
            raise Unavailable("The server is stopping")
        lane = self._waiting.setdefault(ref.lane, {})
        key = (ref.room_id, user_id, type_, thread)
        waiting = lane.get(key)
        if waiting is None:
            if self._count >= MOST_WAITING:
                raise LimitExceeded(500, "Too many receipts are being sent at once")
            self._count += 1
            receipt = Receipt(user_id, type_, thread, target.event_id, self._ground.clock.now_ms())
            waiting = lane[key] = _Waiting(ref, target.place, receipt)
        elif target.place > waiting.place:
            waiting.place = target.place
            waiting.receipt = waiting.receipt._replace(
                event_id=target.event_id, ts=self._ground.clock.now_ms()
            )
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.done.append(done)
        if ref.lane not in self._tasks:
            self._tasks[ref.lane] = asyncio.create_task(self._run(ref.lane))
        await done

    async def stop(self) -> None:
        """Take no more, and write what was taken."""
        self._stopped = True
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, lane: int) -> None:
        try:
            while self._waiting.get(lane):
                await asyncio.sleep(GATHER_SECONDS)
                gathered = list(self._waiting.pop(lane).values())
                self._count -= len(gathered)
                # Those of a room together, as the function wants them.
                gathered.sort(key=lambda waiting: waiting.ref.room)
                for start in range(0, len(gathered), MOST_AT_ONCE):
                    await self._write(lane, gathered[start : start + MOST_AT_ONCE])
        finally:
            self._tasks.pop(lane, None)
            for waiting in self._waiting.pop(lane, {}).values():
                # The loop is being torn down.
                self._count -= 1
                waiting.answer(Unavailable("The write was interrupted, try again"))

    async def _write(self, lane: int, group: Sequence[_Waiting]) -> None:
        try:
            outcomes, positions = await self._call(lane, group)
            self._announce(lane, group, outcomes, positions)
            marks = {
                waiting.receipt.user_id: position
                for waiting, position in sorted(zip(group, positions, strict=True), key=lambda pair: pair[1])
            }
            await leave_marks(self._ground, lane, marks)
        except Exception as error:  # noqa: BLE001 - told to everyone who waits for it
            for waiting in group:
                waiting.answer(error)
            return
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.answer(Forbidden("You are not in this room") if outcome == _NOT_HERE else None)

    async def _call(self, lane: int, group: Sequence[_Waiting]) -> tuple[list[int], list[int]]:
        rows = await self._ground.db.call(
            _PUT,
            (
                lane,
                int4([waiting.ref.room for waiting in group]),
                text([waiting.ref.room_id for waiting in group]),
                text([waiting.receipt.user_id for waiting in group]),
                int4([NUMBERS[waiting.receipt.type] for waiting in group]),
                text([waiting.receipt.thread or "" for waiting in group]),
                text([waiting.receipt.event_id for waiting in group]),
                int8([waiting.place.ordinal for waiting in group]),
                int4([waiting.place.sub for waiting in group]),
                int8([waiting.receipt.ts for waiting in group]),
                bytea([_data(room) for room in _by_room(group)]),
            ),
        )
        [(outcomes, positions)] = rows
        return outcomes, positions

    def _announce(
        self, lane: int, group: Sequence[_Waiting], outcomes: Sequence[int], positions: Sequence[int]
    ) -> None:
        """Publish the facts. Whatever happens here the commit stands: who follows finds the hole."""
        told: dict[int, list[_Waiting]] = {}
        for waiting, outcome, position in zip(group, outcomes, positions, strict=True):
            if outcome == _WRITTEN:
                told.setdefault(position, []).append(waiting)
        if not told:
            return
        data = {room[0].ref.room_id: _data(room) for room in _by_room(group)}
        facts = tuple(
            Fact(
                position,
                RoomFact.RECEIPT,
                room[0].ref.room_id,
                data=data[room[0].ref.room_id],
                body=receipt_body([waiting.receipt for waiting in room]),
            )
            for position, room in sorted(told.items())
        )
        # Of a fact of which nothing was left in the end nothing is told: the group would have a hole.
        if facts[-1].position - facts[0].position != len(facts) - 1:
            return
        try:
            self._ground.fanout.publish(Group(self._ground.log.generation(), ROOM, lane, facts))
        except Exception:
            log.exception("committed receipts of lane %d were not published", lane)


def _by_room(group: Sequence[_Waiting]) -> list[list[_Waiting]]:
    rooms: dict[str, list[_Waiting]] = {}
    for waiting in group:
        rooms.setdefault(waiting.ref.room_id, []).append(waiting)
    return list(rooms.values())


def _data(room: Sequence[_Waiting]) -> bytes:
    """As `RoomFact.RECEIPT` has it."""
    if any(waiting.receipt.type == "m.read" for waiting in room):
        return b""
    return " ".join(sorted({waiting.receipt.user_id for waiting in room})).encode()

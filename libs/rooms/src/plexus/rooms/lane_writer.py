"""Group commit: the room writes of one lane, one call of ``rooms.write`` at a time.

What becomes ready in a lane while its last call is in flight goes into the next one. Idle, that adds no
delay but a turn of the loop, and a message that is alone costs less (``write_one``). Busy, it multiplies
throughput, because a lane can commit only one thing at a time. After the commit the group is announced
(``announcing``), then the rooms are told.

The calls are made by a task of the lane's own, never by one of those who wait for them: a request that is cut
off stops neither the write of others nor the announcement of what it has written itself.

What can go wrong:

- PostgreSQL refuses the group because of one room in it: the rooms are repeated one by one.
- The connection dies, so nobody knows whether the commit happened: the event ids are looked up. Those that
  are there were written. For the others the answer is 503: the commit may still come to pass, so it must not
  be said that it has failed, and a retry with the same transaction id is safe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from plexus.platform.lanes import ROOM
from plexus.platform.postgres import StoreUnavailable
from plexus.platform.telemetry import GroupTrace
from plexus.rooms.announcing import MOST_BYTES, announce, leave_marks
from plexus.rooms.write_call import WRITE, arguments, outcomes
from plexus.rooms.write_one import WRITE_ONE, arguments_of_one, is_one, outcome_of_one
from plexus.rooms.writes import Outcome, Result, RoomWrite

if TYPE_CHECKING:
    from plexus.rooms.ground import Ground
    from plexus.rooms.stretches import Stretches

log = logging.getLogger(__name__)

MOST_ROOMS = 64
_FIND = """
SELECT e.event_id, r.head_position, r.room
  FROM rooms.event e JOIN rooms.room r ON r.lane = e.lane AND r.room = e.room
 WHERE e.lane = %s::smallint AND e.event_id = ANY (%s::text[])
"""


@dataclass(slots=True, eq=False)
class _Waiting:
    """``done`` is cancelled if nobody waits any more; the write is made all the same."""

    write: RoomWrite
    done: asyncio.Future[Outcome]

    def answer(self, outcome: Outcome) -> None:
        if not self.done.done():
            self.done.set_result(outcome)

    def refuse(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class LaneWriter:
    """The writer of one lane in this process."""

    def __init__(self, ground: Ground, lane: int, stretches: Stretches) -> None:
        self._ground = ground
        self._lane = lane
        self._stretches = stretches
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, write: RoomWrite) -> Outcome:
        """Write one room's chain with the next group. Raises `Unavailable` when the outcome is unknown, and
        what PostgreSQL says if it refuses this very write. It is written also if the caller goes away.
        """
        waiting = _Waiting(write, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await waiting.done

    async def wait(self) -> None:
        """Until nothing waits any more."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        group: list[_Waiting] = []
        try:
            while self._waiting:
                group = self._take()
                try:
                    await self._write(group)
                except Exception as error:  # noqa: BLE001 - told to everyone who waits for it
                    for waiting in group:
                        waiting.refuse(error)
        finally:
            self._task = None
            # The loop is being torn down, or there is nobody here.
            left, self._waiting = group + self._waiting, []
            for waiting in left:
                waiting.refuse(StoreUnavailable("The write was interrupted, try again"))

    def _take(self) -> list[_Waiting]:
        """The next group, new rooms last as the function wants them."""
        size = 0
        count = 0
        for waiting in self._waiting:
            size += waiting.write.size
            if count and (size > MOST_BYTES or count == MOST_ROOMS):
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        group.sort(key=lambda waiting: waiting.write.new is not None)
        return group

    async def _write(self, group: Sequence[_Waiting]) -> None:
        try:
            found = await self._call([waiting.write for waiting in group])
        except StoreUnavailable as error:
            await self._after_lost_answer(group, error)
        except psycopg.Error as error:
            await self._one_by_one(group, error)
        else:
            for waiting, outcome in zip(group, found, strict=True):
                waiting.answer(outcome)

    async def _call(self, writes: Sequence[RoomWrite]) -> list[Outcome]:
        generation = self._ground.log.generation()
        with GroupTrace.of("rooms.write", ROOM, self._lane, writes) as trace:
            found = await call_write(self._ground, self._lane, writes)
            if generation == self._ground.log.generation():
                for write, outcome in zip(writes, found, strict=True):
                    if outcome.result is Result.WRITTEN:
                        self._stretches.wrote(generation, write, outcome)
            await announce(self._ground, self._lane, writes, found, trace)
        return found

    async def _one_by_one(self, group: Sequence[_Waiting], error: psycopg.Error) -> None:
        if len(group) == 1:
            group[0].refuse(error)
            return
        log.warning("a group of %d rooms was refused, writing them one by one: %s", len(group), error)
        for waiting in group:
            await self._write([waiting])

    async def _after_lost_answer(self, group: Sequence[_Waiting], error: StoreUnavailable) -> None:
        found: list[Outcome | None] = [None] * len(group)
        if error.sqlstate is None:
            # Without a code the connection failed, maybe after the commit. With one PostgreSQL has rolled
            # back.
            found = await look_up(self._ground, self._lane, [waiting.write for waiting in group])
        for waiting, outcome in zip(group, found, strict=True):
            if outcome is None:
                waiting.refuse(error)
            else:
                waiting.answer(outcome)


async def call_write(ground: Ground, lane: int, writes: Sequence[RoomWrite]) -> list[Outcome]:
    """One call of ``rooms.write``, or of ``rooms.write_one`` where that does it."""
    if len(writes) == 1 and is_one(writes[0]):
        found = await ground.db.call_packed(WRITE_ONE, arguments_of_one(lane, writes[0]))
        outcome = outcome_of_one(found, writes[0])
        if outcome is not None:
            return [outcome]
    return outcomes(await ground.db.call_packed(WRITE, arguments(lane, writes)))


async def look_up(ground: Ground, lane: int, writes: Sequence[RoomWrite]) -> list[Outcome | None]:
    """For each write whose answer was lost: WRITTEN if it is there, None if nobody can say."""
    ids = [write.events[-1].event.event_id for write in writes]
    try:
        async with ground.db.read(primary=True) as session:
            rows = await session.fetch(_FIND, (lane, ids))
    except StoreUnavailable:
        log.warning("a lost commit could not be looked up")
        return [None] * len(writes)
    found = {
        event_id: Outcome(Result.WRITTEN, position=position, room=room) for event_id, position, room in rows
    }
    outcomes_found = [found.get(event_id) for event_id in ids]
    for write, outcome in zip(writes, outcomes_found, strict=True):
        if outcome is not None:
            # The facts are left to the followers, who find the hole; their positions are not known here.
            await leave_marks(ground, lane, {row.event.sender: outcome.position for row in write.events})
    return outcomes_found

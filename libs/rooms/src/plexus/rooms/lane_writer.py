"""Group commit: the room writes of one lane, one call of ``rooms.write`` at a time.

What becomes ready in a lane while its last call is in flight goes into the next one. Idle, that adds no
delay: who comes first makes the call himself. Busy, it multiplies throughput, because a lane can commit only
one thing at a time. After the commit the group's facts are published and the writers' marks are left, then
the rooms are told.

What can go wrong:

- PostgreSQL refuses the group because of one room in it: the rooms are repeated one by one.
- The connection dies, so nobody knows whether the commit happened: the event ids are looked up. Those that
  are there were written. For the others the answer is 503: the commit may still come to pass, so it must not
  be said that it has failed, and a retry with the same transaction id is safe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from plexus.platform.lanes import ROOM, Fact, Group, RoomFact
from plexus.platform.postgres import StoreUnavailable
from plexus.rooms.body import room_body
from plexus.rooms.write_call import WRITE, arguments, outcomes
from plexus.rooms.writes import Outcome, Result, RoomWrite

if TYPE_CHECKING:
    from plexus.rooms.ground import Ground

log = logging.getLogger(__name__)

MOST_ROOMS = 64
MOST_BYTES = 600_000
"""Of events in one group: it travels as one record of less than 900 KB."""

_FIND = """
SELECT e.event_id, r.head_position, r.room
  FROM rooms.event e JOIN rooms.room r ON r.lane = e.lane AND r.room = e.room
 WHERE e.lane = %s::smallint AND e.event_id = ANY (%s::text[])
"""


@dataclass(slots=True, eq=False)
class _Waiting:
    write: RoomWrite
    done: asyncio.Future[Outcome]


class LaneWriter:
    """The writer of one lane in this process."""

    def __init__(self, ground: Ground, lane: int) -> None:
        self._ground = ground
        self._lane = lane
        self._waiting: list[_Waiting] = []
        self._is_writing = False
        self._next: asyncio.Task[None] | None = None

    async def write(self, write: RoomWrite) -> Outcome:
        """Write one room's chain with the next group. Raises `Unavailable` when the outcome is unknown, and
        what PostgreSQL says if it refuses this very write.
        """
        waiting = _Waiting(write, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if not self._is_writing:
            await self._write_group()
        return await waiting.done

    async def wait(self) -> None:
        """Until nothing waits any more."""
        while self._next is not None and not self._next.done():
            await asyncio.wait([self._next])

    async def _write_group(self) -> None:
        self._is_writing = True
        group = self._take()
        try:
            await self._write(group)
        finally:
            self._is_writing = False
            for waiting in group:
                if not waiting.done.done():
                    waiting.done.set_exception(StoreUnavailable("The write was interrupted, try again"))
            if self._waiting:
                # The next group is not ours: it has a task of its own, so that our room can be answered.
                self._is_writing = True
                self._next = asyncio.create_task(self._write_group())

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
                waiting.done.set_result(outcome)

    async def _call(self, writes: Sequence[RoomWrite]) -> list[Outcome]:
        found = await call_write(self._ground, self._lane, writes)
        await announce(self._ground, self._lane, writes, found)
        return found

    async def _one_by_one(self, group: Sequence[_Waiting], error: psycopg.Error) -> None:
        if len(group) == 1:
            group[0].done.set_exception(error)
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
                waiting.done.set_exception(error)
            else:
                waiting.done.set_result(outcome)


async def call_write(ground: Ground, lane: int, writes: Sequence[RoomWrite]) -> list[Outcome]:
    """One call of ``rooms.write``."""
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
            await _leave_marks(ground, lane, {row.event.sender: outcome.position for row in write.events})
    return outcomes_found


async def announce(ground: Ground, lane: int, writes: Sequence[RoomWrite], found: Sequence[Outcome]) -> None:
    """After a commit: publish the group, and leave a mark for each sender."""
    facts: list[Fact] = []
    redacted: list[tuple[str, int]] = []
    marks: dict[str, int] = {}
    for write, outcome in zip(writes, found, strict=True):
        if outcome.result is not Result.WRITTEN:
            continue
        room_id = write.ref.room_id
        events = write.events
        # A new room can be larger than a record; followers read it.
        body = room_body(write, outcome.room) if write.size <= MOST_BYTES else None
        facts.append(
            Fact(outcome.position, RoomFact.EVENTS, room_id, events[0].num, events[-1].num, body=body)
        )
        redacted += [(room_id, redaction.num) for redaction in write.redactions]
        for row in events:
            marks[row.event.sender] = outcome.position
    if not facts:
        return
    position = facts[-1].position
    for room_id, num in redacted:
        position += 1
        facts.append(Fact(position, RoomFact.REDACTED, room_id, num, num))
    ground.fanout.publish(Group(ground.log.generation(), ROOM, lane, tuple(facts)))
    await _leave_marks(ground, lane, marks)


async def _leave_marks(ground: Ground, lane: int, marks: Mapping[str, int]) -> None:
    for user_id, position in marks.items():
        await ground.marks.set(user_id, {(ROOM, lane): position})

"""One room, one queue: the writes of a room within this process, in order.

An actor runs while something waits for its room. It takes all that waits (up to `MOST_AT_ONCE`), builds it as
one chain upon the cached head and hands it to the lane. Nothing is told to anybody before the head is known
to have been true when it was used: either the write has compared the version, or, if nothing was to be
written, a query has. So a refusal is as good as a write, on whichever replica it is made.

An event from another server waits in the same queue, and is placed by itself (``receiving``).

The first conflict sends the batch, and for a second those that follow, through the row lock (``conflict``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from plexus.platform.postgres import ReadSession, StoreUnavailable
from plexus.protocol.errors import LimitExceeded, NotFound, Unavailable
from plexus.protocol.events import Event
from plexus.rooms.announcing import leave_marks
from plexus.rooms.audience import Audience
from plexus.rooms.builder import ChainBuilder, Signer, needs, random_opaque_id
from plexus.rooms.conflict import write_locked
from plexus.rooms.head import RoomHead
from plexus.rooms.joining import build_joining, is_wide
from plexus.rooms.placing import Unresolved
from plexus.rooms.reading_head import Stale, read_head, read_missing, read_version
from plexus.rooms.receiving import MOST_RESOLVED, Resolutions, receive
from plexus.rooms.transactions import made_by, sent_before
from plexus.rooms.values import Received, RoomRef, Written
from plexus.rooms.wishes import Found, Missing, Verdict, Wish
from plexus.rooms.writes import Outcome, Result, RoomWrite

if TYPE_CHECKING:
    from plexus.rooms.ground import Ground
    from plexus.rooms.lane_writer import LaneWriter
    from plexus.rooms.notifying import Notifier

MOST_WAITING = 1_000
"""Wishes that may wait for one room; more are told to come again."""

MOST_AT_ONCE = 100
MOST_BYTES = 300_000
"""Wishes, and bytes of events, in one chain: a busy room must not hold its lane for long."""

CONTENDED_SECONDS = 1.0
_RETRY_AFTER_MS = 500


@dataclass(slots=True, eq=False)
class _Arrived:
    """An event from another server that waits for its place."""

    event: Event
    done: asyncio.Future[Received]

    def refuse(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(slots=True, eq=False)
class _Waiting:
    wish: Wish
    done: asyncio.Future[Written]

    def answer(self, written: Written) -> None:
        if not self.done.done():
            self.done.set_result(written)

    def refuse(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that has been built: one verdict per wish, in order, of as many wishes as went into it; the
    write; the head as it will be.
    """

    verdicts: Sequence[Verdict]
    write: RoomWrite
    head: RoomHead


class RoomActor:
    """The writes of one room. ``head`` is None until it is read, and after it was found to be stale;
    ``audience`` is who was there when the room was written last.
    """

    def __init__(
        self, ground: Ground, writer: LaneWriter, notifier: Notifier, lane: int, room_id: str
    ) -> None:
        self._ground = ground
        self._notifier = notifier
        self._writer = writer
        self.lane = lane
        self.room_id = room_id
        self.head: RoomHead | None = None
        self.resolutions = Resolutions()
        self.audience: Audience | None = None
        self._judged: tuple[RoomWrite, Audience] | None = None
        self._joining: tuple[Wish, str] | None = None
        """A wish whose event waits for a resolution, and the ID it is given where IDs are given: built again
        it must be the same.
        """
        self._queue: deque[_Waiting | _Arrived] = deque()
        self._task: asyncio.Task[None] | None = None
        self._contended_until = 0.0
        self._generation = ground.log.generation()

    @property
    def is_contended(self) -> bool:
        """Whether somebody else has written the room just now, so that it is better locked first."""
        return self._ground.clock.monotonic() < self._contended_until

    def note_conflict(self) -> None:
        """Somebody else was faster."""
        self._contended_until = self._ground.clock.monotonic() + CONTENDED_SECONDS

    @property
    def is_idle(self) -> bool:
        return self._task is None and not self._queue

    async def send(self, wish: Wish) -> Written:
        """Queue a wish and wait for what came of it."""
        waiting = _Waiting(wish, asyncio.get_running_loop().create_future())
        self._enqueue(waiting)
        return await waiting.done

    async def receive(self, event: Event) -> Received:
        """Queue an event from another server, and wait for what became of it."""
        arrived = _Arrived(event, asyncio.get_running_loop().create_future())
        self._enqueue(arrived)
        return await arrived.done

    def _enqueue(self, waiting: _Waiting | _Arrived) -> None:
        if len(self._queue) >= MOST_WAITING:
            raise LimitExceeded(_RETRY_AFTER_MS, "Too much is being sent to this room at once")
        self._queue.append(waiting)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def wait(self) -> None:
        """Until nothing waits any more."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._queue:
                batch = self._take()
                self._check_generation()
                try:
                    if isinstance(batch, _Arrived):
                        await self._place(batch)
                    else:
                        await self._write(batch)
                except Exception as error:  # noqa: BLE001 - told to everyone who waits for it
                    self.head = None
                    for waiting in [batch] if isinstance(batch, _Arrived) else batch:
                        waiting.refuse(error)
        finally:
            self._task = None

    def _check_generation(self) -> None:
        """In a new generation of the lanes know nothing: numbers may come again, of the room as well."""
        generation = self._ground.log.generation()
        if generation != self._generation:
            self._generation = generation
            self.head = self.audience = None
            self.resolutions = Resolutions()

    def _take(self) -> list[_Waiting] | _Arrived:
        """The next event from elsewhere, or as many wishes as come before one."""
        first = self._queue.popleft()
        if isinstance(first, _Arrived):
            return first
        batch = [first]
        while self._queue and len(batch) < MOST_AT_ONCE and isinstance(self._queue[0], _Waiting):
            batch.append(self._queue.popleft())  # type: ignore[arg-type] # looked at just now
        return batch

    async def _place(self, arrived: _Arrived) -> None:
        received = await receive(self, self._ground, arrived.event)
        if not arrived.done.done():
            arrived.done.set_result(received)

    async def _write(self, batch: list[_Waiting]) -> None:
        """Write a batch: once in optimism, then under the lock; again without what was found to be
        replayed.
        """
        resolved = 0
        while batch:
            try:
                tried = await self._try(batch)
                if tried is None:
                    self.head = None
                    tried = await write_locked(self, self._ground, [waiting.wish for waiting in batch])
            except Unresolved as wanted:
                resolved += 1
                if resolved > MOST_RESOLVED:
                    raise Unavailable("The room is too busy to take this event, try again") from None
                await self.resolutions.resolve(self._ground, wanted)
                continue
            resolved = 0
            chain, outcome = tried
            if outcome.result is Result.WRITTEN:
                await self._settle(batch, chain, outcome)
                del batch[: len(chain.verdicts)]
            elif outcome.result is Result.REPLAYED:
                await self._settle_replayed(batch, chain, outcome)
            else:
                raise Unavailable("This event is there already, try again")

    async def _try(self, batch: Sequence[_Waiting]) -> tuple[Chain, Outcome] | None:
        """Write a batch in optimism; None if that is not the time for it, or somebody else was faster."""
        if self.is_contended:
            return None
        chain = await self._build_upon_cache(batch)
        if chain is None:
            return None
        await self.judge(chain.write)
        outcome = await self._write_chain(chain)
        if outcome.result in (Result.CONFLICT, Result.LOCKED):
            self.note_conflict()
            return None
        return chain, outcome

    async def _build_upon_cache(self, batch: Sequence[_Waiting]) -> Chain | None:
        """A chain upon the cached head; None if the room moves faster than we read."""
        wishes = [waiting.wish for waiting in batch]
        for _ in range(2):
            try:
                return await self._build(wishes)
            except Stale:
                self.head = None
        return None

    async def _build(self, wishes: Sequence[Wish]) -> Chain:
        head = self.head
        found = Found()
        if head is None or is_wide(head) or needs(head, wishes):
            async with self._ground.db.read(primary=True) as session:
                if head is None:
                    head = await self.read_head(session)
                if is_wide(head):
                    return await self._build_joining(session, head, wishes[0])
                if missing := needs(head, wishes):
                    head = await read_missing(session, head, missing, found)
            self.head = head
        try:
            return build_chain(head, self.signer(), wishes, found)
        except Missing:
            async with self._ground.db.read(primary=True) as session:
                return await self.build_reading(session, head, wishes)

    async def read_head(self, session: ReadSession) -> RoomHead:
        """The room's head as it is now; `NotFound` without a room."""
        head = await read_head(session, self.lane, self.room_id)
        if head is None:
            raise NotFound("There is no such room")
        return head

    async def build_reading(self, session: ReadSession, head: RoomHead, wishes: Sequence[Wish]) -> Chain:
        """A chain upon ``head``, reading whatever turns out to be missing; `Stale` if the head is."""
        if is_wide(head):
            return await self._build_joining(session, head, wishes[0])
        found = Found()
        missing = needs(head, wishes)
        while True:
            if missing:
                head = await read_missing(session, head, missing, found)
            try:
                return build_chain(head, self.signer(), wishes, found)
            except Missing as more:
                missing = more

    async def _build_joining(self, session: ReadSession, head: RoomHead, wish: Wish) -> Chain:
        """The chain of one wish in a room of very many branches."""
        if self._joining is None or self._joining[0] is not wish:
            self._joining = (wish, random_opaque_id())
        opaque_id = self._joining[1]
        signer = replace(self.signer(), opaque_id=lambda: opaque_id)
        made = await build_joining(session, head, signer, wish, self.resolutions.known)
        return Chain((made[0],), *made[1:])

    async def judge(self, write: RoomWrite) -> None:
        """Find out whom the events notify."""
        if write.events:
            self._judged = (write, await self._notifier.judge(write, self.audience))

    def settle_audience(self, write: RoomWrite | None) -> None:
        """A write that was judged has been written: the room is as it left it."""
        if self._judged is not None and self._judged[0] is write:
            self.audience = self._judged[1]
        self._judged = None

    async def write(self, write: RoomWrite) -> Outcome:
        """Write with the next group of the lane."""
        return await self._writer.write(write)

    def signer(self) -> Signer:
        return Signer(self._ground.settings.server_name, self._ground.keys.current())

    async def _write_chain(self, chain: Chain) -> Outcome:
        """The outcome of the write; of an empty chain, whether its head is still true."""
        if chain.write.events:
            return await self.write(chain.write)
        async with self._ground.db.read(primary=True) as session:
            version = await read_version(session, chain.write.ref)
        if version != chain.write.seen:
            return Outcome(Result.CONFLICT)
        return Outcome(Result.WRITTEN, position=chain.head.head_position)

    async def _settle(self, batch: Sequence[_Waiting], chain: Chain, outcome: Outcome) -> None:
        """The head moves on, and everybody is told."""
        self.head = after(chain, outcome)
        self.settle_audience(chain.write)
        judged = list(zip(batch, chain.verdicts, strict=False))
        if unsure := [waiting for waiting, verdict in judged if verdict.unless_sent]:
            await self._answer_retries(unsure, chain.head.ref, outcome.position)
        for waiting, verdict in judged:
            if waiting.done.done():
                continue
            if verdict.error is not None:
                waiting.refuse(verdict.error)
            else:
                await self._tell(waiting, verdict.event_id, outcome.position, replayed=verdict.replayed)

    async def _answer_retries(self, unsure: Sequence[_Waiting], ref: RoomRef, position: int) -> None:
        """Those whose transaction id has made an event get that event; the others are left as they are. If
        nobody can say, they must ask again.
        """
        try:
            async with self._ground.db.read(primary=True) as session:
                found = await sent_before(session, ref, [waiting.wish for waiting in unsure])
        except StoreUnavailable as error:
            for waiting in unsure:
                waiting.refuse(error)
            return
        for at, event_id in found.items():
            await self._tell(unsure[at], event_id, position, replayed=True)

    async def _settle_replayed(self, batch: list[_Waiting], chain: Chain, outcome: Outcome) -> None:
        """One of the chain had been sent before: answer it with the event it made, and take it out."""
        index = next(i for i, verdict in enumerate(chain.verdicts) if verdict.at == outcome.at)
        async with self._ground.db.read(primary=True) as session:
            made = await made_by(session, chain.write.ref, outcome.num)
        if made is None:
            raise Unavailable("The event of this transaction ID is gone")
        await self._tell(batch.pop(index), *made, replayed=True)

    async def _tell(self, waiting: _Waiting, event_id: str, position: int, *, replayed: bool) -> None:
        if replayed:
            await leave_marks(self._ground, self.lane, {waiting.wish.sender: position})
        waiting.answer(Written(self.room_id, event_id, position, self.lane, replayed=replayed))


def build_chain(head: RoomHead, signer: Signer, wishes: Sequence[Wish], found: Found) -> Chain:
    """The chain of these wishes upon ``head``; raises `Missing`."""
    builder = ChainBuilder(head, signer, found=found)
    for wish in wishes:
        builder.add(wish)
        if builder.write.size > MOST_BYTES:
            break
    write, after_it = builder.finish()
    write.traced = [wish.traced for wish in wishes[: len(builder.verdicts)] if wish.traced is not None]
    return Chain(builder.verdicts, write, after_it)


def after(chain: Chain, outcome: Outcome) -> RoomHead:
    """The head after a chain was written, or after an empty one was found true."""
    return chain.head.settled(outcome.position, wrote=bool(chain.write.events)).trimmed()

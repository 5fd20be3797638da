"""Following the lanes: every committed fact of each lane once, in order, without a hole.

1. A published group that continues its lane is delivered at once. One that leaves a hole waits: writers
   overtake one another normally, and the hole closes by itself.
2. After 25 ms the hole is read from PostgreSQL, all lanes in one query. What is known to be there and is
   not, because the replica of PostgreSQL lags, is read from the primary the next time.
3. Once a second all heads are looked at, 0.6 seconds old at most, so that facts whose publishing was lost,
   or of processes that do not publish here (the command line), are seen. While heads move and the fan-out
   does not, that is every 100 ms.
   Facts of which only the heads tell are mostly on their way: while groups arrive they are given 200 ms, so
   that reading them does not become the rule under load. From a fan-out that is silent nothing is expected.
4. A generation that is new to us: the positions are cut back to where it began, `on_generation` is called so
   that the owner drops tails and caches, and the facts come again from there.

What arrives and cannot be delivered yet, because it lies beyond a hole or the handler is busy, waits in
memory up to a number of bytes. More is dropped: the lane is then behind, and reads it from PostgreSQL in
pieces.

A lane whose floor has risen above its position cannot be continued: `on_generation` is called too, with the
same generation twice, and the lane goes on from its floor.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from plexus.platform.beat import next_beat, until
from plexus.platform.lanes.facts import Fact, Group, Heads
from plexus.platform.lanes.fanout import LaneFanout, Subscription
from plexus.platform.lanes.log import LaneLog
from plexus.platform.lanes.order import LaneKey, LaneOrder, size_of
from plexus.protocol.errors import Unavailable

log = logging.getLogger(__name__)

Handler = Callable[[str, int, Sequence[Fact]], Awaitable[None] | None]
OnGeneration = Callable[[int, int], Awaitable[None] | None]

_FAN_OUT_HEALS_AFTER = 1.0
_FAN_OUT_SILENT_AFTER = 1.0
_RETRY_AFTER = 1.0
_MOST_ARRIVED = 10_000
WAITING_BYTES = 64 * 1024 * 1024


class HasLanes(Protocol):
    """What of the platform a follower needs."""

    @property
    def log(self) -> LaneLog: ...
    @property
    def fanout(self) -> LaneFanout: ...


@dataclass(slots=True)
class FollowerStats:
    """Counted since the start. ``broken`` must stay 0: it counts holes in the log itself. ``dropped`` are
    groups that came while the handler was busy and found no room.
    """

    delivered: int = 0
    read: int = 0
    overtaken: int = 0
    dropped: int = 0
    polls: int = 0
    generations: int = 0
    failures: int = 0
    broken: int = 0


class Follower:
    """``handler(family, lane, facts)`` gets consecutive facts. It may be a coroutine function; then nothing
    more of any lane is delivered before it returns. A lane's position moves when the handler has returned. A
    handler that raises gets the same facts again after a second, and its lane stands still until then.

    ``start`` is "head" (what is committed from now on) or positions by (family, lane) in the newest
    generation; lanes not named begin at their head. ``on_generation(old, new)`` is called before facts of
    ``new`` come; ``on_trace(group)`` when a traced group arrives, before its facts are delivered. Half of
    ``waiting_bytes`` is for what waits behind holes, half for what comes while the handler is busy.
    """

    def __init__(
        self,
        platform: HasLanes,
        families: Sequence[str],
        handler: Handler,
        *,
        start: Literal["head"] | Mapping[LaneKey, int] = "head",
        name: str,
        on_generation: OnGeneration | None = None,
        on_trace: Callable[[Group], None] | None = None,
        hole_wait: float = 0.025,
        patience: float = 0.2,
        idle_poll: float = 1.0,
        busy_poll: float = 0.1,
        waiting_bytes: int = WAITING_BYTES,
    ) -> None:
        self.name = name
        self.families = tuple(families)
        self.generation = 0
        self.stats = FollowerStats()
        self._log = platform.log
        self._fanout = platform.fanout
        self._handler = handler
        self._start: Mapping[LaneKey, int] = {} if start == "head" else start
        self._on_generation = on_generation
        self._on_trace = on_trace
        self._hole_wait = hole_wait
        self._patience = patience
        self._idle_poll = idle_poll
        self._busy_poll = busy_poll
        self._waiting_bytes = waiting_bytes // 2
        self._order = LaneOrder({}, self._waiting_bytes)
        self._arrived: deque[Group] = deque()
        self._arrived_bytes = 0
        self._inflight: tuple[Awaitable[None], LaneKey, int] | None = None
        self._held = True  # nothing is delivered from the fan-out's call-back while this holds
        self._new_generation = False
        self._replica_lacks = False
        self._lagging_until = 0.0
        self._heard = -math.inf
        self._read_upto: dict[LaneKey, int] = {}
        self._heads: dict[LaneKey, int] = {}
        self._heads_read = 0.0
        self._goal: tuple[float, dict[LaneKey, int]] | None = None
        """Heads that were not reached yet when last looked at, and as of when they are."""
        self._newest: tuple[float, dict[LaneKey, int]] = (-math.inf, {})
        """The heads that were read last, likewise."""
        self._abreast = math.inf
        self._waiters: dict[LaneKey, list[tuple[int, int, asyncio.Future[bool]]]] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self._subscription: Subscription | None = None
        self._unguard: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the starting positions and begin to follow."""
        self._subscription = self._fanout.subscribe(self.families, self._on_group)
        self.generation = self._log.generation()
        heads = await self._log.heads()
        now = self._abreast = time.monotonic()
        head = self._take_heads(heads)
        positions = {key: self._start.get(key, position) for key, position in head.items()}
        self._order = LaneOrder(positions, self._waiting_bytes)
        for key, position in head.items():
            self._order.note_behind(key, position, now - self._hole_wait)
        if heads.generation != self.generation:
            await self._change_generation(heads.generation)
        self._unguard = self._log.reader.follow(self._reached)
        self._task = asyncio.create_task(self._run(), name=f"follower {self.name}")

    async def stop(self) -> None:
        """Deliver nothing more. A handler that runs is awaited."""
        self._stopping = True
        self._held = True
        if self._subscription is not None:
            self._subscription.close()
        if self._task is not None:
            self._wake.set()
            await self._task
        if self._unguard is not None:
            self._unguard()
            self._unguard = None
        self._refuse_waiters()

    def position(self, family: str, lane: int) -> int:
        """The last position delivered."""
        return self._order.position[family, lane]

    def positions(self, family: str) -> tuple[int, ...]:
        """The last position delivered of every lane of the family."""
        return tuple(position for key, position in self._order.position.items() if key[0] == family)

    def _reached(self) -> Iterator[tuple[LaneKey, int]]:
        """The last positions delivered, and what is being delivered."""
        yield from self._order.position.items()
        if self._inflight is not None:
            _, key, last = self._inflight
            yield key, last

    @property
    def lag(self) -> int:
        """Facts that PostgreSQL had when its heads were last read and that are still not delivered."""
        positions = self._order.position
        return sum(max(0, head - positions[key]) for key, head in self._heads.items())

    @property
    def heads_age(self) -> float:
        """Seconds since PostgreSQL's heads were last read; 0 before the start."""
        return time.monotonic() - self._heads_read if self._heads_read else 0.0

    @property
    def behind(self) -> float:
        """For how many seconds this follower is behind PostgreSQL: all that was committed longer ago is
        delivered. 0 while nothing is known to be missing; what is not looked for, because the handler is busy
        or PostgreSQL away, counts as missing after two rounds.
        """
        reached = self._goal is None or (self._reaches(self._goal) and self._reaches(self._newest))
        age = max(0.0, time.monotonic() - self._abreast)
        return 0.0 if reached and age <= 2 * self._idle_poll + 0.5 else age

    @property
    def waiting_bytes(self) -> int:
        """Memory for what has arrived and cannot be delivered yet."""
        return self._arrived_bytes + self._order.waiting

    async def wait_for(self, family: str, lane: int, position: int, timeout: float) -> bool:
        """Wait until the lane has reached ``position``: True, or False after ``timeout`` seconds or when a
        new generation came in between. Reads PostgreSQL if the fan-out does not bring it soon.
        """
        key = (family, lane)
        if self._order.position[key] >= position:
            return True
        if timeout <= 0 or self._stopping:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        entry = (position, id(future), future)
        heapq.heappush(self._waiters.setdefault(key, []), entry)
        if self._order.note_behind(key, position, time.monotonic()):
            self._wake.set()
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            return False
        finally:
            waiters = self._waiters.get(key, [])
            if entry in waiters:
                waiters.remove(entry)
                heapq.heapify(waiters)

    # --- the fan-out's side: synchronous, on the hot path ---

    def _on_group(self, group: Group) -> None:
        self._heard = time.monotonic()
        if self._held:
            size = size_of(group.facts)
            if len(self._arrived) < _MOST_ARRIVED and self._arrived_bytes + size <= self._waiting_bytes:
                self._arrived.append(group)
                self._arrived_bytes += size
            else:
                self.stats.dropped += 1
        else:
            self._accept(group)

    def _accept(self, group: Group) -> None:
        if group.generation != self.generation:
            # A writer that has not heard of ours yet, or one ahead of us: the database knows.
            self._new_generation = True
            self._wake.set()
            return
        key = (group.family, group.lane)
        if group.trace is not None and self._on_trace is not None and group.last > self._order.position[key]:
            self._on_trace(group)
        facts = self._order.offer(key, group.facts, time.monotonic())
        if facts:
            self._deliver(key, facts)
        elif group.first > self._order.position[key]:
            self.stats.overtaken += 1
            self._wake.set()
        elif group.last <= self._read_upto.pop(key, 0):
            # It was read because it was late, not lost: to look more often would only read more such.
            self._lagging_until = 0.0

    def _deliver(self, key: LaneKey, facts: Sequence[Fact]) -> None:
        """Deliver ``facts`` and what was parked behind them; an asynchronous handler goes on in `_run`."""
        while facts:
            last = facts[-1].position
            try:
                result = self._handler(key[0], key[1], facts)
            except Exception:  # noqa: BLE001 - logged there
                self._failed(key, last)
                return
            if result is not None:
                self._held = True
                self._inflight = (result, key, last)
                self._wake.set()
                return
            self._delivered(key, last, len(facts))
            facts = self._order.unpark(key)

    def _delivered(self, key: LaneKey, last: int, count: int) -> None:
        self.stats.delivered += count
        self._order.move(key, last)
        waiters = self._waiters.get(key)
        while waiters and waiters[0][0] <= last:
            _, _, future = heapq.heappop(waiters)
            if not future.done():
                future.set_result(True)

    def _failed(self, key: LaneKey, last: int) -> None:
        log.exception("follower %s: its handler failed at %s%d, position %d", self.name, key[0], key[1], last)
        self.stats.failures += 1
        self._order.note_behind(key, last, 0)
        self._order.wait_again(key, time.monotonic() + _RETRY_AFTER)
        self._wake.set()

    # --- the task's side: holes, polls, generations ---

    async def _run(self) -> None:
        next_poll = next_beat(self._idle_poll)
        while not self._stopping:
            try:
                await self._release()
                now = time.monotonic()
                if now >= next_poll or self._new_generation:
                    await self._poll()
                    now = time.monotonic()
                    is_lagging = now < self._lagging_until
                    next_poll = now + self._busy_poll if is_lagging else next_beat(self._idle_poll)
                due = self._order.due(now - self._hole_wait)
                if due:
                    if await self._read(due):
                        next_poll = min(next_poll, now + self._busy_poll)
                    continue
                since = self._order.behind_since()
                deadline = next_poll if since is None else min(next_poll, since + self._hole_wait)
                await self._sleep(until(deadline))
            except Unavailable as error:
                log.warning("follower %s: %s", self.name, error)
                next_poll = time.monotonic() + self._busy_poll
                await asyncio.sleep(self._busy_poll)
            except Exception:
                # Not ours to decide that nobody is told anything any more: say it, and go on.
                log.exception("follower %s failed", self.name)
                await asyncio.sleep(self._idle_poll)
        await self._finish_inflight()

    async def _sleep(self, seconds: float) -> None:
        if seconds <= 0 or self._inflight is not None:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _release(self) -> None:
        """Finish what is being delivered, then what came meanwhile; from here on groups are delivered
        directly.
        """
        self._wake.clear()
        await self._finish_inflight()
        while self._arrived and not self._stopping:
            group = self._arrived.popleft()
            self._arrived_bytes -= size_of(group.facts)
            self._accept(group)
            await self._finish_inflight()
        self._held = self._stopping

    async def _finish_inflight(self) -> None:
        while self._inflight is not None:
            awaitable, key, last = self._inflight
            first = self._order.position[key]
            try:
                await awaitable
            except Exception:  # noqa: BLE001 - logged by _failed
                self._inflight = None
                self._failed(key, last)
                return
            self._inflight = None
            self._delivered(key, last, last - first)
            if not self._stopping and (facts := self._order.unpark(key)):
                self._deliver(key, facts)

    async def _poll(self) -> None:
        self.stats.polls += 1
        # While nothing is missing, what anybody in this process has read a beat ago is as good.
        poll = self._busy_poll if time.monotonic() < self._lagging_until else self._idle_poll
        max_age = min(0.05, self._busy_poll / 2) if self._new_generation else poll * 0.6
        self._new_generation = False
        heads = await self._log.heads(max_age=max_age)
        if heads.generation != self.generation:
            await self._change_generation(heads.generation)
            return
        now = time.monotonic()
        arriving = now < self._heard + _FAN_OUT_SILENT_AFTER
        since = now + self._patience - self._hole_wait if arriving else now
        for key, head in self._take_heads(heads, max_age).items():
            self._order.note_behind(key, head, since, patiently=arriving)

    def _take_heads(self, heads: Heads, max_age: float = 0.0) -> dict[LaneKey, int]:
        self._heads = {(f, lane): head for f in self.families for lane, head in enumerate(heads.of(f))}
        self._heads_read = time.monotonic()
        self._newest = (self._heads_read - max_age, self._heads)
        if self._goal is None or self._reaches(self._goal):
            self._goal = self._newest
        return self._heads

    def _reaches(self, goal: tuple[float, Mapping[LaneKey, int]]) -> bool:
        """Whether all of it is delivered; then that is as far as we are known to be abreast."""
        as_of, heads = goal
        if any(head > self._order.position[key] for key, head in heads.items()):
            return False
        self._abreast = as_of
        return True

    async def _read(self, due: Mapping[LaneKey, int]) -> bool:
        """Read what these lanes lack; True if there was something, so the fan-out does not bring all."""
        primary = True if self._replica_lacks else None
        self._replica_lacks = False
        tails = await self._log.tails(due, primary=primary)
        if tails.generation != self.generation:
            await self._change_generation(tails.generation)
            return True
        self._held = True
        await self._finish_inflight()
        found = False
        now = time.monotonic()
        for key, tail in tails.lanes.items():
            position = self._order.position[key]
            facts = [fact for fact in tail.facts if fact.position > position]
            if position < tail.floor:
                await self._skip_to_floor(key, tail.floor)
                facts = [fact for fact in facts if fact.position > tail.floor]
                position = tail.floor
            if facts:
                if facts[-1].position - position != len(facts):
                    self.stats.broken += 1
                    log.error("lane %s%d has a hole after position %d", key[0], key[1], position)
                found = True
                self.stats.read += len(facts)
                self._read_upto[key] = facts[-1].position
                self._deliver(key, facts)
                await self._finish_inflight()
            wanted = self._wanted(key)
            if self._order.position[key] >= max(tail.head, wanted) and not self._order.parked(key):
                self._order.caught_up(key)
            elif not facts:
                # A lagging replica, or a caller who waits for what nobody has written yet: not at once again.
                # The primary is asked every other time, so that a caller's mistake does not take all to it.
                self._replica_lacks = primary is None
                self._order.note_behind(key, wanted, now)
                self._order.wait_again(key, now)
        if found:
            self._lagging_until = now + _FAN_OUT_HEALS_AFTER
        return found

    def _wanted(self, key: LaneKey) -> int:
        """The furthest position somebody waits for; 0 if nobody does."""
        return max(
            (position for position, _, future in self._waiters.get(key, ()) if not future.done()), default=0
        )

    async def _skip_to_floor(self, key: LaneKey, floor: int) -> None:
        log.warning("follower %s: lane %s%d was dropped up to %d", self.name, key[0], key[1], floor)
        await self._tell_generation(self.generation)
        self._order.move(key, floor)

    async def _change_generation(self, new: int) -> None:
        """Cut back to where ``new`` leaves our history; then everything from there comes again."""
        self._held = True
        await self._finish_inflight()
        self.stats.generations += 1
        await self._log.note_generation(new)
        old, heads = self.generation, await self._log.heads()
        cut = self._log.cut_back(old)
        positions = {}
        for key, position in self._order.position.items():
            head = heads.of(key[0])[key[1]]
            positions[key] = head if cut is None else min(position, cut.heads_of(key[0])[key[1]])
        self._order = LaneOrder(positions, self._waiting_bytes)
        self._read_upto.clear()
        self.generation = heads.generation
        now = time.monotonic()
        self._goal = None
        for key, head in self._take_heads(heads).items():
            self._order.note_behind(key, head, now - self._hole_wait)
        self._refuse_waiters()
        log.warning("follower %s: generation %d after %d", self.name, self.generation, old)
        await self._tell_generation(old)

    async def _tell_generation(self, old: int) -> None:
        if self._on_generation is not None:
            result = self._on_generation(old, self.generation)
            if result is not None:
                await result

    def _refuse_waiters(self) -> None:
        for waiters in self._waiters.values():
            for _, _, future in waiters:
                if not future.done():
                    future.set_result(False)
        self._waiters.clear()

"""A worker that follows lanes for ever: from where it stood, whoever of the replicas it was that stood there.

1. Whoever holds the worker's lease reads its cursors: (generation, position) of each lane.
2. What the fan-out brings is taken as it comes if it continues where the worker stands. What does not, and
   what only the heads tell, at which it looks once a second, is read: all lanes in one query. Between two
   rounds lie `every` seconds at most, so that one round takes what has gathered meanwhile.
3. The step that has an effect also moves the cursor, in one transaction and only from where the worker
   believes it to be: a zombie's step does nothing. So each fact takes effect once, though a step may be tried
   again. Facts that do not matter (`LaneWork.matters`) are let go: they move it with the next ones that do,
   or after a while with those of all lanes. A round takes the steps of all lanes together, since a lone
   message in each of them is a step of its own.
4. In a new generation the cursors are cut back to where it began. A lane whose facts have been dropped before
   they were read (nothing ran for days) cannot be followed: `LaneWork.catch_up` makes its effect anew.

Whoever must see a worker's effect waits for its cursor: `wait_for`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Protocol

from plexus.platform.beat import next_beat, on_the_beat, until
from plexus.platform.lanes.brought import Brought
from plexus.platform.lanes.facts import Fact, Group, Heads
from plexus.platform.lanes.fanout import Subscription
from plexus.platform.lanes.order import LaneKey
from plexus.platform.periodic import holder_name
from plexus.platform.ports import Lease
from plexus.platform.postgres import Database
from plexus.protocol.errors import Unavailable

if TYPE_CHECKING:
    from plexus.platform.context import Platform

log = logging.getLogger(__name__)

LEASE_SECONDS = 9.0
"""The lease is renewed after a third of it, by all workers of a process on the same beat."""
MOST_FACTS = 1000
"""In one round, of all lanes."""
LOOK_EVERY = 1.0
"""Seconds between two looks at the heads."""
PATIENCE = 3.0
"""Seconds that somebody waits for a worker. What nobody tells it of it sees at its next look, and does up to
half a second later.
"""
MOVE_EVERY = 5.0
"""Seconds between two moves of cursors by facts that do not matter."""
_LOOK_AGAIN = 0.03
_MOST_WEIGHED = 100
"""Facts of a lane of which somebody who waits looks whether they matter; behind more they wait."""

_MAKE = """
INSERT INTO lanes.cursor (worker, shard, family, lane, generation, position, epoch)
SELECT %s, 0, family, lane, generation, 0, 0 FROM lanes.lane WHERE family = ANY (%s::text[]::"char"[])
ON CONFLICT DO NOTHING RETURNING 1
"""

_READ = "SELECT family::text, lane, generation, position FROM lanes.cursor WHERE worker = %s AND shard = 0"

_CUT = """
UPDATE lanes.cursor AS c SET generation = %s, position = least(c.position, w.position)
  FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS w (family, lane, position)
 WHERE c.worker = %s AND c.shard = 0 AND c.family = w.family::"char" AND c.lane = w.lane AND c.generation = %s
RETURNING 1
"""

MOVE = "lanes.move(%s, %s::bigint, %s::text[], %s::smallint[], %s::bigint[], %s::bigint[])"
"""True, and the cursors of steps are moved; its parameters: the worker's name, `moves`."""

_MOVE = f"SELECT {MOVE}"

_BEHIND = """
SELECT w.family, w.lane, c.position
  FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS w (family, lane, position)
  LEFT JOIN lanes.cursor AS c
    ON c.worker = %s AND c.shard = 0 AND c.family = w.family::"char" AND c.lane = w.lane
 WHERE c.position IS NULL OR c.position < w.position
"""

FactsOfLanes = Mapping[LaneKey, Sequence[Fact]]


@dataclass(frozen=True, slots=True)
class Step:
    """Some facts of a lane, and the move of the cursor that goes with their effect. ``facts`` end at ``end``;
    they need not begin at ``start``, for those that did not matter have been let go.
    """

    family: str
    lane: int
    generation: int
    start: int
    end: int
    facts: Sequence[Fact]

    @property
    def key(self) -> LaneKey:
        return self.family, self.lane


class LaneWork(Protocol):
    """What a worker does. ``apply`` and ``catch_up`` say False if a cursor was not where its step begins: of
    this step nothing was done.
    """

    async def matters(self, facts: FactsOfLanes) -> Collection[LaneKey]:
        """The lanes of which these can have an effect."""
        ...

    async def apply(self, steps: Sequence[Step]) -> bool:
        """The effect of the facts of each step and the move of its cursor, in one transaction; or of all of
        them in one. All are of one generation.
        """
        ...

    async def catch_up(self, step: Step) -> bool:
        """The same without facts: what there is in the lane up to ``end``, made anew."""
        ...


class LaneWorker:
    """One worker of a process; any number of processes may have it. ``start`` and ``stop``. Between two
    rounds lie ``every`` seconds, or ``unhurried`` after facts that did not matter; at half a second or more,
    it is until the last beat before they end.
    """

    def __init__(
        self,
        platform: Platform,
        name: str,
        families: Sequence[str],
        work: LaneWork,
        *,
        every: float,
        unhurried: float | None = None,
    ) -> None:
        self.name = name
        self._platform = platform
        self._families = tuple(families)
        self._work = work
        self._every = every
        self._unhurried = every if unhurried is None else unhurried
        self._holder = holder_name()
        self._generation = 0
        self._saved: dict[LaneKey, int] = {}
        self._let_go: dict[LaneKey, int] = {}
        """How far each lane has been let go beyond what is saved."""
        self._next_move = -inf
        self._taken: dict[LaneKey, float] = {}
        self._brought = Brought({})
        self._next_look = 0.0
        self._pause = 0.0
        self._lease: Lease | None = None
        self._subscription: Subscription | None = None
        self._unguard: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"worker {self.name}")

    async def stop(self) -> None:
        """End, and give the lease to whoever comes next."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        self._forget()
        if self._lease is not None:
            try:
                await self._platform.leadership.release(self._lease)
            except Unavailable:
                log.info("the lease of %s runs out by itself: the database is away", self.name)

    async def round(self, *, look: bool = True) -> bool:
        """Do what there is to do now; True if there may be more. ``look`` at the heads too."""
        if not self._saved:
            await self._read_cursors()
        if (look or self._next_look == 0) and not await self._look():
            return True
        if (behind := self._brought.behind()) and not await self._read(behind):
            return True
        if not await self._step():
            return True
        return bool(self._brought.behind() or self._brought.lanes())

    async def _step(self) -> bool:
        """Do what is brought. False if the cursors are to be read again."""
        facts: dict[LaneKey, Sequence[Fact]] = {}
        left = MOST_FACTS
        # First those of which nothing was taken for the longest.
        for key in sorted(self._brought.lanes(), key=lambda key: self._taken.get(key, -inf)):
            if left <= 0:
                break
            facts[key] = self._brought.facts(key, left)
            left -= len(facts[key])
        self._pause = 0
        if not facts:
            return True
        effective = await self._work.matters(facts)
        self._pause = self._every if effective else self._unhurried
        now = time.monotonic()
        self._taken.update(dict.fromkeys(facts, now))
        steps: list[Step] = []
        for key, read in facts.items():
            end = read[-1].position
            if key in effective:
                steps.append(Step(*key, self._generation, self._saved[key], end, read))
            else:
                self._let_go[key] = end
                self._brought.reach(key, end)
        if steps and not self._note(steps, done=await self._work.apply(steps)):
            return False
        if not self._let_go or now < self._next_move:
            return True
        self._next_move = now + MOVE_EVERY
        late = [Step(*key, self._generation, self._saved[key], end, ()) for key, end in self._let_go.items()]
        return self._note(late, done=await self._move(late))

    async def _move(self, steps: Sequence[Step]) -> bool:
        rows = await self._platform.db.call(_MOVE, (self.name, *moves(steps)))
        return bool(rows[0][0])

    async def _read(self, behind: Mapping[LaneKey, int]) -> bool:
        """Read what the fan-out has not brought. False if the cursors are to be read again."""
        tails = await self._platform.log.tails(behind, limit=MOST_FACTS)
        if tails.generation != self._generation:
            self._next_look = 0
            return False
        for key, tail in tails.lanes.items():
            if behind[key] < tail.floor:
                step = Step(*key, self._generation, self._saved[key], tail.head, ())
                if not self._note([step], done=await self._work.catch_up(step)):
                    return False
            else:
                self._brought.read(key, tail)
        return True

    def _note(self, steps: Sequence[Step], *, done: bool) -> bool:
        if not done:
            lanes = ", ".join(f"{step.family}{step.lane}" for step in steps)
            log.info("worker %s: another has moved its cursor of one of %s", self.name, lanes)
            self._forget()
            return False
        for step in steps:
            self._saved[step.key] = step.end
            self._let_go.pop(step.key, None)
            self._brought.reach(step.key, step.end)
        return True

    async def _run(self) -> None:
        while True:
            pause = 1.0
            try:
                leadership = self._platform.leadership
                self._lease = await leadership.acquire(
                    self._name_of_lease, self._holder, ttl_ms=round(LEASE_SECONDS * 1000)
                )
                if self._lease is None:
                    self._forget()
                    await leadership.idle(self._name_of_lease, LEASE_SECONDS / 3)
                    continue
                # All workers of a process at the same time, in one statement.
                renewal = next_beat(LEASE_SECONDS / 3, aligned=True)
                while time.monotonic() < renewal:
                    if not await self.round(look=time.monotonic() >= self._next_look):
                        # Some facts gather, and then it is time as soon as there are any: for all workers of
                        # a process in the same turn, since what comes wakes each of them.
                        await asyncio.sleep(on_the_beat(self._pause))
                        await self._brought.wait(until(self._next_look))
                pause = 0
            except Unavailable as error:
                log.warning("worker %s waits: %s", self.name, error)
            except Exception:
                # What it follows must not stand still until the next start of a process.
                log.exception("worker %s failed, and tries again", self.name)
                self._forget()
            await asyncio.sleep(pause)

    @property
    def _name_of_lease(self) -> str:
        # A Lease of Kubernetes takes no underscore.
        return f"worker.{self.name.replace('_', '-')}"

    async def _look(self) -> bool:
        """Look at the heads. False if another generation has begun: the cursors are to be read again."""
        # As of this beat: the heads of the one before show only at the next what came right after them.
        age = time.monotonic() - self._next_look if self._next_look else 0.0
        heads = await self._platform.log.heads(max_age=min(age, 0.6 * LOOK_EVERY))
        self._next_look = next_beat(LOOK_EVERY)
        if heads.generation != self._generation:
            await self._change_generation(heads)
            return False
        for key in self._saved:
            self._brought.note(key, heads.of(key[0])[key[1]])
        return True

    async def _read_cursors(self) -> None:
        db = self._platform.db
        await db.call(_MAKE, (self.name, list(self._families)))
        async with db.read(primary=True) as session:
            rows = await session.fetch(_READ, (self.name,))
        # Those of one worker are moved to another generation in one statement.
        self._generation = min(row[2] for row in rows)
        self._saved = {(row[0], row[1]): row[3] for row in rows if row[0] in self._families}
        self._brought = Brought(self._saved, self._platform.settings.facts.waiting_mb * 1024 * 1024)
        self._next_look = 0
        self._subscription = self._platform.fanout.subscribe(self._families, self._on_group)
        self._unguard = self._platform.log.reader.follow(self._brought.ends)

    def _on_group(self, group: Group) -> None:
        if group.generation == self._generation:
            self._brought.offer((group.family, group.lane), group.facts)
        else:
            self._next_look = 0

    def _forget(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
        if self._unguard is not None:
            self._unguard()
            self._unguard = None
        self._saved = {}
        self._let_go = {}

    async def _change_generation(self, heads: Heads) -> None:
        old, log_ = self._generation, self._platform.log
        await log_.note_generation(heads.generation)
        cut = log_.cut_back(old)
        upto = {key: 0 if cut is None else cut.heads_of(key[0])[key[1]] for key in self._saved}
        await self._platform.db.call(
            _CUT,
            (
                heads.generation,
                [key[0] for key in upto],
                [key[1] for key in upto],
                list(upto.values()),
                self.name,
                old,
            ),
        )
        log.warning("worker %s: generation %d after %d", self.name, heads.generation, old)
        self._forget()


def moves(steps: Sequence[Step]) -> tuple[int, list[str], list[int], list[int], list[int]]:
    """The last parameters of `MOVE`. The steps are of one generation, which is the first of them."""
    return (
        steps[0].generation,
        [step.family for step in steps],
        [step.lane for step in steps],
        [step.start for step in steps],
        [step.end for step in steps],
    )


async def wait_for(
    platform: Platform,
    worker: str,
    positions: Mapping[LaneKey, int],
    *,
    matters: Callable[[FactsOfLanes], Awaitable[Collection[LaneKey]]],
    timeout: float = PATIENCE,
) -> bool:
    """Wait until the worker's cursors have reached these positions, or only facts lie between that do not
    matter to it: True, or False after ``timeout``.
    """
    until = time.monotonic() + timeout
    behind = await _behind(platform.db, worker, positions)
    if behind and not await _may_matter(platform, behind, positions, matters):
        return True
    while behind:
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(_LOOK_AGAIN)
        behind = await _behind(platform.db, worker, positions)
    return True


async def _behind(db: Database, worker: str, positions: Mapping[LaneKey, int]) -> dict[LaneKey, int]:
    """Where the cursors of lanes stand that have not reached these positions."""
    if not positions:
        return {}
    asked = ([key[0] for key in positions], [key[1] for key in positions], list(positions.values()), worker)
    async with db.read(primary=True) as session:
        return {(family, lane): at or 0 for family, lane, at in await session.fetch(_BEHIND, asked)}


async def _may_matter(
    platform: Platform,
    behind: Mapping[LaneKey, int],
    positions: Mapping[LaneKey, int],
    matters: Callable[[FactsOfLanes], Awaitable[Collection[LaneKey]]],
) -> bool:
    """Whether a fact that matters lies between where a cursor stands and a position."""
    tails = await platform.log.tails(behind, limit=_MOST_WEIGHED)
    between: dict[LaneKey, Sequence[Fact]] = {}
    for key, tail in tails.lanes.items():
        facts = [fact for fact in tail.facts if fact.position <= positions[key]]
        # Dropped, more than are looked at, or not yet at this replica of PostgreSQL.
        if tail.floor > behind[key] or not facts or facts[-1].position < positions[key]:
            return True
        between[key] = facts
    return bool(await matters(between))


async def marks_to_wait_for(
    platform: Platform, user_id: str, families: Sequence[str]
) -> Mapping[LaneKey, int]:
    """Where a view of these lanes must be for the user to read their own writes."""
    marks = await platform.marks.get(user_id)
    if marks is not None:
        return {key: position for key, position in marks.items() if key[0] in families}
    heads = await platform.log.heads(primary=True)
    return {(family, lane): head for family in families for lane, head in enumerate(heads.of(family)) if head}

"""A worker that follows lanes for ever: from where it stood, whoever of the replicas it was that stood there.

1. Whoever holds the worker's lease reads its cursors, (generation, position) of each lane, and looks at the
   heads a few times a second.
2. The facts of all lanes that are behind are read in one query, and handed over lane by lane.
3. The step that has an effect also moves the cursor, in one transaction and only from where the worker
   believes it to be: a zombie's step does nothing. So each fact takes effect once, though a step may be tried
   again.
4. In a new generation the cursors are cut back to where it began. A lane whose facts have been dropped before
   they were read (nothing ran for days) cannot be followed: `LaneWork.catch_up` makes its effect anew.

It polls, and follows no fan-out: what it does may be late by `every`, and a poll takes all that has gathered
at the price of one. Whoever must see a worker's effect waits for its cursor: `wait_for`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from plexus.platform.lanes.facts import Fact, Heads
from plexus.platform.lanes.order import LaneKey
from plexus.platform.periodic import holder_name
from plexus.platform.ports import Lease
from plexus.platform.postgres import Database
from plexus.protocol.errors import Unavailable

if TYPE_CHECKING:
    from plexus.platform.context import Platform

log = logging.getLogger(__name__)

LEASE_SECONDS = 6.0
"""The lease is renewed at a third of it."""
MOST_FACTS = 1000
"""Of a lane, in one step."""
_LOOK_AGAIN = 0.03

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

_REACHED = """
SELECT count(*) FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS w (family, lane, position)
  JOIN lanes.cursor AS c
    ON c.worker = %s AND c.shard = 0 AND c.family = w.family::"char" AND c.lane = w.lane
   AND c.position >= w.position
"""


@dataclass(frozen=True, slots=True)
class Step:
    """Some facts of a lane, and the move of the cursor that goes with their effect."""

    family: str
    lane: int
    generation: int
    start: int
    end: int
    facts: Sequence[Fact]


class LaneWork(Protocol):
    """What a worker does. Both say False if the cursor was not where the step begins: nothing was done."""

    async def apply(self, step: Step) -> bool:
        """The effect of the facts and the move of the cursor, in one transaction."""
        ...

    async def catch_up(self, step: Step) -> bool:
        """The same without facts: what there is in the lane up to ``end``, made anew."""
        ...


class LaneWorker:
    """One worker of a process; any number of processes may have it. ``start`` and ``stop``."""

    def __init__(
        self, platform: Platform, name: str, families: Sequence[str], work: LaneWork, *, every: float
    ) -> None:
        self.name = name
        self._platform = platform
        self._families = tuple(families)
        self._work = work
        self._every = every
        self._holder = holder_name()
        self._generation = 0
        self._positions: dict[LaneKey, int] = {}
        self._lease: Lease | None = None
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
        if self._lease is not None:
            try:
                await self._platform.leadership.release(self._lease)
            except Unavailable:
                log.info("the lease of %s runs out by itself: the database is away", self.name)

    async def round(self) -> bool:
        """Do what there is to do now; True if there may be more."""
        if not self._positions:
            await self._read_cursors()
        heads = await self._platform.log.heads(max_age=self._every / 2)
        if heads.generation != self._generation:
            await self._change_generation(heads)
            return True
        behind = {key: at for key, at in self._positions.items() if heads.of(key[0])[key[1]] > at}
        if not behind:
            return False
        tails = await self._platform.log.tails(behind, limit=MOST_FACTS)
        if tails.generation != self._generation:
            return True
        more = False
        for (family, lane), tail in tails.lanes.items():
            at = behind[family, lane]
            if at < tail.floor:
                step = Step(family, lane, self._generation, at, tail.head, ())
                done = await self._work.catch_up(step)
            elif tail.facts:
                end = tail.facts[-1].position
                step = Step(family, lane, self._generation, at, end, tail.facts)
                done = await self._work.apply(step)
                more = more or end < tail.head
            else:
                continue
            if not done:
                log.info("worker %s: another has moved its cursor of %s%d", self.name, family, lane)
                self._positions = {}
                return True
            self._positions[family, lane] = step.end
        return more

    async def _run(self) -> None:
        while True:
            pause = 1.0
            try:
                leadership = self._platform.leadership
                self._lease = await leadership.acquire(
                    self._name_of_lease, self._holder, ttl_ms=round(LEASE_SECONDS * 1000)
                )
                if self._lease is None:
                    self._positions = {}
                    await leadership.idle(self._name_of_lease, LEASE_SECONDS / 3)
                    continue
                until = time.monotonic() + LEASE_SECONDS / 3
                while time.monotonic() < until:
                    if not await self.round():
                        await asyncio.sleep(self._every)
                pause = 0
            except Unavailable as error:
                log.warning("worker %s waits: %s", self.name, error)
            except Exception:
                # What it follows must not stand still until the next start of a process.
                log.exception("worker %s failed, and tries again", self.name)
                self._positions = {}
            await asyncio.sleep(pause)

    @property
    def _name_of_lease(self) -> str:
        # A Lease of Kubernetes takes no underscore.
        return f"worker.{self.name.replace('_', '-')}"

    async def _read_cursors(self) -> None:
        db = self._platform.db
        await db.call(_MAKE, (self.name, list(self._families)))
        async with db.read(primary=True) as session:
            rows = await session.fetch(_READ, (self.name,))
        # Those of one worker are moved to another generation in one statement.
        self._generation = min(row[2] for row in rows)
        self._positions = {(row[0], row[1]): row[3] for row in rows if row[0] in self._families}

    async def _change_generation(self, heads: Heads) -> None:
        old, log_ = self._generation, self._platform.log
        await log_.note_generation(heads.generation)
        cut = log_.cut_back(old)
        upto = {key: 0 if cut is None else cut.heads_of(key[0])[key[1]] for key in self._positions}
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
        self._positions = {}


async def wait_for(
    db: Database, worker: str, positions: Mapping[LaneKey, int], *, timeout: float = 1.0
) -> bool:
    """Wait until the worker's cursors have reached these positions: True, or False after ``timeout``."""
    if not positions:
        return True
    wanted = (
        [key[0] for key in positions],
        [key[1] for key in positions],
        list(positions.values()),
        worker,
    )
    until = time.monotonic() + timeout
    while True:
        async with db.read(primary=True) as session:
            row = await session.one(_REACHED, wanted)
        if row is not None and row[0] == len(positions):
            return True
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(_LOOK_AGAIN)


async def marks_to_wait_for(
    platform: Platform, user_id: str, families: Sequence[str]
) -> Mapping[LaneKey, int]:
    """Where a view of these lanes must be for the user to read their own writes."""
    marks = await platform.marks.get(user_id)
    if marks is not None:
        return {key: position for key, position in marks.items() if key[0] in families}
    heads = await platform.log.heads(primary=True)
    return {(family, lane): head for family in families for lane, head in enumerate(heads.of(family)) if head}

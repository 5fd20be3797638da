"""Keeping the facts' segments: made ahead, opened by the clock, dropped when old.

Each step is repeatable, so it does no harm that two processes do it at once; one leader doing it is cheaper.
If nobody does it, facts go on into the open segment, so writers never fail for want of one, but nothing is
dropped either. So every process looks (`Segments.watch`), not only the one that maintains, and the metrics
``plexus.lanes.segments.ahead`` and ``plexus.lanes.segment.age`` have alerts (deploy/prometheus/alerts.yaml).
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from itertools import pairwise

from plexus.platform.lanes.kinds import FAMILIES
from plexus.platform.lanes.log import LaneLog
from plexus.platform.postgres import Database

log = logging.getLogger(__name__)

_SEGMENTS = """
SELECT number, extract(epoch FROM now() - opened)::float8 FROM lanes.segment ORDER BY number
"""


@dataclass(frozen=True, slots=True)
class SegmentState:
    """``ahead``: segments ready and not yet open. ``age``: seconds since the newest open one was opened.
    ``kept``: how many there are.
    """

    ahead: int
    age: float
    kept: int


class Segments:
    """``length``: seconds after which a new segment is opened; ``keep``: seconds that a fact is kept at
    least; ``ahead``: segments to have ready.
    """

    def __init__(
        self,
        db: Database,
        lanes: LaneLog,
        *,
        length: float = 86_400.0,
        keep: float = 604_800.0,
        ahead: int = 2,
    ) -> None:
        self._db = db
        self._lanes = lanes.lanes
        self._length = length
        self._keep = keep
        self._ahead = ahead
        self._closed: set[int] = set()
        self.last = SegmentState(0, 0.0, 0)
        self._looked = time.monotonic()

    async def maintain(self) -> SegmentState:
        """One round: make, open, close, drop. A segment is dropped the round after its floors were raised, so
        that no reader is in it.
        """
        segments = await self._read()
        opened = [number for number, age in segments if age is not None]
        current, age = opened[-1], dict(segments)[opened[-1]] or 0.0
        if age >= self._length:
            current += 1
            await self._make(current)
            await self._open(current)
        for number in range(current + 1, current + 1 + self._ahead):
            await self._make(number)
        await self._retire(segments)
        return await self.state()

    async def state(self) -> SegmentState:
        """How things stand; also kept in `last`, for the metrics."""
        segments = await self._read()
        ages = [age for _, age in segments if age is not None]
        self.last = SegmentState(len(segments) - len(ages), ages[-1], len(segments))
        self._looked = time.monotonic()
        if self.last.ahead < 1:
            log.error("no segment of facts is ready ahead: segment maintenance does not keep up")
        return self.last

    async def watch(self, every: float = 60.0) -> None:
        """Look for ever, in every process: the one that maintains may fail. Cancel to stop."""
        while True:
            try:
                await self.state()
            except Exception:
                # The age goes on growing, so the alert comes whatever the reason is.
                log.exception("could not look after the segments of facts")
            await asyncio.sleep(every)

    @property
    def age(self) -> float:
        """Seconds since the newest open segment was opened, as of now."""
        return self.last.age + time.monotonic() - self._looked

    async def _retire(self, segments: list[tuple[int, float | None]]) -> None:
        # All facts of a segment are older than the opening of the next one.
        for (number, _), (_, next_age) in pairwise(segments):
            if next_age is None or next_age < self._keep:
                return
            if number not in self._closed:
                for family in FAMILIES:
                    for lane in range(self._lanes.count(family)):
                        await self._db.call(
                            'SELECT lanes.close_segment(%s::text::"char", %s::smallint, %s::integer)',
                            (family, lane, number),
                        )
                self._closed.add(number)
                return
            [(gone,)] = await self._db.call("SELECT lanes.drop_segment(%s::integer)", (number,))
            if not gone:
                return
            log.info("segment %d of the facts is dropped", number)
            self._closed.discard(number)

    async def _make(self, number: int) -> None:
        await self._db.call("SELECT lanes.make_segment(%s::integer)", (number,))

    async def _open(self, number: int) -> None:
        for family in FAMILIES:
            for lane in range(self._lanes.count(family)):
                await self._db.call(
                    'SELECT lanes.open_segment(%s::text::"char", %s::smallint, %s::integer)',
                    (family, lane, number),
                )
        log.info("segment %d of the facts is open", number)

    async def _read(self) -> list[tuple[int, float | None]]:
        return [(number, age) for number, age in await self._db.call(_SEGMENTS)]

"""What the fan-out has brought to somebody who stands somewhere in the lanes, and how far the lanes reach. No
I/O but the waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from plexus.platform.lanes.facts import Fact, Tail
from plexus.platform.lanes.order import LaneKey, size_of

ENOUGH = 1_000
"""Facts of a lane that are there: more are not read before some of them are done with."""


class Brought:
    """``positions``: the last fact of each lane that is done with. Facts come in any order, any number of
    times; kept is what continues there without a hole, of what the fan-out brings ``limit`` bytes. What comes
    beyond is read from PostgreSQL, and that without bodies.
    """

    def __init__(self, positions: Mapping[LaneKey, int], limit: int = 64 * 1024 * 1024) -> None:
        self.bytes = 0
        self._limit = limit
        self._position = dict(positions)
        self._heads = dict(positions)
        self._noted: set[LaneKey] = set()
        """All lanes that may be behind, which are few of many."""
        self._facts: dict[LaneKey, list[Fact]] = {}
        self._news = asyncio.Event()

    def offer(self, key: LaneKey, facts: Sequence[Fact]) -> None:
        """``facts`` of consecutive positions."""
        last = facts[-1].position
        if last <= self._end(key):
            return
        if self.bytes < self._limit:
            self._keep(key, facts)
        self.note(key, last)
        self._news.set()

    def note(self, key: LaneKey, head: int) -> None:
        """The lane is known to reach so far."""
        if head > self._heads[key]:
            self._heads[key] = head
            self._noted.add(key)

    def read(self, key: LaneKey, tail: Tail) -> None:
        """What PostgreSQL has after the position that `behind` told."""
        if tail.facts:
            self._keep(key, tail.facts)
        # What else somebody said of this lane was not so.
        self._heads[key] = max(self._end(key), tail.head)
        self._noted.add(key)

    def ends(self) -> Iterator[tuple[LaneKey, int]]:
        """The last fact of each lane that is here or done with."""
        return ((key, self._end(key)) for key in self._position)

    def behind(self) -> dict[LaneKey, int]:
        """The lanes of which facts are to be read, and after which position."""
        ends = {key: end for key in self._noted if (end := self._end(key)) < self._heads[key]}
        self._noted = set(ends)
        return {key: end for key, end in ends.items() if len(self._facts.get(key, ())) < ENOUGH}

    def lanes(self) -> list[LaneKey]:
        """Those of which there is something."""
        self._news.clear()
        return list(self._facts)

    def facts(self, key: LaneKey, most: int) -> Sequence[Fact]:
        """What there is of the lane, at most so many."""
        return self._facts[key][:most]

    def reach(self, key: LaneKey, position: int) -> None:
        """All up to there is done with."""
        self._position[key] = position
        kept = self._facts.pop(key, [])
        left = [fact for fact in kept if fact.position > position]
        if left:
            self._facts[key] = left
        self.bytes -= size_of(kept[: len(kept) - len(left)])
        self.note(key, position)

    async def wait(self, seconds: float) -> None:
        """Until something is brought, or so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def _keep(self, key: LaneKey, facts: Sequence[Fact]) -> None:
        """What continues there."""
        end = self._end(key)
        first = facts[0].position
        if first <= end + 1 and (new := facts[end + 1 - first :]):
            self._facts.setdefault(key, []).extend(new)
            self.bytes += size_of(new)

    def _end(self, key: LaneKey) -> int:
        facts = self._facts.get(key)
        return facts[-1].position if facts else self._position[key]

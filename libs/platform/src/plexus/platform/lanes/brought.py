"""What the fan-out has brought to somebody who stands somewhere in the lanes, and how far the lanes reach. No
I/O but the waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from plexus.platform.lanes.facts import Fact, Tail
from plexus.platform.lanes.order import LaneKey

MOST_KEPT = 2_000
"""Facts of a lane that are kept; what comes beyond is read again from PostgreSQL."""


class Brought:
    """``positions``: the last fact of each lane that is done with. Facts come in any order, any number of
    times; kept is what continues there without a hole.
    """

    def __init__(self, positions: Mapping[LaneKey, int]) -> None:
        self._position = dict(positions)
        self._heads = dict(positions)
        self._facts: dict[LaneKey, list[Fact]] = {}
        self._news = asyncio.Event()

    def offer(self, key: LaneKey, facts: Sequence[Fact]) -> None:
        """``facts`` of consecutive positions."""
        end = self._end(key)
        first, last = facts[0].position, facts[-1].position
        if last <= end:
            return
        kept = self._facts.setdefault(key, [])
        if first <= end + 1 and len(kept) < MOST_KEPT:
            kept.extend(facts[end + 1 - first :])
        self.note(key, last)
        self._news.set()

    def note(self, key: LaneKey, head: int) -> None:
        """The lane is known to reach so far."""
        self._heads[key] = max(self._heads[key], head)

    def read(self, key: LaneKey, tail: Tail) -> None:
        """What PostgreSQL has after the position that `behind` told."""
        if tail.facts:
            self.offer(key, tail.facts)
        # What else somebody said of this lane was not so.
        self._heads[key] = max(self._end(key), tail.head)

    def behind(self) -> dict[LaneKey, int]:
        """The lanes of which facts are to be read, and after which position."""
        return {key: end for key, head in self._heads.items() if head > (end := self._end(key))}

    @property
    def is_behind(self) -> bool:
        return any(head > self._position[key] for key, head in self._heads.items())

    def lanes(self) -> list[LaneKey]:
        """Those of which there is something."""
        self._news.clear()
        return [key for key, facts in self._facts.items() if facts]

    def facts(self, key: LaneKey, most: int) -> Sequence[Fact]:
        """What there is of the lane, at most so many."""
        return self._facts[key][:most]

    def reach(self, key: LaneKey, position: int) -> None:
        """All up to there is done with."""
        self._position[key] = position
        self._facts[key] = [fact for fact in self._facts.get(key, ()) if fact.position > position]
        self.note(key, position)

    async def wait(self, seconds: float) -> None:
        """Until something is brought, or so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def _end(self, key: LaneKey) -> int:
        facts = self._facts.get(key)
        return facts[-1].position if facts else self._position[key]

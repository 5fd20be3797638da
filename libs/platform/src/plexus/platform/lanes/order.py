"""Putting the facts of lanes in order: positions, what waits behind a hole, and which lanes are behind. No
I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from plexus.platform.lanes.facts import Fact

LaneKey = tuple[str, int]

_MOST_PARKED = 1_000
_OVERHEAD = 200
"""Bytes that a fact costs besides its data and body, roughly."""


def size_of(facts: Sequence[Fact]) -> int:
    """What facts that wait cost in memory, in bytes, roughly."""
    return sum(_OVERHEAD + len(fact.data) + (0 if fact.body is None else len(fact.body)) for fact in facts)


class _Behind(NamedTuple):
    since: float
    known: int
    patiently: bool


class LaneOrder:
    """``position`` of a lane is the last one delivered. Facts come in any order, any number of times. Of
    those that wait behind a hole at most ``limit`` bytes are kept, ``waiting`` at the moment.
    """

    def __init__(self, positions: Mapping[LaneKey, int], limit: int = 64 * 1024 * 1024) -> None:
        self.position = dict(positions)
        self.limit = limit
        self.waiting = 0
        self._parked: dict[LaneKey, dict[int, Sequence[Fact]]] = {}
        self._behind: dict[LaneKey, _Behind] = {}

    def offer(self, key: LaneKey, facts: Sequence[Fact], now: float) -> Sequence[Fact]:
        """The part of ``facts`` (consecutive positions) that continues the lane; empty if there is none.

        Facts beyond a hole are parked for `unpark`. Too many parked are dropped: PostgreSQL has them.
        """
        position = self.position[key]
        first = facts[0].position
        if first == position + 1:
            return facts
        if first <= position:
            return facts[position + 1 - first :]
        parked = self._parked.setdefault(key, {})
        before = parked.get(first, ())
        more = size_of(facts) - size_of(before)
        if len(parked) < _MOST_PARKED and len(facts) > len(before) and self.waiting + more <= self.limit:
            parked[first] = facts
            self.waiting += more
        self.note_behind(key, facts[-1].position, now)
        return ()

    def move(self, key: LaneKey, position: int) -> None:
        """Everything up to ``position`` is delivered."""
        self.position[key] = position
        behind = self._behind.get(key)
        if behind is not None and behind.known <= position:
            del self._behind[key]

    def unpark(self, key: LaneKey) -> Sequence[Fact]:
        """Parked facts that continue the lane now; empty if there are none."""
        parked = self._parked.get(key)
        while parked:
            first = min(parked)
            position = self.position[key]
            if first > position + 1:
                break
            whole = parked.pop(first)
            self.waiting -= size_of(whole)
            facts = whole[position + 1 - first :]
            if facts:
                return facts
        if not parked:
            self._parked.pop(key, None)
        return ()

    def note_behind(self, key: LaneKey, known: int, since: float, *, patiently: bool = False) -> bool:
        """The lane is known to reach ``known``. True if it was not known to be behind, or less urgently.

        ``patiently``: nothing points to a loss, the facts may just be on their way. Such a note is kept as it
        is until its facts are here, or until somebody has reason to want them earlier.
        """
        if known <= self.position[key]:
            return False
        before = self._behind.get(key)
        if before is None:
            self._behind[key] = _Behind(since, known, patiently)
            return True
        if patiently:
            return False
        if before.patiently:
            self._behind[key] = _Behind(min(since, before.since), max(known, before.known), False)
            return True
        self._behind[key] = before._replace(known=max(known, before.known))
        return False

    def wait_again(self, key: LaneKey, since: float) -> None:
        behind = self._behind.get(key)
        if behind is not None:
            self._behind[key] = _Behind(since, behind.known, False)

    def parked(self, key: LaneKey) -> bool:
        """Something waits behind a hole."""
        return bool(self._parked.get(key))

    def caught_up(self, key: LaneKey) -> None:
        """There is no more of this lane now, whatever somebody said."""
        self._behind.pop(key, None)

    def due(self, noted_before: float) -> dict[LaneKey, int]:
        """Positions of the lanes that have been behind since ``noted_before`` or longer."""
        return {
            key: self.position[key] for key, behind in self._behind.items() if behind.since <= noted_before
        }

    def behind_since(self) -> float | None:
        """Since when the lane longest behind is behind."""
        return min((behind.since for behind in self._behind.values()), default=None)

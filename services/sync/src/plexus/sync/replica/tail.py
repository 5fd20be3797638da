"""The tail: the recent facts of every lane, bounded in bytes.

Facts of a lane are kept in the order of their positions, which have no holes, so a range of positions is a
slice. The facts of a room are kept a second time by room (the same objects), so a room's range is found
without looking at the other rooms of its lane. What falls out at the old end moves the lane's *floor*: a
token at or above the floor of each lane that matters is answered from here, an older one from the database.

Facts are plain tuples of numbers, text and bytes: the garbage collector stops tracking those, so a large tail
costs nothing per collection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

TailFact: TypeAlias = tuple[int, int, str, int, int, bytes, "bytes | None"]
"""(position, kind, subject, lo, hi, data, body), as in `plexus.platform.lanes.Fact`."""

POSITION: Final = 0
KIND: Final = 1
SUBJECT: Final = 2
LO: Final = 3
HI: Final = 4
DATA: Final = 5
BODY: Final = 6

_OVERHEAD = 200
"""Bytes that a fact costs besides its data and body: the tuple, its numbers, two list slots."""
_MANY = 100
"""Facts of a room that are looked at to tell whether there is one of a kind."""


class LaneTail:
    """The recent facts of one lane. ``floor`` is the position up to which facts have fallen out or were never
    seen, ``head`` that of the newest one.
    """

    __slots__ = ("_facts", "_gone", "floor", "head")

    def __init__(self, head: int) -> None:
        self.floor = head
        self.head = head
        self._facts: list[TailFact] = []
        self._gone = 0
        """How many facts at the beginning of the list have fallen out and wait to be cut off."""

    def append(self, fact: TailFact) -> bool:
        """Add the next fact; False if it has been seen. A hole is an error of the follower: `ValueError`."""
        position = fact[POSITION]
        if position <= self.head:
            return False
        if position != self.head + 1:
            raise ValueError(f"Position {position} after {self.head}: the follower has left a hole")
        self._facts.append(fact)
        self.head = position
        return True

    def drop_oldest(self) -> TailFact:
        fact = self._facts[self._gone]
        self._gone += 1
        self.floor = fact[POSITION]
        if self._gone > 1024 and self._gone * 2 > len(self._facts):
            del self._facts[: self._gone]
            self._gone = 0
        return fact

    def replace(self, fact: TailFact) -> None:
        """Put this fact in the place of the one at its position, which must be here."""
        self._facts[self._gone + fact[POSITION] - self.floor - 1] = fact

    def between(self, after: int, upto: int) -> Sequence[TailFact]:
        """The facts with after < position <= upto; ``after`` must not be below the floor."""
        if after < self.floor:
            raise ValueError(f"Position {after} is below the floor {self.floor}")
        first = self._gone + after - self.floor
        return self._facts[first : first + max(0, upto - after)]


class SubjectTail:
    """The recent facts of one room (or user) of a lane, oldest first."""

    __slots__ = ("facts", "lane")

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self.facts: deque[TailFact] = deque()

    @property
    def last(self) -> int:
        """The position of the newest fact."""
        return self.facts[-1][POSITION]

    def may_have(self, kind: int, after: int) -> bool:
        """Whether there is a fact of this kind after a position. Among very many others there may be."""
        for seen, fact in enumerate(reversed(self.facts)):
            if fact[POSITION] <= after:
                return False
            if fact[KIND] == kind or seen == _MANY:
                return True
        return False

    def between(self, after: int, upto: int) -> list[TailFact]:
        """The facts with after < position <= upto, oldest first. The newest are looked at first: they are
        wanted.
        """
        found: list[TailFact] = []
        for fact in reversed(self.facts):
            position = fact[POSITION]
            if position <= after:
                break
            if position <= upto:
                found.append(fact)
        found.reverse()
        return found


class FamilyTail:
    """The tails of all lanes of a family, under one bound in bytes."""

    __slots__ = ("_arrivals", "bytes", "dropped", "lanes", "limit", "subjects")

    def __init__(self, heads: Iterable[int], limit: int) -> None:
        self.lanes = [LaneTail(head) for head in heads]
        self.subjects: dict[str, SubjectTail] = {}
        self.limit = limit
        self.bytes = 0
        self.dropped = 0
        """How many facts have fallen out."""
        self._arrivals: deque[int] = deque()

    @property
    def heads(self) -> tuple[int, ...]:
        return tuple([lane.head for lane in self.lanes])

    def append(self, lane: int, fact: TailFact) -> bool:
        """Add the next fact of a lane and let the oldest fall out if there is no room; False if seen."""
        if not self.lanes[lane].append(fact):
            return False
        subject = self.subjects.get(fact[SUBJECT])
        if subject is None:
            subject = self.subjects[fact[SUBJECT]] = SubjectTail(lane)
        subject.facts.append(fact)
        self._arrivals.append(lane)
        self.bytes += size_of(fact)
        while self.bytes > self.limit and self._arrivals:
            self._drop_oldest()
        return True

    def erase(self, subject: str, kind: int, lo: int, hi: int) -> None:
        """Forget the bodies of a subject's facts of this kind whose range meets ``lo`` to ``hi``."""
        tail = self.subjects.get(subject)
        if tail is None:
            return
        for index, fact in enumerate(tail.facts):
            if fact[KIND] == kind and fact[LO] <= hi and lo <= fact[HI] and fact[BODY] is not None:
                bare: TailFact = (*fact[:6], None)
                self.bytes += size_of(bare) - size_of(fact)
                tail.facts[index] = bare
                self.lanes[tail.lane].replace(bare)

    def holds(self, after: Sequence[int]) -> bool:
        """Whether everything after this vector is here."""
        return all(lane.floor <= position for lane, position in zip(self.lanes, after, strict=True))

    def _drop_oldest(self) -> None:
        fact = self.lanes[self._arrivals.popleft()].drop_oldest()
        self.bytes -= size_of(fact)
        self.dropped += 1
        subject = self.subjects[fact[SUBJECT]]
        subject.facts.popleft()
        if not subject.facts:
            del self.subjects[fact[SUBJECT]]


def size_of(fact: TailFact) -> int:
    """What a fact costs in memory, in bytes, roughly."""
    body = fact[BODY]
    return _OVERHEAD + len(fact[DATA]) + (0 if body is None else len(body))

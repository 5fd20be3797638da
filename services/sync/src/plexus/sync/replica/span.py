"""What the tail has between two cuts.

Settled once for all who ask: the members of a room come with the same token and are told up to the same cut.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from plexus.platform.lanes import RoomFact
from plexus.sync.replica.cut import Cut
from plexus.sync.replica.tail import KIND, SUBJECT, FamilyTail

_MANY = 2_000
"""Facts that are walked to find the rooms. With more, whoever asks looks through their own rooms."""

_EVENTS = int(RoomFact.EVENTS)
_RECEIPT = int(RoomFact.RECEIPT)


@dataclass(slots=True)
class Span:
    """``in_tail``: whether the tail reaches back to ``since``. ``moved`` are the lanes with facts in between,
    ``rooms`` the rooms with events and ``receipts`` those with receipts, None if there are too many to say.
    """

    since: Cut
    cut: Cut
    dropped: int
    in_tail: bool
    moved: frozenset[int]
    rooms: Set[str] | None
    receipts: Set[str] | None

    def is_of(self, tail: FamilyTail, since: Cut, cut: Cut) -> bool:
        """Whether this says what the tail has between these two."""
        return self.since is since and self.cut is cut and self.dropped == tail.dropped

    @classmethod
    def of(cls, tail: FamilyTail, since: Cut, cut: Cut) -> Span:
        moved = [
            (lane, after, upto)
            for lane, (after, upto) in enumerate(zip(since.rooms, cut.rooms, strict=True))
            if after < upto
        ]
        in_tail = all(tail.lanes[lane].floor <= after for lane, after, _ in moved)
        rooms: set[str] | None = None
        receipts: set[str] | None = None
        if in_tail and sum(upto - after for _, after, upto in moved) <= _MANY:
            rooms, receipts = set(), set()
            for lane, after, upto in moved:
                for fact in tail.lanes[lane].between(after, upto):
                    if fact[KIND] == _EVENTS:
                        rooms.add(fact[SUBJECT])
                    elif fact[KIND] == _RECEIPT:
                        receipts.add(fact[SUBJECT])
        # What has been dropped later makes this untrue.
        lanes = frozenset(lane for lane, _, _ in moved)
        return cls(since, cut, tail.dropped, in_tail, lanes, rooms, receipts)

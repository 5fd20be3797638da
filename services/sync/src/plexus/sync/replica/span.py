"""What the tail has between two cuts.

Settled once for all who ask: the members of a room come with the same token and are told up to the same cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plexus.platform.lanes import RoomFact
from plexus.sync.replica.cut import Cut
from plexus.sync.replica.tail import KIND, SUBJECT, FamilyTail
from plexus.sync.replica.views import Membership


@dataclass(slots=True)
class Span:
    """``in_tail``: whether the tail reaches back to ``since``. ``moved`` are the lanes with facts in between,
    ``facts`` is how many those are.
    """

    since: Cut
    cut: Cut
    tail: FamilyTail
    dropped: int
    in_tail: bool
    moved: frozenset[int]
    facts: int
    _rooms: dict[int, set[str]] | None = field(default=None, repr=False)
    """By kind of fact, the rooms; None before anybody needed it."""

    def is_of(self, tail: FamilyTail, since: Cut, cut: Cut) -> bool:
        """Whether this says what the tail has between these two."""
        # What has been dropped later makes it untrue.
        return self.since is since and self.cut is cut and self.dropped == tail.dropped

    @classmethod
    def of(cls, tail: FamilyTail, since: Cut, cut: Cut) -> Span:
        moved = [
            (lane, after, upto)
            for lane, (after, upto) in enumerate(zip(since.rooms, cut.rooms, strict=True))
            if after < upto
        ]
        lanes = tail.lanes
        in_tail = all(after >= lanes[lane].floor for lane, after, _ in moved)
        facts = sum(upto - after for _, after, upto in moved)
        return cls(since, cut, tail, tail.dropped, in_tail, frozenset([lane for lane, _, _ in moved]), facts)

    def among(self, joined: Mapping[str, Membership], kind: RoomFact) -> list[Membership]:
        """Those of a user's rooms that may have facts of this kind; the tail must reach back.

        The shorter way to them: through the facts, once for all who ask, or through the user's rooms. One who
        comes back after a while has few rooms, and the facts of all others are many.
        """
        if self.facts <= len(joined):
            named = self._named().get(kind)
            return [joined[room_id] for room_id in named if room_id in joined] if named else []
        subjects, since = self.tail.subjects, self.since.rooms
        return [
            membership
            for room_id, membership in joined.items()
            if membership.ref.lane in self.moved
            and (subject := subjects.get(room_id)) is not None
            and subject.may_have(kind, since[membership.ref.lane])
        ]

    def _named(self) -> dict[int, set[str]]:
        if self._rooms is None:
            self._rooms = {}
            for lane in self.moved:
                for fact in self.tail.lanes[lane].between(self.since.rooms[lane], self.cut.rooms[lane]):
                    self._rooms.setdefault(fact[KIND], set()).add(fact[SUBJECT])
        return self._rooms

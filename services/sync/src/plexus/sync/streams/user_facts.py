"""What the tail knows of a user's lane between token and cut."""

from __future__ import annotations

from collections.abc import Set

from plexus.platform.lanes import UserFact
from plexus.sync.replica import Cut, Replica
from plexus.sync.replica.tail import DATA, KIND
from plexus.sync.streams.context import Answer


class UserFacts:
    """``kinds`` is None if the tail does not reach back so far: then anything may have happened."""

    __slots__ = ("_devices", "kinds")

    def __init__(self, kinds: Set[int] | None, devices: Set[str]) -> None:
        self.kinds = kinds
        self._devices = devices

    @property
    def is_nothing(self) -> bool:
        """Whether nothing has happened in the user's lane that concerns them."""
        return self.kinds is not None and not self.kinds

    def any_of(self, kinds: Set[int]) -> bool:
        return self.kinds is None or not self.kinds.isdisjoint(kinds)

    def key_counts_of(self, device_id: str) -> bool:
        """Whether the keys of a device may have changed in number."""
        return self.kinds is None or device_id in self._devices


_NOTHING = UserFacts(frozenset(), frozenset())
_ANYTHING = UserFacts(None, frozenset())


def user_facts(replica: Replica, answer: Answer, since: Cut) -> UserFacts:
    """The user's facts between a cut and that of the answer."""
    lane = answer.view.lane
    after, upto = since.users[lane], answer.cut.users[lane]
    if after >= upto:
        return _NOTHING
    if after < replica.users.lanes[lane].floor:
        return _ANYTHING
    subject = replica.users.subjects.get(answer.user_id)
    if subject is None or subject.last <= after:
        return _NOTHING
    facts = subject.between(after, upto)
    return UserFacts(
        {fact[KIND] for fact in facts},
        {fact[DATA].decode() for fact in facts if fact[KIND] == UserFact.KEY_COUNTS},
    )

"""States that may not be stored yet: a snapshot, and what differs from it.

Resolving states and placing events upon them goes on without a lock, so numbers that are given when something
is stored cannot be used: others may take them first. A `Variant` therefore names events by their IDs and
places by type and state key. It says the same whatever becomes of the room meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from plexus.rooms.head import StateKey

Identity: TypeAlias = tuple[int, frozenset[tuple[StateKey, str | None]]]


@dataclass(frozen=True, slots=True)
class Variant:
    """The state of the snapshot ``base``, but for ``changes``: event IDs, None where an entry is gone."""

    base: int
    changes: Mapping[StateKey, str | None] = field(default_factory=dict)

    @property
    def identity(self) -> Identity:
        """Equal for what is made alike; hashable."""
        return (self.base, frozenset(self.changes.items()))

    def after(self, key: StateKey, event_id: str) -> Variant:
        """The state after a state event upon this one."""
        return Variant(self.base, {**self.changes, key: event_id})


def set_of(states: Sequence[Variant]) -> frozenset[Identity]:
    """What a resolution hangs on: which states there are, not their order, nor how often one comes."""
    return frozenset(state.identity for state in states)


def distinct(states: Sequence[Variant]) -> list[Variant]:
    """The states without those that come again, in their order."""
    return list({state.identity: state for state in states}.values())

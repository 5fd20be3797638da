"""How long it takes to resolve the states of two branches of a large room."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from plexus.protocol import RoomVersion
from plexus.protocol.state_resolution import (
    Lookups,
    StateKey,
    cited_by,
    conflicted_part,
    resolve,
    resolve_states,
)

from tests.load.kernel_timing import fastest
from tests.support.large_rooms import ForkedRoom, forked_room


@dataclass(frozen=True)
class Case:
    """Two branches of a room with so many members, which differ in so many places."""

    version: RoomVersion
    members: int
    conflicts: int
    room: ForkedRoom

    @property
    def name(self) -> str:
        algorithm = self.version.state_resolution
        return f"{algorithm}, {self.members:,} members, {self.conflicts:,} in conflict"


def case(version: RoomVersion, members: int) -> Case:
    """A thousand places in conflict, or a tenth of a smaller room."""
    conflicts = min(1_000, members // 10)
    return Case(version, members, conflicts, forked_room(version, members, conflicts))


@dataclass(frozen=True)
class Times:
    """Milliseconds: from the conflicted places alone, as the engine has them, and from the whole states; and
    what came out, as a digest.
    """

    differences: float
    states: float
    resolved: str


def measure(one: Case, seconds: float) -> Times:
    room = one.room
    first = room.states[0]
    conflicted = conflicted_part(room.states)
    differing = set().union(*conflicted)
    event, rank = room.events.get, room.ranks.__getitem__

    def cited_by_unconflicted(ids: Set[str]) -> Set[str]:
        unconflicted = (event_id for key, event_id in first.items() if key not in differing)
        return cited_by(unconflicted, ids, event, rank)

    lookups = Lookups(event, lambda kind, key: first.get((kind, key)), cited_by_unconflicted, rank)
    partly = fastest(lambda: resolve(one.version, conflicted, lookups), seconds)
    wholly = fastest(lambda: resolve_states(one.version, room.states, event, rank=rank), seconds)
    resolved: Mapping[StateKey, str] = resolve_states(one.version, room.states, event, rank=rank)
    return Times(1_000 * partly, 1_000 * wholly, digest(resolved.values()))


def digest(event_ids: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(event_ids)).encode()).hexdigest()

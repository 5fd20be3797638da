"""State resolution, as a port.

A room whose history has forked has several extremities, and the state after them must be resolved before
anything can be built on it. Local writes follow one another, so they never fork a room: only events from
other servers do. The adapter that resolves comes with the state resolution kernel; until then
`UnresolvedState` says so.

Server-Server API, "Room State Resolution".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from plexus.protocol.room_versions import RoomVersion
from plexus.rooms.errors import StateResolutionUnavailable

StateMap: TypeAlias = Mapping[tuple[str, str], int]
"""(type, state key) to the room-scoped number of the event."""


class StateResolver(Protocol):
    """Resolves the states after several extremities into one."""

    async def resolve(self, room_id: str, version: RoomVersion, states: Sequence[int]) -> StateMap:
        """The resolved state of the snapshots ``states``."""


class UnresolvedState:
    """The adapter for as long as there is no resolution: every question is a 503."""

    async def resolve(self, room_id: str, version: RoomVersion, states: Sequence[int]) -> StateMap:
        raise StateResolutionUnavailable(room_id)

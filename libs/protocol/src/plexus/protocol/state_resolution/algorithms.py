"""The way in: which algorithm a room version has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from plexus.protocol.room_versions import RoomVersion
from plexus.protocol.state_resolution.lookups import Conflicted, Lookups, Room, StateKey
from plexus.protocol.state_resolution.v1 import resolve_v1
from plexus.protocol.state_resolution.v2 import resolve_v2, resolve_v2_1

Algorithm: TypeAlias = Callable[[RoomVersion, Room], dict[StateKey, str]]

_ALGORITHMS: Mapping[str, Algorithm] = {"v1": resolve_v1, "v2": resolve_v2, "v2.1": resolve_v2_1}


def resolve(version: RoomVersion, conflicted: Conflicted, lookups: Lookups) -> dict[StateKey, str]:
    """What the resolved state has beside the unconflicted state: (type, state key) to event ID.

    ``conflicted`` has one mapping a state, with its entries at the places where not all states are the same.
    A place of it that is not in the answer is empty in the resolved state; the answer may also fill places
    that no state fills. The order of the states does not matter.

    Raises `MissingEvents` for what ``lookups`` does not have; `ValueError` if ranks do not grow along
    auth events; and whatever the look-ups raise.
    """
    if not any(conflicted):
        return {}
    room = Room(conflicted, lookups)
    resolved = _ALGORITHMS[version.state_resolution](version, room)
    room.demand()
    return resolved

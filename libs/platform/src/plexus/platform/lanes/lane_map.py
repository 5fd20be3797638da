"""Which lane a room or a user belongs to. Fixed when the deployment is created."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from plexus.platform.lanes.kinds import ROOM


@dataclass(frozen=True, slots=True)
class LaneMap:
    """``rooms`` and ``users`` are the numbers of lanes, stored in ``lanes.deployment``."""

    rooms: int = 64
    users: int = 16

    def room(self, room_id: str) -> int:
        return lane_of(room_id, self.rooms)

    def user(self, user_id: str) -> int:
        return lane_of(user_id, self.users)

    def count(self, family: str) -> int:
        return self.rooms if family == ROOM else self.users


def lane_of(subject: str, lanes: int) -> int:
    """The first 8 bytes of SHA-256, big-endian, modulo ``lanes``; never ``hash()``, which is salted."""
    return int.from_bytes(sha256(subject.encode()).digest()[:8], "big") % lanes

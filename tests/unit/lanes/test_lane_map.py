from __future__ import annotations

import hashlib

import pytest
from plexus.platform.lanes import ROOM, USER, LaneMap


def test_a_lane_is_the_first_eight_bytes_of_sha256() -> None:
    room = "!abc:example.org"
    wanted = int.from_bytes(hashlib.sha256(room.encode()).digest()[:8], "big")
    assert LaneMap().room(room) == wanted % 64
    assert LaneMap().user(room) == wanted % 16
    assert LaneMap(rooms=3, users=5).room(room) == wanted % 3


@pytest.mark.parametrize(
    ("room", "lane"), [("!abc:example.org", 48), ("!room:plexus.test", 61), ("!ü:x", 45)]
)
def test_lanes_never_change(room: str, lane: int) -> None:
    # They are stored: a change here would lose every room.
    assert LaneMap().room(room) == lane


def test_counts() -> None:
    assert LaneMap().count(ROOM) == 64
    assert LaneMap().count(USER) == 16

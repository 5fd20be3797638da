"""What somebody is told of a room that they have left, by their memberships of it."""

from __future__ import annotations

import pytest
from plexus.rooms import Viewer
from plexus.rooms.visibility import NOW, Interval
from plexus.sync.streams.leaving import Leaving, archived, left

LEFT = [(1, 5, "join"), (5, NOW, "leave")]
BANNED = [(1, 5, "join"), (5, 8, "leave"), (8, NOW, "ban")]
DECLINED = [(5, 8, "invite"), (8, NOW, "leave")]
BACK_AND_GONE = [(1, 3, "join"), (3, 6, "leave"), (6, 9, "join"), (9, NOW, "leave")]
INVITED = [*BACK_AND_GONE[:3], (9, 10, "leave"), (10, NOW, "invite")]


def eyes(intervals: list[tuple[int, int, str]], forgotten: bool = False) -> Viewer:
    return Viewer("@alice:example.org", [Interval(*each) for each in intervals], [], forgotten)


@pytest.mark.parametrize(
    ("intervals", "ordinal", "stands", "told"),
    [
        (LEFT, 5, 3, Leaving(3, 5, members_at=5)),
        (LEFT, 5, 0, Leaving(None, 5, has_gap=True, members_at=5)),
        (LEFT, 5, None, Leaving(None, 5, has_gap=True, members_at=5)),
        (BANNED, 8, 3, Leaving(7, 8, has_gap=True, members_at=3)),
        (BANNED, 8, None, Leaving(7, 8, has_gap=True, members_at=5)),
        (BANNED, 8, 0, Leaving(7, 8)),
        (BANNED, 8, 6, Leaving(7, 8)),
        (DECLINED, 8, 6, Leaving(7, 8)),
        (DECLINED, 8, None, Leaving(7, 8)),
        (BACK_AND_GONE, 9, 7, Leaving(7, 9, members_at=9)),
        (BACK_AND_GONE, 9, 2, Leaving(None, 9, has_gap=True, members_at=9)),
        (INVITED, 10, 7, Leaving(9, 10, has_gap=True, members_at=7)),
        (INVITED, 10, 2, Leaving(9, 10, has_gap=True, members_at=2)),
        (INVITED, 10, 4, Leaving(9, 10)),
    ],
)
def test_what_is_told_since_a_token(
    intervals: list[tuple[int, int, str]], ordinal: int, stands: int | None, told: Leaving
) -> None:
    assert left(eyes(intervals), ordinal, stands) == told


def test_an_archived_room_is_as_it_was_when_the_user_left_it() -> None:
    assert archived(eyes(LEFT), 5) == Leaving(None, 5)
    assert archived(eyes(BANNED), 8) == Leaving(None, 5)
    assert archived(eyes(DECLINED), 8) == Leaving(7, 8)


def test_who_has_forgotten_a_room_is_told_the_fact_only() -> None:
    assert left(eyes(LEFT, forgotten=True), 5, 3) == Leaving(4, 5)

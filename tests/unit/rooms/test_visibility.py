"""Judging by intervals equals judging by the state around each event."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol.visibility import HistoryVisibility, may_see
from plexus.rooms import Place, Viewer
from plexus.rooms.visibility import NOW, Interval

MEMBERSHIPS = ("join", "invite", "leave", "ban", "knock")
VISIBILITIES: tuple[HistoryVisibility, ...] = ("world_readable", "shared", "invited", "joined")

# What each event of a room does: change the viewer's membership, the visibility, or nothing.
stories = st.lists(st.sampled_from([*MEMBERSHIPS, *VISIBILITIES, None, None]), max_size=25)


def viewer_of(story: list[str | None]) -> Viewer:
    """The intervals as the write path keeps them; a join after a join goes on."""
    intervals: list[Interval] = []
    visibilities: list[tuple[int, HistoryVisibility]] = []
    for ordinal, change in enumerate(story, start=1):
        if change in MEMBERSHIPS:
            if intervals and intervals[-1].membership == change == "join":
                continue
            if intervals:
                last = intervals.pop()
                intervals.append(Interval(last.start, ordinal, last.membership))
            intervals.append(Interval(ordinal, NOW, str(change)))
        for visibility in VISIBILITIES:
            if change == visibility:
                visibilities.append((ordinal, visibility))
    return Viewer("@me:x", intervals, visibilities)


@given(stories)
def test_intervals_equal_a_walk_through_the_room(story: list[str | None]) -> None:
    viewer = viewer_of(story)
    states: list[tuple[str | None, HistoryVisibility]] = [(None, "shared")]
    for change in story:
        membership, visibility = states[-1]
        if change in MEMBERSHIPS:
            membership = change
        visibility = next((v for v in VISIBILITIES if v == change), visibility)
        states.append((membership, visibility))
    for ordinal in range(1, len(story) + 1):
        joined_later = any(membership == "join" for membership, _ in states[ordinal:])
        (before, visibility_before), (after, visibility_after) = states[ordinal - 1], states[ordinal]
        expected = any(
            may_see(visibility, membership, joined_later=joined_later)
            for membership in (before, after)
            for visibility in (visibility_before, visibility_after)
        )
        found = viewer.at(Place(ordinal))
        assert found.visible == expected
        assert found.membership == after
        assert found.history_visibility == visibility_after
    assert viewer.membership == states[-1][0]
    assert viewer.history_visibility == states[-1][1]
    assert viewer.has_joined == ("join" in story)


@given(stories)
def test_when_somebody_left(story: list[str | None]) -> None:
    viewer = viewer_of(story)
    left_at = None
    is_in = False
    for ordinal, change in enumerate(story, start=1):
        if change in MEMBERSHIPS:
            if is_in and change != "join":
                left_at = ordinal
            is_in = change == "join"
    assert viewer.left_at == (None if is_in else left_at)


@given(stories, st.integers(1, 25), st.integers(-9, -1))
def test_history_fetched_later_is_judged_by_what_came_before_its_gap(
    story: list[str | None], ordinal: int, sub: int
) -> None:
    viewer = viewer_of(story)
    assert viewer.at(Place(ordinal, sub)) == viewer.at(Place(ordinal - 1))


def test_a_forgotten_room_is_not_to_be_read() -> None:
    intervals = [Interval(1, 5, "join"), Interval(5, NOW, "leave")]
    assert Viewer("@me:x", intervals, []).may_read
    assert not Viewer("@me:x", intervals, [], forgotten=True).may_read
    assert Viewer("@me:x", [], [(1, "world_readable"), (3, "joined")]).may_read
    assert not Viewer("@me:x", [Interval(1, NOW, "invite")], []).may_read

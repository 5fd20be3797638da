"""The tail: ranges of positions, rooms, the bound in bytes, erasure."""

from __future__ import annotations

import random

import pytest
from plexus.sync.replica.tail import BODY, POSITION, FamilyTail, TailFact, size_of


def fact(position: int, room: str = "!a", lo: int = 0, body: bytes | None = b"x" * 100) -> TailFact:
    return (position, 1, room, lo, lo, b"", body)


def positions(facts: object) -> list[int]:
    return [one[POSITION] for one in facts]  # type: ignore[attr-defined]


@pytest.fixture
def tail() -> FamilyTail:
    return FamilyTail((10, 0), 1_000_000)


def test_a_range_holds_what_lies_after_the_first_and_up_to_the_last(tail: FamilyTail) -> None:
    for position in range(11, 21):
        tail.append(0, fact(position))
    assert positions(tail.lanes[0].between(12, 15)) == [13, 14, 15]
    assert positions(tail.lanes[0].between(10, 10)) == []
    assert positions(tail.lanes[0].between(19, 99)) == [20]
    assert positions(tail.subjects["!a"].between(12, 15)) == [13, 14, 15]
    assert tail.heads == (20, 0)


def test_a_position_below_the_floor_is_refused(tail: FamilyTail) -> None:
    tail.append(0, fact(11))
    with pytest.raises(ValueError, match="floor"):
        tail.lanes[0].between(9, 11)
    assert not tail.holds((9, 0))
    assert tail.holds((10, 0))


def test_a_fact_seen_before_is_dropped_and_a_hole_is_an_error(tail: FamilyTail) -> None:
    assert tail.append(0, fact(11))
    assert not tail.append(0, fact(11))
    assert not tail.append(0, fact(3))
    with pytest.raises(ValueError, match="hole"):
        tail.append(0, fact(13))


def test_what_does_not_fit_falls_out_at_the_old_end_of_all_lanes() -> None:
    one = size_of(fact(1))
    tail = FamilyTail((0, 0), 3 * one)
    tail.append(0, fact(1, "!a"))
    tail.append(1, fact(1, "!b"))
    tail.append(0, fact(2, "!a"))
    tail.append(1, fact(2, "!c"))
    tail.append(1, fact(3, "!c"))
    assert tail.bytes == 3 * one
    assert [lane.floor for lane in tail.lanes] == [1, 1]
    assert set(tail.subjects) == {"!a", "!c"}
    assert positions(tail.subjects["!a"].facts) == [2]
    assert not tail.holds((0, 3))


def test_a_random_tail_answers_as_a_plain_list_does() -> None:
    rng = random.Random(7)
    tail = FamilyTail((0, 0, 0), 20_000)
    seen: list[list[TailFact]] = [[], [], []]
    for _ in range(5_000):
        lane = rng.randrange(3)
        new = fact(len(seen[lane]) + 1, f"!{lane}{rng.randrange(5)}", body=b"y" * rng.randrange(400))
        tail.append(lane, new)
        seen[lane].append(new)
    for lane, facts in enumerate(seen):
        floor = tail.lanes[lane].floor
        assert 0 < floor < len(facts)
        after = rng.randrange(floor, len(facts))
        upto = rng.randrange(after, len(facts) + 1)
        assert list(tail.lanes[lane].between(after, upto)) == facts[after:upto]
        for room in {one[2] for one in facts[floor:]}:
            assert tail.subjects[room].between(after, upto) == [f for f in facts[after:upto] if f[2] == room]
    kept = sum(size_of(one) for lane, facts in enumerate(seen) for one in facts[tail.lanes[lane].floor :])
    assert tail.bytes == kept <= 20_000


def test_erasing_takes_the_body_and_leaves_the_fact(tail: FamilyTail) -> None:
    tail.append(0, fact(11, lo=5))
    tail.append(0, fact(12, lo=6))
    before = tail.bytes
    tail.erase("!a", 1, 5, 5)
    assert [one[BODY] for one in tail.subjects["!a"].facts] == [None, b"x" * 100]
    assert [one[BODY] for one in tail.lanes[0].between(10, 12)] == [None, b"x" * 100]
    assert tail.bytes == before - 100
    tail.erase("!unknown", 1, 5, 5)
    tail.append(0, fact(13, lo=7))
    tail.erase("!a", 1, 0, 6)
    assert [one[BODY] for one in tail.subjects["!a"].facts] == [None, None, b"x" * 100]

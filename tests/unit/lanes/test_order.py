"""Whatever is offered, in whatever order: each fact once, in order, and a hole is waited for."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st
from plexus.platform.lanes import Fact
from plexus.platform.lanes.order import LaneOrder, size_of

KEY = ("r", 0)


def run(first: int, count: int) -> list[Fact]:
    return [Fact(position, 1, "!a:x") for position in range(first, first + count)]


def offer(order: LaneOrder, facts: Sequence[Fact], now: float = 0) -> list[int]:
    """Offer, and deliver what comes of it as a follower does."""
    delivered: list[int] = []
    ready = order.offer(KEY, facts, now)
    while ready:
        delivered += [fact.position for fact in ready]
        order.move(KEY, ready[-1].position)
        ready = order.unpark(KEY)
    return delivered


@example([(2, 2), (2, 1), (1, 1)])
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 6)), max_size=60))
def test_each_position_once_and_in_order(runs: list[tuple[int, int]]) -> None:
    order = LaneOrder({KEY: 0})
    delivered: list[int] = []
    for first, count in runs:
        delivered += offer(order, run(first, count))
    offered = {position for first, count in runs for position in range(first, first + count)}
    whole = next(n for n in range(len(offered) + 1) if n + 1 not in offered)
    assert delivered == list(range(1, whole + 1))
    assert (order.behind_since() is None) == (max(offered, default=0) == whole)


def test_a_hole_is_noted_once_and_forgotten_when_it_closes() -> None:
    order = LaneOrder({KEY: 4})
    assert offer(order, run(6, 1), now=10.0) == []
    assert offer(order, run(8, 1), now=11.0) == []
    assert order.due(9.9) == {}
    assert order.due(10.0) == {KEY: 4}
    assert offer(order, run(5, 1), now=12.0) == [5, 6]
    assert order.due(12.0) == {KEY: 6}
    assert offer(order, run(5, 4), now=13.0) == [7, 8]
    assert order.due(99.0) == {}


def test_what_waits_behind_a_hole_takes_bounded_memory() -> None:
    body = bytes(1_000)
    facts = [[Fact(position, 1, "!a:x", body=body)] for position in range(2, 12)]
    order = LaneOrder({KEY: 0}, limit=5_000)
    for each in facts:
        assert offer(order, each) == []
    assert order.waiting == 4 * size_of(facts[0]) <= 5_000
    # Again, and more of it: counted once.
    assert offer(order, facts[0]) == []
    assert order.waiting == 4 * size_of(facts[0])
    assert offer(order, run(1, 1)) == [1, 2, 3, 4, 5]
    assert order.waiting == 0
    assert order.due(0) == {KEY: 5}


def test_known_to_be_behind() -> None:
    order = LaneOrder({KEY: 4})
    assert not order.note_behind(KEY, 4, 1.0)
    assert order.note_behind(KEY, 6, 1.0)
    assert not order.note_behind(KEY, 9, 2.0)
    assert order.behind_since() == 1.0
    order.wait_again(KEY, 3.0)
    assert order.behind_since() == 3.0
    assert offer(order, run(5, 5)) == [5, 6, 7, 8, 9]
    assert order.behind_since() is None


def test_what_is_on_its_way_is_waited_for_patiently_unless_somebody_misses_it() -> None:
    order = LaneOrder({KEY: 4})
    assert order.note_behind(KEY, 6, 5.0, patiently=True)
    # Looking again finds the same and more: neither makes it more urgent, nor does the new wait for the old.
    assert not order.note_behind(KEY, 9, 6.0, patiently=True)
    assert order.due(4.9) == {}
    assert order.due(5.0) == {KEY: 4}
    assert offer(order, run(5, 2), now=4.0) == [5, 6]
    assert order.behind_since() is None
    # A hole in what arrives is a reason, and so is somebody who waits.
    assert order.note_behind(KEY, 9, 5.0, patiently=True)
    assert offer(order, run(8, 1), now=2.0) == []
    assert order.due(2.0) == {KEY: 6}
    assert not order.note_behind(KEY, 9, 1.0)
    assert not order.note_behind(KEY, 9, 1.0, patiently=True)
    assert order.behind_since() == 2.0
    assert offer(order, run(7, 3)) == [7, 8, 9]
    assert order.behind_since() is None


def test_one_that_waits_does_not_make_it_later() -> None:
    order = LaneOrder({KEY: 4})
    order.note_behind(KEY, 6, 5.0, patiently=True)
    assert order.note_behind(KEY, 7, 8.0)
    assert order.behind_since() == 5.0


def test_what_is_parked_is_bounded() -> None:
    order = LaneOrder({KEY: 0})
    for first in range(3, 5_000, 2):
        offer(order, run(first, 1))
    assert order.parked(KEY)
    assert offer(order, run(1, 2)) == [1, 2, 3]
    for position in range(4, 5_000, 2):
        offer(order, run(position, 1))
    assert order.position[KEY] == 2_002  # 1,000 were parked: up to 2,001

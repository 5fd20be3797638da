"""What the fan-out has brought: only what continues without a hole is taken as it came."""

from __future__ import annotations

import asyncio

from plexus.platform.lanes import ROOM, Fact, RoomFact
from plexus.platform.lanes.brought import ENOUGH, Brought
from plexus.platform.lanes.facts import Tail

LANE = (ROOM, 3)
OTHER = (ROOM, 4)


def facts(first: int, last: int) -> list[Fact]:
    return [Fact(position, RoomFact.EVENTS, "!room") for position in range(first, last + 1)]


def positions(brought: Brought, most: int = 1000) -> list[int]:
    return [fact.position for fact in brought.facts(LANE, most)]


def test_what_continues_is_kept_in_order() -> None:
    brought = Brought({LANE: 10, OTHER: 0})
    assert brought.lanes() == [] and brought.behind() == {}
    brought.offer(LANE, facts(11, 12))
    brought.offer(LANE, facts(13, 13))
    assert brought.lanes() == [LANE]
    assert positions(brought) == [11, 12, 13]
    assert positions(brought, 2) == [11, 12]
    assert brought.behind() == {}
    brought.reach(LANE, 12)
    assert positions(brought) == [13]
    brought.reach(LANE, 13)
    assert brought.lanes() == [] and brought.behind() == {}


def test_repeated_and_overlapping_groups_count_once() -> None:
    brought = Brought({LANE: 10})
    brought.offer(LANE, facts(8, 12))
    brought.offer(LANE, facts(8, 12))
    brought.offer(LANE, facts(10, 14))
    assert positions(brought) == [11, 12, 13, 14]
    brought.reach(LANE, 14)
    brought.offer(LANE, facts(9, 14))
    assert brought.lanes() == []


def test_a_hole_is_to_be_read() -> None:
    brought = Brought({LANE: 10})
    brought.offer(LANE, facts(11, 11))
    brought.offer(LANE, facts(13, 14))
    assert positions(brought) == [11]
    assert brought.behind() == {LANE: 11}
    brought.read(LANE, Tail(head=15, floor=0, facts=facts(12, 14)))
    assert positions(brought) == [11, 12, 13, 14]
    assert brought.behind() == {LANE: 14}
    brought.read(LANE, Tail(head=15, floor=0, facts=facts(15, 15)))
    assert brought.behind() == {}


def test_heads_tell_of_what_was_not_brought() -> None:
    brought = Brought({LANE: 10, OTHER: 7})
    brought.note(LANE, 12)
    brought.note(OTHER, 7)
    assert brought.behind() == {LANE: 10}
    # A head that was told wrongly is forgotten when the lane is read.
    brought.read(LANE, Tail(head=11, floor=0, facts=facts(11, 11)))
    assert brought.behind() == {}


def test_what_comes_while_a_step_is_under_way_is_kept() -> None:
    brought = Brought({LANE: 10})
    brought.offer(LANE, facts(11, 12))
    taken = brought.facts(LANE, 1000)
    brought.offer(LANE, facts(13, 13))
    brought.reach(LANE, taken[-1].position)
    assert positions(brought) == [13]


def test_no_more_is_kept_than_may_be() -> None:
    body = b"x" * 1000
    brought = Brought({LANE: 0, OTHER: 0}, limit=10_000)
    for position in range(1, 100):
        brought.offer(LANE, [Fact(position, RoomFact.EVENTS, "!room", body=body)])
    kept = positions(brought)
    assert 8 <= len(kept) <= 10
    assert 10_000 <= brought.bytes < 11_500
    assert brought.behind() == {LANE: kept[-1]}
    # Also of other lanes, until there is room again.
    brought.offer(OTHER, facts(1, 1))
    assert brought.behind() == {LANE: kept[-1], OTHER: 0}
    brought.reach(LANE, kept[-1])
    assert brought.bytes == 0
    brought.offer(OTHER, facts(1, 2))
    assert brought.behind() == {LANE: kept[-1]}
    brought.reach(OTHER, 2)
    assert brought.bytes == 0


def test_what_is_read_is_not_read_ever_further() -> None:
    brought = Brought({LANE: 0}, limit=1)
    brought.note(LANE, 5 * ENOUGH)
    brought.read(LANE, Tail(head=5 * ENOUGH, floor=0, facts=facts(1, ENOUGH)))
    assert brought.behind() == {}
    brought.reach(LANE, 10)
    assert brought.behind() == {LANE: ENOUGH}


async def test_waiting_ends_with_news() -> None:
    brought = Brought({LANE: 0})
    await asyncio.wait_for(brought.wait(0.01), 1)
    waiting = asyncio.create_task(brought.wait(60))
    await asyncio.sleep(0)
    brought.offer(LANE, facts(1, 1))
    await asyncio.wait_for(waiting, 1)

"""A follower sees every fact once, in order, whatever the fan-out does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
import pytest_asyncio
from plexus.platform.lanes import (
    ROOM,
    USER,
    Fact,
    Follower,
    Group,
    LaneFanout,
    LaneLog,
    MemoryFanout,
    read_lane_map,
)
from plexus.platform.postgres import Database

from tests.support.lanes import append

MIGRATIONS = ("platform",)


@dataclass
class Lanes:
    log: LaneLog
    fanout: LaneFanout = field(default_factory=MemoryFanout)


@dataclass
class Seen:
    """A handler that remembers."""

    facts: list[tuple[str, int, int]] = field(default_factory=list)
    generations: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, family: str, lane: int, facts: Sequence[Fact]) -> None:
        self.facts += [(family, lane, fact.position) for fact in facts]

    def new_generation(self, old: int, new: int) -> None:
        self.generations.append((old, new))

    def positions(self, family: str, lane: int) -> list[int]:
        return [position for f, number, position in self.facts if (f, number) == (family, lane)]


@pytest_asyncio.fixture
async def lanes(db: Database) -> Lanes:
    log = LaneLog(db, await read_lane_map(db))
    await log.start()
    return Lanes(log)


@pytest_asyncio.fixture
async def follow(lanes: Lanes) -> AsyncIterator[Callable[..., Follower]]:
    made: list[Follower] = []

    def make(handler: object, **options: object) -> Follower:
        follower = Follower(lanes, (ROOM, USER), handler, name="test", **options)  # type: ignore[arg-type]
        made.append(follower)
        return follower

    yield make
    for follower in made:
        await follower.stop()


async def write(db: Database, lanes: Lanes, lane: int, count: int = 1, family: str = ROOM) -> Group:
    """Commit facts and return the group that a writer would publish."""
    facts = [Fact(0, 1, "!a:x", body=b"event") for _ in range(count)]
    first = await append(db, family, lane, facts)
    return Group(
        lanes.log.generation(),
        family,
        lane,
        tuple(Fact(first + i, 1, "!a:x", body=b"event") for i in range(count)),
    )


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_published_group_is_delivered_at_once_with_its_bodies(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    await write(db, lanes, 1)
    seen = Seen()
    bodies: list[bytes | None] = []

    def handler(family: str, lane: int, facts: Sequence[Fact]) -> None:
        seen(family, lane, facts)
        bodies.extend(fact.body for fact in facts)

    follower = follow(handler)
    await follower.start()
    start = follower.position(ROOM, 1)
    lanes.fanout.publish(await write(db, lanes, 1, 3))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert seen.positions(ROOM, 1) == [start + 1, start + 2, start + 3]
    assert bodies == [b"event"] * 3
    assert follower.position(ROOM, 1) == start + 3
    assert follower.stats.read == 0


async def test_a_hole_that_closes_by_itself_reads_nothing(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    seen = Seen()
    follower = follow(seen, hole_wait=1.0)
    await follower.start()
    start = follower.position(ROOM, 2)
    groups = [await write(db, lanes, 2) for _ in range(4)]
    for group in reversed(groups):
        lanes.fanout.publish(group)
    lanes.fanout.publish(groups[0])
    await until(lambda: follower.position(ROOM, 2) == start + 4)
    assert seen.positions(ROOM, 2) == [start + 1, start + 2, start + 3, start + 4]
    assert follower.stats.read == 0


async def test_a_lost_group_is_read_after_25_ms(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    seen = Seen()
    follower = follow(seen, idle_poll=60.0)
    await follower.start()
    start = follower.position(ROOM, 3)
    await write(db, lanes, 3)
    await write(db, lanes, 4)
    third = await write(db, lanes, 3)
    lanes.fanout.publish(third)
    began = asyncio.get_running_loop().time()
    await until(lambda: follower.position(ROOM, 3) == start + 2)
    assert 0.02 < asyncio.get_running_loop().time() - began < 5.0
    assert seen.positions(ROOM, 3) == [start + 1, start + 2]


async def test_facts_nobody_publishes_are_seen_by_polling(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    seen = Seen()
    follower = follow(seen, idle_poll=0.3)
    await follower.start()
    start = follower.position(USER, 5)
    await write(db, lanes, 5, family=USER)
    await until(lambda: follower.position(USER, 5) == start + 1)
    polls = follower.stats.polls
    for _ in range(5):
        await write(db, lanes, 5, family=USER)
        await asyncio.sleep(0.1)
    await until(lambda: follower.position(USER, 5) == start + 6)
    # While the fan-out brings nothing it looks ten times a second and not three.
    assert follower.stats.polls - polls >= 3
    assert seen.positions(USER, 5) == list(range(start + 1, start + 7))


@pytest.fixture
def long_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups count as arriving for a minute after the last one, however long a test takes."""
    monkeypatch.setattr("plexus.platform.lanes.follower._FAN_OUT_SILENT_AFTER", 60.0)


@pytest.mark.usefixtures("long_heard")
async def test_what_is_still_on_its_way_is_not_read_while_groups_arrive(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    follower = follow(Seen(), idle_poll=0.02, patience=60.0)
    await follower.start()
    lanes.fanout.publish(await write(db, lanes, 9))
    on_its_way = await write(db, lanes, 10)
    polls = follower.stats.polls
    await until(lambda: follower.stats.polls > polls + 10)  # long after the 25 ms of a hole
    assert follower.stats.read == 0
    assert follower.lag == 1
    lanes.fanout.publish(on_its_way)
    await until(lambda: follower.position(ROOM, 10) == on_its_way.last)
    assert follower.stats.read == 0


async def test_patience_ends(db: Database, lanes: Lanes, follow: Callable[..., Follower]) -> None:
    follower = follow(Seen(), idle_poll=0.05, patience=0.3)
    await follower.start()
    lanes.fanout.publish(await write(db, lanes, 9))
    began = asyncio.get_running_loop().time()
    lost = await write(db, lanes, 10)
    await until(lambda: follower.position(ROOM, 10) == lost.last)
    assert 0.25 < asyncio.get_running_loop().time() - began < 3.0
    assert follower.stats.read == 1


@pytest.mark.usefixtures("long_heard")
async def test_a_hole_or_one_who_waits_ends_patience(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    follower = follow(Seen(), idle_poll=0.05, patience=60.0)
    await follower.start()
    lanes.fanout.publish(await write(db, lanes, 9))
    lost = [await write(db, lanes, lane) for lane in (10, 11)]
    after = await write(db, lanes, 10)
    polls = follower.stats.polls
    await until(lambda: follower.stats.polls > polls + 1)
    assert follower.stats.read == 0
    assert await follower.wait_for(ROOM, 11, lost[1].last, 5.0)
    lanes.fanout.publish(after)
    await until(lambda: follower.position(ROOM, 10) == after.last)


async def test_a_group_that_comes_when_it_was_read_ends_the_frequent_looking(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    follower = follow(Seen(), idle_poll=0.5, busy_poll=0.02)
    await follower.start()
    late = await write(db, lanes, 9)
    await until(lambda: follower.position(ROOM, 9) == late.last)
    began, polls = asyncio.get_running_loop().time(), follower.stats.polls
    lanes.fanout.publish(late)
    await asyncio.sleep(0.45)
    elapsed = asyncio.get_running_loop().time() - began
    assert follower.stats.polls - polls <= 2 + elapsed / 0.5


async def test_waiting_for_a_position_reads_it_if_nobody_brings_it(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    follower = follow(Seen(), idle_poll=60.0)
    await follower.start()
    position = (await write(db, lanes, 6)).last
    assert await follower.wait_for(ROOM, 6, position, 5.0)
    assert await follower.wait_for(ROOM, 6, position, 0.0)
    assert not await follower.wait_for(ROOM, 6, position + 1, 0.1)
    waiting = asyncio.create_task(follower.wait_for(ROOM, 6, position + 1, 5.0))
    await asyncio.sleep(0.1)
    lanes.fanout.publish(await write(db, lanes, 6))
    assert await waiting


async def test_an_asynchronous_handler_gets_one_call_at_a_time(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    seen = Seen()
    running = most = 0

    async def handler(family: str, lane: int, facts: Sequence[Fact]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        seen(family, lane, facts)
        running -= 1

    follower = follow(handler)
    await follower.start()
    start = {lane: follower.position(ROOM, lane) for lane in (7, 8)}
    for n in range(20):
        lanes.fanout.publish(await write(db, lanes, 7 + n % 2))
    await until(lambda: all(follower.position(ROOM, lane) == start[lane] + 10 for lane in (7, 8)))
    assert most == 1
    for lane in (7, 8):
        assert seen.positions(ROOM, lane) == list(range(start[lane] + 1, start[lane] + 11))


async def test_what_comes_while_the_handler_is_busy_takes_bounded_memory_and_is_delivered(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    seen, going_on = Seen(), asyncio.Event()

    async def handler(family: str, lane: int, facts: Sequence[Fact]) -> None:
        await going_on.wait()
        seen(family, lane, facts)

    limit = 20_000
    follower = follow(handler, waiting_bytes=limit, idle_poll=0.2)
    await follower.start()
    start = {lane: follower.position(ROOM, lane) for lane in (7, 8)}
    for n in range(60):
        group = await write(db, lanes, 7 + n % 2)
        body = replace(group.facts[0], body=bytes(1_000))
        lanes.fanout.publish(replace(group, facts=(body,)))
        assert follower.waiting_bytes <= limit
    assert follower.waiting_bytes > limit / 4
    assert follower.stats.dropped > 20
    await until(lambda: follower.behind > 1)
    going_on.set()
    await until(lambda: all(follower.position(ROOM, lane) == start[lane] + 30 for lane in (7, 8)))
    for lane in (7, 8):
        assert seen.positions(ROOM, lane) == list(range(start[lane] + 1, start[lane] + 31))
    assert follower.waiting_bytes == 0
    await until(lambda: follower.behind == 0)


class Fails:
    """A handler that fails for one lane, until ``fails`` is taken away."""

    def __init__(self, lane: int) -> None:
        self.lane = lane
        self.fails = True

    def __call__(self, family: str, lane: int, facts: Sequence[Fact]) -> None:
        if lane == self.lane and self.fails:
            raise RuntimeError("not now")


async def test_a_lane_that_stands_still_is_behind_by_the_time_that_it_stands(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    handler = Fails(lane=9)
    follower = follow(handler, idle_poll=0.2)
    await follower.start()
    assert follower.behind == 0
    began = time.monotonic()
    await write(db, lanes, 9)
    await until(lambda: follower.behind > 1.5)
    assert follower.behind <= time.monotonic() - began + 0.4
    # Whatever happens in other lanes meanwhile.
    lanes.fanout.publish(await write(db, lanes, 10))
    assert follower.behind > 1.5
    handler.fails = False
    await until(lambda: follower.behind == 0)


async def test_who_has_caught_up_is_not_behind_until_the_next_look(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    handler = Fails(lane=9)
    follower = follow(handler, idle_poll=0.8)
    await follower.start()
    head = follower.position(ROOM, 9) + 1
    await write(db, lanes, 9)
    await until(lambda: follower.behind > 2.5)
    handler.fails = False
    await until(lambda: follower.position(ROOM, 9) == head)
    assert follower.behind == 0


async def test_facts_whose_handler_failed_come_again(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    seen = Seen()
    failures = 2

    def handler(family: str, lane: int, facts: Sequence[Fact]) -> None:
        nonlocal failures
        if lane == 9 and failures:
            failures -= 1
            raise RuntimeError("not now")
        seen(family, lane, facts)

    follower = follow(handler)
    await follower.start()
    start = follower.position(ROOM, 9)
    for _ in range(3):
        lanes.fanout.publish(await write(db, lanes, 9))
    lanes.fanout.publish(await write(db, lanes, 10))
    await asyncio.sleep(0.05)
    assert seen.positions(ROOM, 9) == []
    assert len(seen.positions(ROOM, 10)) == 1
    await until(lambda: follower.position(ROOM, 9) == start + 3)
    assert seen.positions(ROOM, 9) == [start + 1, start + 2, start + 3]
    assert follower.stats.failures == 2


async def test_starting_from_positions_brings_what_came_since(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    group = await write(db, lanes, 11, 5)
    seen = Seen()
    follower = follow(seen, start={(ROOM, 11): group.first})
    await follower.start()
    await until(lambda: follower.position(ROOM, 11) == group.last)
    assert seen.positions(ROOM, 11) == list(range(group.first + 1, group.last + 1))


async def test_a_new_generation_is_told_before_its_facts(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    seen = Seen()
    follower = follow(seen, on_generation=seen.new_generation, idle_poll=60.0)
    await follower.start()
    before = follower.position(ROOM, 12)
    lanes.fanout.publish(await write(db, lanes, 12))
    await until(lambda: follower.position(ROOM, 12) == before + 1)
    waiting = asyncio.create_task(follower.wait_for(ROOM, 12, before + 9, 5.0))
    await asyncio.sleep(0)
    old = follower.generation
    new = await lanes.log.begin_generation("test")
    assert new != old
    lanes.fanout.publish(await write(db, lanes, 12))
    await until(lambda: follower.position(ROOM, 12) == before + 2)
    assert seen.generations == [(old, new)]
    assert follower.generation == new
    # Nothing was lost in between, so nothing came twice.
    assert seen.positions(ROOM, 12) == [before + 1, before + 2]
    assert await waiting is False


async def test_positions_of_a_lost_history_are_cut_back(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    seen = Seen()
    follower = follow(seen, on_generation=seen.new_generation, idle_poll=0.1)
    await follower.start()
    group = await write(db, lanes, 13, 5)
    lanes.fanout.publish(group)
    await until(lambda: follower.position(ROOM, 13) == group.last)
    # What a restore does to the lane: its last three facts are gone, and a generation begins.
    await db.call("DELETE FROM lanes.fact WHERE lane = 13 AND position > %s RETURNING 1", (group.first + 1,))
    await db.call(
        "UPDATE lanes.lane SET head = %s WHERE family = 'r' AND lane = 13 RETURNING 1", (group.first + 1,)
    )
    await lanes.log.begin_generation("restored")
    again = await write(db, lanes, 13, 2)
    assert again.first == group.first + 2
    await until(lambda: seen.generations and follower.position(ROOM, 13) == again.last)
    first = group.first
    assert seen.positions(ROOM, 13) == [*range(first, first + 5), first + 2, first + 3]


async def test_below_the_floor_a_follower_goes_on_and_says_so(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    group = await write(db, lanes, 14, 5)
    await db.call("DELETE FROM lanes.fact WHERE lane = 14 AND position < %s RETURNING 1", (group.last,))
    await db.call(
        "UPDATE lanes.lane SET floor = %s WHERE family = 'r' AND lane = 14 RETURNING 1", (group.last - 1,)
    )
    seen = Seen()
    follower = follow(seen, start={(ROOM, 14): group.first}, on_generation=seen.new_generation)
    await follower.start()
    await until(lambda: follower.position(ROOM, 14) == group.last)
    assert seen.positions(ROOM, 14) == [group.last]
    assert seen.generations == [(follower.generation, follower.generation)]
    assert follower.stats.broken == 0


async def test_a_hole_in_the_log_itself_is_counted(
    db: Database, lanes: Lanes, follow: Callable[..., Follower]
) -> None:
    seen = Seen()
    follower = follow(seen, idle_poll=60.0)
    await follower.start()
    group = await write(db, lanes, 15, 3)
    await db.call("DELETE FROM lanes.fact WHERE lane = 15 AND position = %s RETURNING 1", (group.first,))
    assert await follower.wait_for(ROOM, 15, group.last, 5.0)
    assert follower.stats.broken == 1
    assert seen.positions(ROOM, 15) == [group.first + 1, group.last]

"""``lanes.append`` and what `LaneLog` reads of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from plexus.platform.lanes import ROOM, USER, BelowFloor, Fact, LaneLog, LaneMap, read_lane_map
from plexus.platform.postgres import Database, StoreUnavailable

from tests.support.lanes import append

MIGRATIONS = ("platform",)


@pytest_asyncio.fixture
async def log(db: Database) -> AsyncIterator[LaneLog]:
    log = LaneLog(db, await read_lane_map(db))
    await log.start()
    yield log


async def test_a_new_deployment_has_64_room_lanes_and_16_user_lanes(db: Database, log: LaneLog) -> None:
    assert log.lanes == LaneMap(rooms=64, users=16)
    heads = await log.heads()
    assert (len(heads.rooms), len(heads.users)) == (64, 16)
    assert heads.generation == log.generation() > 0


async def test_positions_count_from_one_in_each_lane(db: Database, log: LaneLog) -> None:
    assert await append(db, ROOM, 1, [Fact(0, 1, "!a:x", 5, 6), Fact(0, 2, "!b:x", data=b"d")]) == 1
    assert await append(db, ROOM, 2, [Fact(0, 1, "!c:x")]) == 1
    assert await append(db, USER, 1, [Fact(0, 1, "@a:x")]) == 1
    assert await append(db, ROOM, 1, [Fact(0, 3, "!a:x")]) == 3
    heads = await log.heads()
    assert heads.rooms[:3] == (0, 3, 1)
    assert heads.users[:2] == (0, 1)
    assert await log.facts(ROOM, 1, 0) == [
        Fact(1, 1, "!a:x", 5, 6),
        Fact(2, 2, "!b:x", data=b"d"),
        Fact(3, 3, "!a:x"),
    ]
    assert [fact.position for fact in await log.facts(ROOM, 1, 1, 2)] == [2]
    assert [fact.position for fact in await log.facts_of(ROOM, 1, "!a:x", 0, 9)] == [1, 3]
    assert await log.facts_of(ROOM, 1, "!a:x", 1, 2) == []


async def test_what_is_rolled_back_leaves_no_hole(db: Database, log: LaneLog) -> None:
    first = await append(db, ROOM, 3, [Fact(0, 1, "!a:x")])
    with pytest.raises(psycopg.errors.NotNullViolation):
        await append(db, ROOM, 3, [Fact(0, 1, "!a:x"), Fact(0, 1, None)])  # type: ignore[arg-type]
    assert await append(db, ROOM, 3, [Fact(0, 1, "!a:x")]) == first + 1


async def test_a_lane_that_is_not_there_is_an_error(db: Database, log: LaneLog) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match=r"there is no lane r\.64"):
        await append(db, ROOM, 64, [Fact(0, 1, "!a:x")])
    with pytest.raises(LookupError):
        await log.facts(ROOM, 64, 0)


async def test_a_lane_that_somebody_holds_costs_two_seconds_and_not_the_lane(db: Database) -> None:
    async with db.write() as session:
        await session.execute("UPDATE lanes.lane SET head = head WHERE family = 'r' AND lane = 9")
        with pytest.raises(StoreUnavailable) as refused:
            await append(db, ROOM, 9, [Fact(0, 1, "!a:x")])
        assert refused.value.sqlstate == "55P03"
        assert refused.value.status == 503
        assert refused.value.headers["Retry-After"] == "1"
    await append(db, ROOM, 9, [Fact(0, 1, "!a:x")])


async def test_facts_below_the_floor_are_refused(db: Database, log: LaneLog) -> None:
    await append(db, ROOM, 4, [Fact(0, 1, "!a:x"), Fact(0, 1, "!a:x")])
    await db.call("UPDATE lanes.lane SET floor = 1 WHERE family = 'r' AND lane = 4 RETURNING floor")
    assert await log.floor(ROOM, 4) == 1
    with pytest.raises(BelowFloor):
        await log.facts(ROOM, 4, 0)
    with pytest.raises(BelowFloor):
        await log.facts_of(ROOM, 4, "!a:x", 0, 9)
    assert len(await log.facts(ROOM, 4, 1)) == 1

"""Generations: when one begins, and what becomes of tokens of older ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg
import pytest
from plexus.platform.lanes import ROOM, USER, Fact, LaneLog, LaneMap, SyncToken, read_lane_map
from plexus.platform.postgres import Database

from tests.support.lanes import append
from tests.support.postgres import TestDatabase

MIGRATIONS = ("platform",)


async def token_now(log: LaneLog) -> SyncToken:
    heads = await log.heads()
    return SyncToken(heads.generation, heads.rooms, heads.users, to_device=7)


async def started(db: Database, **how: bool) -> LaneLog:
    log = LaneLog(db, await read_lane_map(db))
    await log.start(**how)
    return log


async def test_an_embedded_start_begins_one_and_another_does_not(db: Database) -> None:
    first = await started(db)
    second = await started(db, embedded=True)
    assert second.generation() != first.generation()
    assert (await started(db)).generation() == second.generation()
    await first.note_generation(second.generation())
    assert first.generation() == second.generation()


async def test_a_token_of_the_newest_generation_stands(db: Database) -> None:
    log = await started(db)
    token = await token_now(log)
    assert await log.clamp(token) is token


async def test_a_token_is_cut_back_to_where_the_next_generation_began(db: Database) -> None:
    log = await started(db)
    await append(db, ROOM, 1, [Fact(0, 1, "!a:x")] * 3)
    await append(db, USER, 2, [Fact(0, 1, "@a:x")] * 2)
    old = await token_now(log)
    # What the token's client has seen beyond is lost.
    seen_more = replace(
        old,
        rooms=tuple(p + 5 if lane == 1 else p for lane, p in enumerate(old.rooms)),
        users=tuple(p + 1 if lane == 2 else p for lane, p in enumerate(old.users)),
    )
    behind = replace(old, rooms=tuple(max(p - 1, 0) for p in old.rooms))
    await log.begin_generation("one")
    await append(db, ROOM, 1, [Fact(0, 1, "!a:x")] * 9)
    await log.begin_generation("two")
    for given, wanted in ((old, old), (seen_more, old), (behind, behind)):
        assert await log.clamp(given) == replace(wanted, generation=log.generation())


async def test_a_token_of_an_unknown_generation_or_shape_is_none(db: Database) -> None:
    log = await started(db)
    token = await token_now(log)
    assert await log.clamp(replace(token, generation=12345)) is None
    assert await log.clamp(replace(token, rooms=token.rooms[:-1])) is None
    assert await log.clamp(replace(token, users=())) is None


async def test_a_generation_that_a_restore_wiped_out_is_cut_back_while_it_is_remembered(db: Database) -> None:
    log = await started(db)
    await append(db, ROOM, 3, [Fact(0, 1, "!a:x")] * 2)
    kept = await token_now(log)
    lost_id = await log.begin_generation("will be lost")
    await append(db, ROOM, 3, [Fact(0, 1, "!a:x")] * 5)
    lost = await token_now(log)
    assert lost.generation == lost_id
    # The restore of a copy from before.
    await db.call("DELETE FROM lanes.generation WHERE id = %s RETURNING 1", (lost_id,))
    await db.call(
        "UPDATE lanes.lane SET head = %s WHERE family = 'r' AND lane = 3 RETURNING 1", (kept.rooms[3],)
    )
    await log.begin_generation("restored")
    cut = await log.clamp(lost)
    assert cut is not None
    assert cut.rooms == kept.rooms
    assert cut.generation == log.generation()
    fresh = await started(db)
    assert await fresh.clamp(lost) is None
    assert await fresh.clamp(kept) == replace(kept, generation=fresh.generation())


async def test_a_changed_timeline_begins_one_with_the_first_connection(
    db: Database, database: TestDatabase
) -> None:
    log = await started(db)
    before = log.generation()
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute("UPDATE lanes.generation SET timeline = 99 WHERE id = %s", (before,))
    others = [database.open() for _ in range(3)]
    logs = [LaneLog(other, LaneMap()) for other in others]
    try:
        await asyncio.gather(*(other.start() for other in logs))
        assert len({other.generation() for other in logs}) == 1
        assert logs[0].generation() != before
    finally:
        for other in others:
            await other.close()
    # One that has been there all the time learns it with its next connection.
    assert log.generation() == before
    await db.writers.forget_idle()
    async with db.write() as session:
        await session.one("SELECT 1")
    assert log.generation() == logs[0].generation()


async def test_another_system_identifier_begins_one(db: Database, database: TestDatabase) -> None:
    log = await started(db)
    before = log.generation()
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute("UPDATE lanes.generation SET system_id = 1 WHERE id = %s", (before,))
    assert (await started(db)).generation() != before


async def test_it_waits_for_writers_and_no_position_is_of_two_generations(
    db: Database, database: TestDatabase
) -> None:
    log = await started(db)
    async with db.write() as session:
        [(position,)] = await session.fetch(
            "UPDATE lanes.lane SET head = head + 1 WHERE family = 'r' AND lane = 5 RETURNING head"
        )
        beginning = asyncio.create_task(log.begin_generation("under way"))
        await asyncio.sleep(0.1)
        assert not beginning.done()
    fresh = await beginning
    with psycopg.connect(database.owner) as owner:
        row = owner.execute("SELECT room_heads[6] FROM lanes.generation WHERE id = %s", (fresh,)).fetchone()
    assert row == (position,)


async def test_a_log_that_was_not_started_says_so(db: Database) -> None:
    with pytest.raises(RuntimeError, match="start"):
        LaneLog(db, LaneMap()).generation()

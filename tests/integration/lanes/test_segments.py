"""Segments of facts: made ahead, opened, closed, dropped; and followers and readers meanwhile."""

from __future__ import annotations

import asyncio
import logging

import psycopg
import pytest
from plexus.platform.lanes import ROOM, BelowFloor, Fact, LaneLog, Segments, read_lane_map
from plexus.platform.lanes.metrics import observe_segments
from plexus.platform.postgres import Database
from plexus.platform.telemetry.metrics import Gauge, Metrics

from tests.support.lanes import append
from tests.support.postgres import TestDatabase

MIGRATIONS = ("platform",)
DAY = 86_400


def age(database: TestDatabase, seconds: float) -> None:
    """Let time pass for the segments."""
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute("UPDATE lanes.segment SET opened = opened - make_interval(secs => %s)", (seconds,))


def partitions(database: TestDatabase) -> dict[str, int]:
    """The facts in each partition."""
    with psycopg.connect(database.owner) as owner:
        names = owner.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'lanes.fact'::regclass"
        ).fetchall()
        counts = {}
        for (name,) in names:
            row = owner.execute(f"SELECT count(*) FROM {name}".encode()).fetchone()
            counts[name] = row[0] if row else 0
    return counts


async def test_the_life_of_a_segment(db: Database, database: TestDatabase) -> None:
    log = LaneLog(db, await read_lane_map(db))
    await log.start()
    segments = Segments(db, log, length=DAY, keep=3 * DAY, ahead=2)
    await append(db, ROOM, 1, [Fact(0, 1, "!a:x")] * 3)

    state = await segments.maintain()
    assert (state.ahead, state.kept) == (2, 3)
    assert state.age < 3_600, "since the run's template of a database was made"
    assert partitions(database) == {"lanes.fact_1": 3, "lanes.fact_2": 0, "lanes.fact_3": 0}

    # A day later new facts go into the next one; positions go on without a hole.
    age(database, DAY)
    state = await segments.maintain()
    assert (state.ahead, state.kept) == (2, 4)
    assert await append(db, ROOM, 1, [Fact(0, 1, "!a:x")] * 2) == 4
    assert partitions(database) == {
        "lanes.fact_1": 3,
        "lanes.fact_2": 2,
        "lanes.fact_3": 0,
        "lanes.fact_4": 0,
    }
    assert [fact.position for fact in await log.facts(ROOM, 1, 0)] == [1, 2, 3, 4, 5]

    # Two more: the first is kept until all its facts are three days old.
    for _ in range(2):
        age(database, DAY)
        await segments.maintain()
    assert "lanes.fact_1" in partitions(database)
    assert await log.floor(ROOM, 1) == 0

    # Then its floors rise, and a round later it is gone.
    age(database, DAY)
    await segments.maintain()
    assert await log.floor(ROOM, 1) == 3
    assert await log.floor(ROOM, 2) == 0
    assert "lanes.fact_1" in partitions(database)
    with pytest.raises(BelowFloor):
        await log.facts(ROOM, 1, 2)
    await segments.maintain()
    assert "lanes.fact_1" not in partitions(database)
    assert [fact.position for fact in await log.facts(ROOM, 1, 3)] == [4, 5]
    assert (await log.heads()).rooms[1] == 5


async def test_if_nobody_maintains_them_writers_go_on_and_somebody_is_told(
    db: Database, database: TestDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    log = LaneLog(db, await read_lane_map(db))
    await log.start()
    segments = Segments(db, log, length=DAY, keep=3 * DAY, ahead=1)
    metrics = Metrics()
    observe_segments(metrics, segments)
    newest = max(await segments._read())[0]
    with psycopg.connect(database.owner, autocommit=True) as owner:
        # As after weeks without maintenance: all are open and old.
        owner.execute("UPDATE lanes.segment SET opened = now() - interval '30 days'")
        owner.execute("UPDATE lanes.lane SET segment = %s", (newest,))
    await append(db, ROOM, 7, [Fact(0, 1, "!a:x")])
    with caplog.at_level(logging.ERROR):
        state = await segments.state()
    assert state.ahead == 0
    assert "no segment of facts is ready ahead" in caplog.text
    read = {gauge.name: dict(gauge.readings())[()] for gauge in metrics.all() if isinstance(gauge, Gauge)}
    assert read["plexus.lanes.segments.ahead"] == 0
    assert read["plexus.lanes.segment.age"] > 29 * DAY
    state = await segments.maintain()
    assert state.ahead == 1
    assert state.age < 60
    await append(db, ROOM, 7, [Fact(0, 1, "!a:x")])


async def test_the_alert_does_not_depend_on_the_job_that_failed(
    db: Database, database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LaneLog(db, await read_lane_map(db))
    await log.start()
    segments = Segments(db, log, length=DAY, keep=3 * DAY, ahead=1)
    await segments.maintain()
    watch = asyncio.create_task(segments.watch(every=0.05))
    try:
        with psycopg.connect(database.owner, autocommit=True) as owner:
            owner.execute("UPDATE lanes.segment SET opened = now() - interval '9 days'")
        async with asyncio.timeout(5):
            while segments.last.ahead:
                await asyncio.sleep(0.01)
        assert segments.age > 8 * DAY

        async def fail() -> list[tuple[int, float | None]]:
            raise RuntimeError("no right to look")

        monkeypatch.setattr(segments, "_read", fail)
        await asyncio.sleep(0.1)
        before = segments.age
        await asyncio.sleep(0.1)
        # It cannot look any more, and the age goes on growing.
        assert not watch.done()
        assert segments.age >= before + 0.09
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
    monkeypatch.undo()
    await segments.maintain()


async def test_a_segment_in_use_is_not_dropped(db: Database) -> None:
    [(current,)] = await db.call("SELECT max(segment) FROM lanes.lane")
    with pytest.raises(psycopg.errors.RaiseException, match="is in use"):
        await db.call("SELECT lanes.drop_segment(%s::integer)", (current,))


async def test_dropping_gives_up_at_once_while_somebody_reads(db: Database, database: TestDatabase) -> None:
    log = LaneLog(db, await read_lane_map(db))
    await log.start()
    segments = Segments(db, log, length=DAY, keep=DAY, ahead=1)
    oldest = min(await segments._read())[0]
    while oldest not in segments._closed:
        age(database, 2 * DAY)
        await segments.maintain()
    with psycopg.connect(database.owner) as reader:
        reader.execute("SELECT count(*) FROM lanes.fact")
        await segments.maintain()
        assert f"lanes.fact_{oldest}" in partitions(database)
    for _ in range(4):
        await segments.maintain()
    assert f"lanes.fact_{oldest}" not in partitions(database)

"""A failover behind a pooler: a standby that lacks the last commits is promoted, and no connection breaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from plexus.platform.embedded import EmbeddedPostgres
from plexus.platform.lanes import ROOM, USER, Fact, LaneLog, SyncToken, read_lane_map
from plexus.platform.migrate import READER, WRITER
from plexus.platform.postgres import Database

from tests.support.house import Person, open_house
from tests.support.lanes import append
from tests.support.pooler import Pooler
from tests.support.postgres import TestDatabase
from tests.support.standby import Standby, migrated_primary


@dataclass
class Pair:
    """A primary behind a pooler, and where its standby goes."""

    folder: Path
    primary: EmbeddedPostgres
    port: int
    pooler: Pooler
    standby: Standby | None = None

    @property
    def database(self) -> TestDatabase:
        dsn = self.pooler.dsn
        return TestDatabase("plexus", dsn("plexus"), dsn(WRITER), dsn(READER))

    def open(self) -> Database:
        return Database(self.database.writer, self.database.reader, writers=2, readers=2, prepared=False)

    def copy(self) -> None:
        """What is committed after this the standby will lack."""
        self.standby = Standby(self.folder / "standby", self.port)
        self.standby.start()

    def fail_over(self) -> None:
        assert self.standby is not None
        self.primary.stop()
        self.standby.promote()
        self.pooler.lead_to(self.standby.port)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with migrated_primary("pgbouncer") as (folder, port, primary), Pooler(folder / "pooler", port) as pooler:
        made = Pair(folder, primary, port, pooler)
        yield made
        if made.standby is not None:
            made.standby.stop()


async def token(log: LaneLog) -> SyncToken:
    heads = await log.heads(primary=True)
    return SyncToken(heads.generation, heads.rooms, heads.users)


async def test_no_position_is_given_twice_in_a_generation(pair: Pair) -> None:
    async with pair.open() as db:
        log = LaneLog(db, await read_lane_map(db))
        await log.start()
        await append(db, ROOM, 3, [Fact(0, 1, "!a:x")] * 2)
        await append(db, USER, 1, [Fact(0, 1, "@a:x")])
        kept = await token(log)
        pair.copy()
        assert await append(db, ROOM, 3, [Fact(0, 1, "!lost:x")] * 5) == 3
        assert await append(db, USER, 1, [Fact(0, 1, "@lost:x")]) == 2
        beyond = await token(log)
        assert beyond.generation == kept.generation
        connected = db.writers.stats.connected

        pair.fail_over()
        assert await append(db, ROOM, 3, [Fact(0, 1, "!new:x")]) == 3, "the same position"
        assert db.writers.stats.connected == connected, "the pooler kept our connections"
        assert log.generation() != beyond.generation, "in another generation"
        assert await log.clamp(beyond) == await log.clamp(kept)
        cut = await log.clamp(beyond)
        assert cut is not None
        assert (cut.generation, cut.rooms, cut.users) == (log.generation(), kept.rooms, kept.users)
        now = await token(log)
        assert (now.rooms[3], now.users[1]) == (3, 1)

        # One failover is one generation, whoever notices it.
        async with pair.open() as other_db:
            other = LaneLog(other_db, await read_lane_map(other_db))
            await other.start()
            assert other.generation() == log.generation()
        await append(db, USER, 1, [Fact(0, 1, "@new:x")])
        async with db.read(primary=True) as session:
            assert await session.one("SELECT count(*) FROM lanes.generation") == (2,)


async def test_a_room_goes_on_from_what_is_left_also_for_who_remembers_more(
    pair: Pair, tmp_path: Path
) -> None:
    pooled = {
        "dsn": pair.database.writer,
        "reader_dsn": pair.database.reader,
        "prepared_statements": False,
        "writer_pool": 3,
        "reader_pool": 3,
    }
    async with (
        open_house(pair.database, tmp_path, database=pooled) as first,
        open_house(pair.database, tmp_path, database=pooled) as second,
    ):
        alice = await first.person("alice")
        there = Person(second.gateway, alice.token)
        room = await alice.create_room(preset="public_chat")
        await alice.send(room, "kept")
        pair.copy()
        await there.send(room, "lost")
        lost_room = await there.create_room()

        pair.fail_over()
        # The second process remembers a version of the room that is given again now, with another history.
        after = [await alice.send(room, "first after"), await there.send(room, "second after")]
        after.append(await alice.send(room, "third after"))
        retried = await there.send(room, "kept")

        found = (await alice.get(f"{alice.room(room)}/messages?dir=b&limit=50")).ok()["chunk"]
        bodies = [event["content"].get("body") for event in found if event["type"] == "m.room.message"]
        assert bodies == ["third after", "second after", "first after", "kept"]
        assert [event["event_id"] for event in found[:3]] == after[::-1]
        assert retried == found[3]["event_id"], "a transaction id is still known"
        assert (await alice.get(alice.room(lost_room) + "/messages?dir=b")).status in (403, 404)
        other = await there.create_room()
        assert other != lost_room
        await alice.send(other, "in the new one")

    with psycopg.connect(pair.database.owner) as owner:
        chained = owner.execute(
            """
            SELECT e.event_id, p.event_id, convert_from(e.raw, 'UTF8')::jsonb -> 'prev_events'
              FROM rooms.event e
              JOIN rooms.event p ON (p.lane, p.room) = (e.lane, e.room) AND p.num = ANY (e.prev)
            """
        ).fetchall()
    assert len(chained) > 10
    for event_id, before, named in chained:
        assert named == [before], f"{event_id} names an event before it that is not there"

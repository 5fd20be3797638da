"""``rooms.write_one`` leaves the rows that ``rooms.write`` leaves, and none where that would not write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import psycopg
import pytest
from plexus.platform.postgres import PackedStatement
from plexus.rooms import NewEvent, Rooms, Txn, lane_writer
from plexus.rooms.ground import Ground
from plexus.rooms.lane_writer import call_write
from plexus.rooms.write_call import WRITE, arguments
from plexus.rooms.write_one import WRITE_ONE, arguments_of_one, is_one
from plexus.rooms.writes import Outcome, Result, RoomWrite
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGresult

from tests.integration.rooms.conftest import (
    ALICE,
    BOB,
    SERVER,
    TestGround,
    join,
    make_room,
    message,
    state,
)
from tests.support.postgres import TestDatabase

Rows = dict[str, list[str]]
Owner = psycopg.Connection[tuple[str, ...]]

_TABLES = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'lane'
 WHERE c.relnamespace IN ('rooms'::regnamespace, 'lanes'::regnamespace) AND c.relkind IN ('r', 'p')
   AND NOT c.relispartition
"""


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[RoomWrite]:
    """The writes that go to PostgreSQL, each alone in its group."""
    seen: list[RoomWrite] = []

    async def call(ground: Ground, lane: int, writes: Sequence[RoomWrite]) -> list[Outcome]:
        [write] = writes
        seen.append(write)
        return await call_write(ground, lane, writes)

    monkeypatch.setattr(lane_writer, "call_write", call)
    return seen


@pytest.fixture
def owner(database: TestDatabase) -> Iterator[Owner]:
    with psycopg.connect(database.owner, options="-c lock_timeout=2s") as connection:
        yield connection


def tables(owner: Owner, lane: int) -> Rows:
    """All rows of a lane, but for the time of the last activity, which is the server's."""
    found: Rows = {}
    for (table,) in owner.execute(_TABLES).fetchall():
        rows = owner.execute(
            f"SELECT (to_jsonb(t) - 'active_ts' - 'bump_ts')::text FROM {table} t WHERE lane = {lane}"
        )
        found[table] = sorted(row for (row,) in rows)
    return found


def execute(owner: Owner, statement: PackedStatement, values: Sequence[bytes | None]) -> PGresult:
    formats = [Format.BINARY] * len(values)
    result = owner.pgconn.exec_params(statement.sql, values, statement.types, formats, Format.BINARY)
    assert result.status == ExecStatus.TUPLES_OK, result.error_message
    return result


def by_both(owner: Owner, lane: int, write: RoomWrite) -> tuple[Rows, Rows, Rows]:
    """The tables before, and as each of the two functions leaves them."""
    before = tables(owner, lane)
    execute(owner, WRITE, arguments(lane, [write]))
    by_write = tables(owner, lane)
    owner.rollback()
    result = execute(owner, WRITE_ONE, arguments_of_one(lane, write))
    assert result.get_value(0, 0) is not None
    by_one = tables(owner, lane)
    owner.rollback()
    return before, by_write, by_one


@pytest.mark.parametrize("version", ["1", "10", "12"])
@pytest.mark.parametrize("notify", [[], [0], [7]])
@pytest.mark.parametrize("txn", [None, Txn(ALICE, "DEVICE", "send", "1")])
async def test_both_leave_the_same_rows(
    rooms: Rooms,
    ground: TestGround,
    owner: Owner,
    written: list[RoomWrite],
    version: str,
    notify: list[int],
    txn: Txn | None,
) -> None:
    room_id = await make_room(rooms, version=version)
    await rooms.send(room_id, ALICE, message("the first"), txn=txn and replace(txn, txn_id="0"))
    await rooms.send(room_id, ALICE, message("the second"), txn=txn)
    write = written[-1]
    lane = ground.lanes.room(room_id)
    take_back(owner, lane, write)
    write.notify = notify
    before, by_write, by_one = by_both(owner, lane, write)
    assert by_one == by_write != before


def take_back(owner: Owner, lane: int, write: RoomWrite) -> None:
    """The room as it was before its last event: what is left of that in the lane does not matter."""
    row = write.events[0]
    place = {"lane": lane, "room": write.ref.room, "num": row.num, "seen": write.seen, "prev": list(row.prev)}
    owner.execute(
        "UPDATE rooms.room SET version = %(seen)s, head_num = %(prev)s[1], extremities = %(prev)s"
        " WHERE lane = %(lane)s AND room = %(room)s",
        place,
    )
    for table in ("event", "txn"):
        owner.execute(
            f"DELETE FROM rooms.{table} WHERE lane = %(lane)s AND room = %(room)s AND num = %(num)s",
            place,
        )
    owner.commit()


async def test_where_commits_were_lost_the_room_gets_a_version_that_nobody_had(
    rooms: Rooms, ground: TestGround, owner: Owner, written: list[RoomWrite]
) -> None:
    room_id = await make_room(rooms)
    lane = ground.lanes.room(room_id)
    await rooms.send(room_id, ALICE, message("known as it was before"))
    write = written[-1]
    take_back(owner, lane, write)
    owner.execute("UPDATE lanes.lane SET lost = head WHERE family = 'r' AND lane = %s", (lane,))
    execute(owner, WRITE_ONE, arguments_of_one(lane, write))
    found = owner.execute("SELECT version FROM rooms.room WHERE room_id = %s", (room_id,)).fetchone()
    owner.rollback()
    assert found is not None and int(found[0]) > write.seen + 1_000


async def test_what_else_there_is_goes_the_other_way(rooms: Rooms, written: list[RoomWrite]) -> None:
    room_id = await make_room(rooms)
    await join(rooms, room_id, BOB)
    said = await rooms.send(room_id, BOB, message("hello"))
    assert is_one(written[-1])
    relation = {"rel_type": "m.thread", "event_id": said.event_id}
    for event in (
        state("m.room.topic", topic="other"),
        NewEvent("m.room.message", {"msgtype": "m.text", "body": "in a thread", "m.relates_to": relation}),
        NewEvent("m.room.redaction", {"redacts": said.event_id}),
    ):
        await rooms.send(room_id, ALICE, event)
        assert not is_one(written[-1])
    # One that takes away what is not here.
    await rooms.send(room_id, ALICE, NewEvent("m.room.redaction", {"redacts": f"$nothing:{SERVER}"}))
    assert len(written) == 7


@pytest.mark.parametrize("what", ["version", "locked", "transaction", "event"])
async def test_what_cannot_be_written_leaves_nothing_and_is_told_as_ever(
    rooms: Rooms,
    ground: TestGround,
    database: TestDatabase,
    owner: Owner,
    written: list[RoomWrite],
    what: str,
) -> None:
    room_id = await make_room(rooms)
    lane = ground.lanes.room(room_id)
    await rooms.send(room_id, ALICE, message("hello"), txn=Txn(ALICE, "DEVICE", "send", "1"))
    first = written[-1]
    await rooms.send(room_id, ALICE, message("again"), txn=Txn(ALICE, "DEVICE", "send", "2"))
    write = replace(written[-1], seen=written[-1].seen + 1)
    [row] = write.events
    other = replace(row.event, event_id="$other")
    new = row._replace(num=row.num + 1, event=other, txn=Txn(ALICE, "DEVICE", "send", "3"))
    if what == "version":
        write = replace(write, seen=write.seen - 1, events=[new])
        expected = Outcome(Result.CONFLICT, room=first.ref.room)
    elif what == "locked":
        write = replace(write, events=[new])
        expected = Outcome(Result.LOCKED, room=first.ref.room)
    elif what == "transaction":
        write = replace(write, events=[new._replace(txn=first.events[0].txn)])
        expected = Outcome(Result.REPLAYED, room=1, num=first.events[0].num)
    else:
        write = replace(write, events=[new._replace(event=row.event)])
        expected = Outcome(Result.EXISTS, room=first.ref.room)
    assert is_one(write)
    before = tables(owner, lane)
    owner.rollback()
    with psycopg.connect(database.owner) as holder:
        if what == "locked":
            holder.execute("SELECT FROM rooms.room WHERE room_id = %s FOR UPDATE", (room_id,))
        assert execute(owner, WRITE_ONE, arguments_of_one(lane, write)).get_value(0, 0) is None
        assert tables(owner, lane) == before
        owner.rollback()
        assert await call_write(ground, lane, [write]) == [expected]
    assert tables(owner, lane) == before

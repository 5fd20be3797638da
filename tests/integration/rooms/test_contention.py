"""Several processes write one room; groups, locks and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from plexus.platform.postgres import Database, StoreUnavailable
from plexus.protocol.errors import AuthRejected, Unavailable
from plexus.rooms import Rooms, Txn
from plexus.rooms.conflict import write_locked

from tests.integration.rooms.conftest import (
    ALICE,
    BOB,
    MakeRooms,
    TestGround,
    join,
    make_room,
    member,
    message,
    state,
)


async def said(rooms: Rooms, room_id: str) -> list[str]:
    page = await rooms.timeline(room_id, backwards=False, limit=1000)
    return [event.content["body"] for event in page.events if event.type == "m.room.message"]


@pytest.fixture
def locked_writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many wishes went through the row lock, write by write."""
    counted: list[int] = []

    async def counting(actor: object, ground: object, wishes: Sequence[object]) -> object:
        counted.append(len(wishes))
        return await write_locked(actor, ground, wishes)  # type: ignore[arg-type]

    monkeypatch.setattr("plexus.rooms.actor.write_locked", counting)
    return counted


async def test_after_a_conflict_the_lock(
    make_rooms: MakeRooms, ground: TestGround, locked_writes: list[int]
) -> None:
    one, other = make_rooms(), make_rooms()
    room_id = await make_room(one)
    await one.send(room_id, ALICE, message("1"))
    await other.send(room_id, ALICE, message("2"))
    assert locked_writes == [], "who reads the head first has no conflict"
    written = await one.send(room_id, ALICE, message("3"))
    assert locked_writes == [1]
    await one.send(room_id, ALICE, message("4"))
    assert locked_writes == [1, 1], "for a second it takes the lock at once"
    ground.clock.advance(1.1)
    await one.send(room_id, ALICE, message("5"))
    assert locked_writes == [1, 1]
    assert await said(one, room_id) == ["1", "2", "3", "4", "5"]
    await asyncio.sleep(0)
    # What was written under the lock is published and marked as well.
    published = [fact.position for group in ground.groups for fact in group.facts if fact.subject == room_id]
    assert written.position in published
    assert published == list(range(published[0], published[0] + 6))
    events = (await one.timeline(room_id, backwards=False, limit=100)).events
    assert [event.event.depth for event in events] == list(range(1, len(events) + 1))


async def test_state_and_refusals_under_the_lock(make_rooms: MakeRooms, locked_writes: list[int]) -> None:
    one, other = make_rooms(), make_rooms()
    room_id = await make_room(one)
    await join(one, room_id, BOB)
    topic = await other.send(room_id, ALICE, state("m.room.topic", topic="x"))
    wishes = [
        one.send(room_id, ALICE, state("m.room.topic", topic="x")),
        one.send(room_id, BOB, state("m.room.topic", topic="y")),
        one.send(room_id, BOB, message("fine")),
    ]
    same, refused, fine = await asyncio.gather(*wishes, return_exceptions=True)
    assert locked_writes == [3]
    assert not isinstance(same, BaseException) and (same.event_id, same.replayed) == (topic.event_id, True)
    assert isinstance(refused, AuthRejected)
    assert not isinstance(fine, BaseException) and not fine.replayed
    # Nothing to write at all, under the lock.
    again = await one.send(room_id, ALICE, state("m.room.topic", topic="x"))
    assert again.event_id == topic.event_id


async def test_a_retry_found_under_the_lock(make_rooms: MakeRooms, locked_writes: list[int]) -> None:
    one, other = make_rooms(), make_rooms()
    room_id = await make_room(one)
    txn = Txn(ALICE, "DEVICE", "send", "1")
    first = await other.send(room_id, ALICE, message("once"), txn=txn)
    sent = await asyncio.gather(
        one.send(room_id, ALICE, message("before")),
        one.send(room_id, ALICE, message("once"), txn=txn),
        one.send(room_id, ALICE, message("after")),
    )
    assert locked_writes == [3, 2]
    assert sent[1].event_id == first.event_id and sent[1].replayed
    assert await said(one, room_id) == ["once", "before", "after"]


async def test_three_processes_on_one_room(make_rooms: MakeRooms) -> None:
    engines = [make_rooms() for _ in range(3)]
    room_id = await make_room(engines[0])

    async def sender(engine: Rooms, name: str) -> None:
        for n in range(15):
            await engine.send(room_id, ALICE, message(f"{name}{n}"))

    await asyncio.gather(*(sender(engine, f"{e}-{s}-") for e, engine in enumerate(engines) for s in range(3)))
    bodies = await said(engines[0], room_id)
    assert len(bodies) == len(set(bodies)) == 135
    for e in range(3):
        for s in range(3):
            assert [b for b in bodies if b.startswith(f"{e}-{s}-")] == [f"{e}-{s}-{n}" for n in range(15)]


async def test_a_held_room_does_not_hold_its_lane(
    make_rooms: MakeRooms, ground: TestGround, db: Database
) -> None:
    """The group skips it; it waits for its lock alone."""
    rooms = make_rooms()
    lanes: dict[int, list[str]] = {}
    while not any(len(room_ids) > 1 for room_ids in lanes.values()):
        room_id = await make_room(rooms, version="11")
        lanes.setdefault(ground.lanes.room(room_id), []).append(room_id)
    held, free = next(room_ids for room_ids in lanes.values() if len(room_ids) > 1)
    ref = await rooms.ref(held)
    assert ref is not None
    async with db.write() as session:
        await session.fetch(
            "SELECT FROM rooms.room WHERE lane = %s::smallint AND room = %s::integer FOR UPDATE",
            (ref.lane, ref.room),
        )
        waiting = asyncio.create_task(rooms.send(held, ALICE, message("later")))
        await rooms.send(free, ALICE, message("now"))
        assert not waiting.done()
    await waiting
    assert (await said(rooms, held), await said(rooms, free)) == (["later"], ["now"])


async def test_a_lock_that_does_not_come(make_rooms: MakeRooms, db: Database) -> None:
    rooms = make_rooms()
    room_id = await make_room(rooms)
    ref = await rooms.ref(room_id)
    assert ref is not None
    async with db.write() as session:
        await session.fetch(
            "SELECT FROM rooms.room WHERE lane = %s::smallint AND room = %s::integer FOR UPDATE",
            (ref.lane, ref.room),
        )
        with pytest.raises(Unavailable):
            await rooms.send(room_id, ALICE, message("held"))
    await rooms.send(room_id, ALICE, message("free"))
    assert await said(rooms, room_id) == ["free"]


async def test_one_refused_room_does_not_harm_its_group(
    make_rooms: MakeRooms, ground: TestGround, db: Database, database: object
) -> None:
    """PostgreSQL refuses the group; its rooms are written one by one."""
    import psycopg

    rooms = make_rooms()
    lanes: dict[int, list[str]] = {}
    while not any(len(room_ids) > 2 for room_ids in lanes.values()):
        room_id = await make_room(rooms, version="11")
        lanes.setdefault(ground.lanes.room(room_id), []).append(room_id)
    first, bad, good = next(room_ids for room_ids in lanes.values() if len(room_ids) > 2)
    await asyncio.gather(*(rooms.send(room_id, ALICE, message("warm")) for room_id in (first, bad, good)))
    ref = await rooms.ref(bad)
    assert ref is not None
    # A row that should not be there makes this room's next event break a constraint.
    owner: str = database.owner  # type: ignore[attr-defined]
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO rooms.snapshot (lane, room, snap, step, hash, delta) VALUES (%s, %s, 5, 1, '', '')",
            (ref.lane, ref.room),
        )
    found = await asyncio.gather(
        rooms.send(first, ALICE, message("x")),
        rooms.send(bad, ALICE, state("m.room.topic", topic="x")),
        rooms.send(good, ALICE, message("x")),
        return_exceptions=True,
    )
    assert [isinstance(answer, psycopg.errors.UniqueViolation) for answer in found] == [False, True, False]
    assert await said(rooms, good) == ["warm", "x"]
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(
            "DELETE FROM rooms.snapshot WHERE lane = %s AND room = %s AND snap = 5", (ref.lane, ref.room)
        )
    await rooms.send(bad, ALICE, state("m.room.topic", topic="x"))
    assert await said(rooms, bad) == ["warm"]


async def test_a_connection_that_dies(make_rooms: MakeRooms, db: Database, database: object) -> None:
    """Whatever happened to the write: after a retry with the same transaction id the event is there once."""
    import psycopg

    rooms = make_rooms()
    room_id = await make_room(rooms)
    owner: str = database.owner  # type: ignore[attr-defined]

    async def send(n: int) -> None:
        txn = Txn(ALICE, "DEVICE", "send", str(n))
        for _ in range(50):
            try:
                await rooms.send(room_id, ALICE, message(str(n)), txn=txn)
            except StoreUnavailable:
                await asyncio.sleep(0.02)
            else:
                return
        pytest.fail("never written")

    async def kill() -> None:
        connection = await psycopg.AsyncConnection.connect(owner, autocommit=True)
        async with connection:
            for _ in range(10):
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND usename = 'plexus_writer'"
                )
                await asyncio.sleep(0.02)

    await asyncio.gather(kill(), *(send(n) for n in range(200)))
    bodies = await said(rooms, room_id)
    assert sorted(bodies, key=int) == [str(n) for n in range(200)]


async def test_local_writes_never_fork_a_room(make_rooms: MakeRooms, ground: TestGround) -> None:
    """Three processes, all kinds of events, conflicts: each event follows the one before."""
    engines = [make_rooms() for _ in range(3)]
    room_id = await make_room(engines[0], state_default=0)

    async def busy(engine: Rooms, n: int) -> None:
        user = f"@busy{n}:here.example.org"
        await engine.send(room_id, user, member(user))
        for i in range(10):
            await engine.send(room_id, user, state("m.x", str(i % 3), n=i, by=n))
            await engine.send(room_id, user, message(str(i)))
        await engine.send(room_id, user, member(user, "leave"))

    await asyncio.gather(*(busy(engine, n) for n, engine in enumerate(engines * 2)))
    events = (await engines[0].timeline(room_id, backwards=False, limit=1000)).events
    assert not any(event.is_beside for event in events)
    assert all(b.event.prev_events == (a.event_id,) for a, b in pairwise(events))

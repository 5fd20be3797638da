"""The worker that keeps the index: each fact takes effect once, whatever dies or begins anew."""

from __future__ import annotations

import pytest
from plexus.client_api.search.indexing import search_worker
from plexus.platform.lanes import RoomFact
from plexus.platform.lanes.cursors import LaneWorker

from tests.support.house import House, Person
from tests.support.http import seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


def new_worker(house: House) -> LaneWorker:
    """Of a process that has just started; it looks when it is told to."""
    return search_worker(house.platform, house.rooms, every=0)


async def finish(worker: LaneWorker) -> None:
    while await worker.round():
        pass


async def words(house: House, room_id: str) -> list[str]:
    """The documents of a room in the order of its events."""
    ref = await house.rooms.ref(room_id)
    assert ref is not None
    async with house.platform.db.read(primary=True) as session:
        rows = await session.fetch(
            "SELECT array_to_string(tsvector_to_array(words), ' ') FROM client_api.search_document"
            " WHERE lane = %s AND room = %s ORDER BY num",
            (ref.lane, ref.room),
        )
    return [row[0] for row in rows]


async def redact(person: Person, room_id: str, event_id: str) -> None:
    (await person.put(f"{person.room(room_id)}/redact/{seg(event_id)}/{seg('r' + event_id)}", {})).ok()


async def test_another_goes_on_where_one_stopped_and_a_zombie_does_nothing(
    house: House, alice: Person
) -> None:
    room_id = await alice.create_room()
    await alice.send(room_id, "one")
    first, second = (new_worker(house) for _ in range(2))
    await finish(first)
    await alice.send(room_id, "two")
    redacted = await alice.send(room_id, "three")
    await redact(alice, room_id, redacted)
    await finish(second)
    assert await words(house, room_id) == ["one", "two"]
    await alice.send(room_id, "four")
    # The first still believes that the lane stands where it left it: its step is refused, then it looks.
    assert await first.round()
    assert await words(house, room_id) == ["one", "two"]
    await finish(first)
    assert await words(house, room_id) == ["one", "two", "four"]


async def test_a_step_in_several_lanes_is_done_whole_or_not_at_all(house: House, alice: Person) -> None:
    lanes: dict[int, str] = {}
    while len(lanes) < 3:
        room_id = await alice.create_room()
        ref = await house.rooms.ref(room_id)
        assert ref is not None
        lanes[ref.lane] = room_id
    rooms = list(lanes.values())
    first, second = (new_worker(house) for _ in range(2))
    await finish(first)
    await alice.send(rooms[1], "second")
    await finish(second)
    for room_id in rooms:
        await alice.send(room_id, "both")
    # In one of the three lanes the first is wrong.
    assert await first.round()
    assert [await words(house, room_id) for room_id in rooms] == [[], ["second"], []]
    await finish(first)
    assert [await words(house, room_id) for room_id in rooms] == [
        ["both"],
        ["second", "both"],
        ["both"],
    ]


async def test_a_round_takes_so_many_facts_and_the_next_goes_on(
    house: House, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plexus.platform.lanes.cursors.MOST_FACTS", 3)
    worker = new_worker(house)
    await finish(worker)
    rooms = [await alice.create_room() for _ in range(3)]
    for number in range(5):
        for room_id in rooms:
            await alice.send(room_id, f"number {number}")
    await finish(worker)
    for room_id in rooms:
        assert await words(house, room_id) == [f"{number} number" for number in range(5)]


async def test_a_new_generation(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    worker = new_worker(house)
    await alice.send(room_id, "before")
    await finish(worker)
    await alice.send(room_id, "between")
    await house.platform.log.begin_generation("test")
    await alice.send(room_id, "after")
    await finish(worker)
    assert await words(house, room_id) == ["before", "between", "after"]
    # Also by a worker that has seen none of it.
    await alice.send(room_id, "later")
    await house.platform.log.begin_generation("test")
    await finish(new_worker(house))
    assert await words(house, room_id) == ["before", "between", "after", "later"]


async def test_facts_dropped_before_they_were_read(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    gone = await alice.send(room_id, "gone")
    await alice.send(room_id, "kept")
    await finish(new_worker(house))
    await redact(alice, room_id, gone)
    await alice.send(room_id, "missed")
    await house.platform.db.call("UPDATE lanes.lane SET floor = head WHERE family = 'r' RETURNING 1")
    await alice.send(room_id, "new")
    await finish(new_worker(house))
    assert await words(house, room_id) == ["kept", "missed", "new"]


async def test_a_purge_takes_the_documents_away(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    event_id = await alice.send(room_id, "old")
    await alice.send(room_id, "new")
    await finish(new_worker(house))
    event = await house.rooms.event(room_id, event_id, viewer=None)
    await house.platform.db.call(
        "SELECT lanes.append('r', %s::smallint, ARRAY[%s]::smallint[], ARRAY[%s], ARRAY[0::bigint],"
        " ARRAY[%s::bigint], ARRAY[''::bytea])",
        (event.ref.lane, int(RoomFact.PURGE), room_id, event.ordinal),
    )
    await finish(new_worker(house))
    assert await words(house, room_id) == ["new"]


async def test_a_busy_room_fills_several_buckets(
    house: House, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plexus.client_api.search.queries.BUCKET", 3)
    room_id = await alice.create_room()
    worker = new_worker(house)
    for number in range(8):
        await alice.send(room_id, f"number {number}")
        if number % 2:
            await finish(worker)
    ref = await house.rooms.ref(room_id)
    assert ref is not None
    async with house.platform.db.read(primary=True) as session:
        rows = await session.fetch(
            "SELECT documents FROM client_api.search_bucket WHERE lane = %s AND room = %s ORDER BY bucket",
            (ref.lane, ref.room),
        )
    assert [row[0] for row in rows] == [3, 3, 2]

"""What a replica keeps of connections of sliding sync: a bounded part, and what it does not keep is read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from plexus.protocol.errors import UnknownPos
from plexus.sync.sliding.connections import LIVE, Connection, ConnectionKey, Connections, SentRoom
from plexus.sync.sliding.models import RoomConfig

from tests.integration.sync.building import Building, SyncPerson, open_building
from tests.integration.sync.test_sliding import slide
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = RoomConfig(1, frozenset())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def building(
    database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Building]:
    small = {"sliding_response_mb": 1}
    quiet = {"enabled": False}
    async with open_building(
        database, tmp_path_factory.mktemp("building"), sync=small, presence=quiet
    ) as opened:
        yield opened


def connections(building: Building, **limits: int) -> Connections:
    """Those of one more replica."""
    limits = {"limit": 100, "limit_bytes": 2**24, "per_user": 200} | limits
    return Connections(building.platform.db, building.platform.clock, **limits)


def rooms(count: int) -> dict[str, SentRoom]:
    return {f"!{number}:example.org": SentRoom(LIVE, CONFIG) for number in range(count)}


def key(person: SyncPerson, building: Building, conn_id: str) -> ConnectionKey:
    lane = building.platform.lanes.user(person.user_id)
    return ConnectionKey(lane, person.user_id, person.device_id, conn_id)


async def test_a_replica_that_only_reads_keeps_two_states_of_a_connection(
    building: Building, alice: SyncPerson
) -> None:
    """As the database does: those before them are of answers that the client has left behind."""
    writer, reader = connections(building), connections(building)
    states = [await writer.save(Connection(key(alice, building, "c")), rooms(1))]
    most = 0
    for number in range(2, 12):
        states.append(
            await writer.save(states[-1], rooms(number), held={"receipts": {"!0:example.org": number}})
        )
        again = await reader.get(states[-1].key, states[-1].number)
        assert (again.rooms, again.held) == (rooms(number), states[-1].held)
        most = max(most, reader.bytes)
    assert most < 10_000
    assert (await reader.get(states[-2].key, states[-2].number)).rooms == rooms(10)
    with pytest.raises(UnknownPos):
        await reader.get(states[0].key, states[0].number)


async def test_an_answer_takes_bounded_memory_and_the_next_one_goes_on(
    building: Building, alice: SyncPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit is told at once by the next answer, also of rooms sent before, and nothing twice."""
    monkeypatch.setattr("plexus.sync.sliding.rooms.BATCH", 1)
    rooms = [await alice.create_room() for _ in range(4)]
    lists = {"all": {"required_state": {}, "timeline_limit": 50}}
    pos = (await slide(alice, lists=lists))["pos"]
    texts = [f"{number} " + "x" * 50_000 for number in range(12)]
    for room_id in rooms:
        for number, text in enumerate(texts):
            await alice.send(room_id, text, f"{number}")

    async def fold(pos: str | None, **asked: Any) -> tuple[list[int], dict[str, list[str]]]:
        sizes, found = list[int](), dict[str, list[str]]()
        while True:
            answer = await slide(alice, pos, lists=lists, **asked)
            pos = answer["pos"]
            if not answer["rooms"]:
                return sizes, found
            sizes.append(len(answer["rooms"]))
            assert answer["lists"]["all"]["count"] == 4
            for room_id, room in answer["rooms"].items():
                events = room["timeline"]
                found.setdefault(room_id, []).extend(e["content"].get("body", "") for e in events)

    sizes, found = await fold(pos)
    assert sizes == [2, 2]
    assert found == dict.fromkeys(rooms, texts)
    sizes, found = await fold(None, conn_id="anew", room_subscriptions={rooms[0]: lists["all"]})
    assert sizes == [2, 2]
    assert next(iter(found)) == rooms[0]
    assert {room_id: each[-12:] for room_id, each in found.items()} == dict.fromkeys(rooms, texts)


async def test_many_connections_take_bounded_memory(building: Building, alice: SyncPerson) -> None:
    kept = connections(building, limit_bytes=200_000)
    states = [
        await kept.save(Connection(key(alice, building, f"c{number}")), rooms(100)) for number in range(30)
    ]
    assert 100_000 < kept.bytes <= 200_000
    for state in states:
        assert (await kept.get(state.key, state.number)).rooms == state.rooms
        assert kept.bytes <= 200_000
    one = connections(building, limit_bytes=10)
    large = await one.save(Connection(key(alice, building, "large")), rooms(100))
    assert await one.get(large.key, large.number) is large

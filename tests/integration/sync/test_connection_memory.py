"""What a replica keeps of connections of sliding sync: a bounded part, and what it does not keep is read."""

from __future__ import annotations

import pytest
from plexus.protocol.errors import UnknownPos
from plexus.sync.sliding.connections import LIVE, Connection, ConnectionKey, Connections, SentRoom
from plexus.sync.sliding.models import RoomConfig

from tests.integration.sync.building import Building, SyncPerson

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = RoomConfig(1, frozenset())


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

"""A replica that cannot keep up with the lanes says so, tells nobody less than they know, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
import pytest_asyncio

from tests.integration.sync.building import SYNC, Building, open_building
from tests.support.exposed import read
from tests.support.house import V3
from tests.support.http import Answer
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAG, UNREADY = 3.0, 4.0
WAITING_MB = 1
MESSAGES, LENGTH = 60, 30_000
"""Together more than may wait."""


@pytest_asyncio.fixture(loop_scope="module")
async def lagging(
    database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Building]:
    async with open_building(
        database,
        tmp_path_factory.mktemp("lagging"),
        sync={"lag_seconds": LAG, "lag_unready_seconds": UNREADY},
        facts={"waiting_mb": WAITING_MB},
        presence={"enabled": False},
    ) as opened:
        yield opened


async def until(met: Callable[[], bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not met():
            await asyncio.sleep(0.05)


def refused(answer: Answer) -> None:
    """Told to come back, with a time."""
    assert answer.error() == (503, "M_UNKNOWN")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_replica_that_lags_says_so_and_refuses_what_it_cannot_tell(
    lagging: Building, database: TestDatabase
) -> None:
    """What the replica has to read for a change of devices is locked in PostgreSQL: it stands still."""
    (replica,) = lagging.replicas
    names = ("alice", "bob", "stranger", "newcomer")
    alice, bob, stranger, newcomer = [await lagging.person(f"lag-{name}") for name in names]
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    await bob.hear()
    since = (await bob.sync())["next_batch"]
    known = (await stranger.sync())["next_batch"]
    replica.sync.replica.interest.drop(replica.sync.replica.interest.views[stranger.user_id])
    assert replica.service.ready() == []
    assert shown(lagging, "plexus_lanes_follower_behind_seconds") == 0

    most = 0
    async with await psycopg.AsyncConnection.connect(database.owner) as locker:
        await locker.execute("LOCK TABLE rooms.membership IN ACCESS EXCLUSIVE MODE")
        await lagging.users.upload_keys(stranger.user_id, stranger.device_id, b'{"keys":1}', [], [])
        sent = []
        for number in range(MESSAGES):
            sent.append(await alice.send(room_id, LENGTH * "x", f"lag-{number}"))
            most = max(most, replica.sync.replica._follower.waiting_bytes)
        await until(lambda: replica.service.ready() != [])
        (reason,) = replica.service.ready()
        assert "seconds behind the lanes" in reason
        assert shown(lagging, "plexus_lanes_follower_behind_seconds") > LAG

        unmarked = shown(lagging, "plexus_sync_unmarked_total")
        refused(await newcomer.get(SYNC))
        refused(await stranger.get(SYNC, since=known))
        refused(await newcomer.post("/_matrix/client/v4/sync", {"lists": {}}))
        refused(await newcomer.get(f"{V3}/initialSync"))
        refused(await newcomer.get(f"{newcomer.room(room_id)}/initialSync"))
        # Where a young Redis may lack marks all have to wait for all heads, and come no further.
        knew_marks = shown(lagging, "plexus_sync_unmarked_total") == unmarked
        assert shown(lagging, "plexus_sync_full_refused_total") == (4 if knew_marks else 0)
    assert LENGTH < most <= WAITING_MB * 2**20

    await until(lambda: replica.service.ready() == [])
    assert await replica.reach_heads()
    answer = await bob.sync(since, filter={"room": {"timeline": {"limit": 100}}})
    timeline = answer["rooms"]["join"][room_id]["timeline"]
    assert [event["event_id"] for event in timeline["events"]] == sent
    assert not timeline["limited"]
    assert (await newcomer.get(SYNC)).status == 200
    assert (await stranger.get(SYNC, since=known)).status == 200


def shown(building: Building, name: str) -> float:
    """The highest value of a metric."""
    series = read(building.platform.telemetry.prometheus().decode())
    return max(one.value for one in series if one.name == name)

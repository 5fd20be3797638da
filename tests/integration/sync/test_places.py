"""Requests that tell everything, of every kind: each takes its turn, and waits no longer than it should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from plexus.platform.peer import Peer

from tests.integration.sync.building import SYNC, Building, SyncPerson, open_building
from tests.support.house import V3
from tests.support.http import Answer
from tests.support.peers import Reader
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS = ("sync", "sliding", "initialSync", "roomInitialSync")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def building(
    database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Building]:
    """Where one is made at a time."""
    limits = {"initial_concurrency": 1}
    async with open_building(
        database, tmp_path_factory.mktemp("places"), sync=limits, presence={"enabled": False}
    ) as opened:
        yield opened


async def begin(kind: str, person: SyncPerson, room_id: str) -> asyncio.Task[Answer]:
    asked = {
        "sync": lambda: person.get(SYNC),
        "sliding": lambda: person.post("/_matrix/client/v4/sync", {"lists": {}}),
        "initialSync": lambda: person.get(f"{V3}/initialSync"),
        "roomInitialSync": lambda: person.get(f"{person.room(room_id)}/initialSync"),
    }[kind]()
    task = asyncio.create_task(asked)
    await asyncio.sleep(0.1)
    return task


async def taken(building: Building) -> AsyncExitStack:
    """Somebody else has the place."""
    stack = AsyncExitStack()
    await stack.enter_async_context(building.replicas[0].sync.admission.place("@other:x", None, None))
    return stack


@pytest.mark.parametrize("kind", KINDS)
async def test_each_waits_for_its_turn(building: Building, alice: SyncPerson, kind: str) -> None:
    admission = building.replicas[0].sync.admission
    room_id = await alice.create_room()
    async with await taken(building):
        waits = await begin(kind, alice, room_id)
        assert not waits.done() and admission.waiting == 1
    assert room_id.encode() in (await asyncio.wait_for(waits, 5)).body or kind == "sliding"
    assert (admission.running, admission.waiting) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_who_has_gone_waits_no_more(building: Building, alice: SyncPerson, kind: str) -> None:
    admission, peer = building.replicas[0].sync.admission, Peer()
    room_id = await alice.create_room()
    async with await taken(building):
        waits = await begin(kind, alice.over(peer), room_id)
        assert admission.waiting == 1
        peer.leave()
        assert admission.waiting == 0
        assert (await asyncio.wait_for(waits, 1)).status == 0
    assert admission.running == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_place_is_kept_until_the_answer_has_been_read(
    building: Building, alice: SyncPerson, kind: str
) -> None:
    admission, slow = building.replicas[0].sync.admission, Reader()
    room_id = await alice.create_room()
    reads = await begin(kind, alice.over(slow), room_id)
    waits = await begin(kind, await building.device(alice), room_id)
    assert not waits.done() and (admission.running, admission.waiting) == (1, 1)
    slow.has_read.set()
    for answer in (reads, waits):
        (await asyncio.wait_for(answer, 5)).ok()
    assert (admission.running, admission.waiting) == (0, 0)


async def test_a_replica_that_leaves_sends_them_to_others_at_once(
    building: Building, alice: SyncPerson
) -> None:
    room_id = await alice.create_room()
    replica = await building.replica()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(replica.sync.admission.place("@other:x", None, None))
        waiting = [await begin(kind, (await building.device(alice)).at(replica), room_id) for kind in KINDS]
        assert replica.sync.admission.waiting == len(KINDS)
        await replica.service.drain()
        waiting += [await begin(kind, (await building.device(alice)).at(replica), room_id) for kind in KINDS]
        for answer in await asyncio.wait_for(asyncio.gather(*waiting), 2):
            assert answer.error() == (503, "M_UNKNOWN")
            assert int(answer.headers["retry-after"]) >= 1
    await replica.end()

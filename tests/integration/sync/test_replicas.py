"""A client that goes from one replica to another: nothing is told twice, and nothing is skipped."""

from __future__ import annotations

import pytest

from tests.integration.sync.building import SYNC, Building, SyncPerson
from tests.support.http import Json

pytestmark = pytest.mark.asyncio(loop_scope="module")


def bodies(answer: Json, room_id: str) -> list[str]:
    room = answer.get("rooms", {}).get("join", {}).get(room_id, {})
    events = room.get("timeline", {}).get("events", [])
    return [event["content"]["body"] for event in events if event["type"] == "m.room.message"]


async def test_a_token_of_one_replica_goes_on_at_another(building: Building, alice: SyncPerson) -> None:
    other = await building.replica()
    room_id = await alice.create_room()
    token = await alice.now()
    for number in range(6):
        await alice.send(room_id, f"number {number}")
        replica = (other, building.replicas[0])[number % 2]
        answer = await alice.at(replica).sync(token)
        assert bodies(answer, room_id) == [f"number {number}"]
        token = answer["next_batch"]


async def test_a_replica_that_is_behind_a_token_does_not_tell_again(
    building: Building, alice: SyncPerson
) -> None:
    behind = await building.replica()
    room_id = await alice.create_room()
    old = await alice.now()
    await behind.sync.replica._follower.stop()  # as one whose process was frozen
    await alice.send(room_id, "told by the first replica")
    answer = await alice.sync(old)
    assert bodies(answer, room_id) == ["told by the first replica"]

    late = await alice.at(behind).get(SYNC, since=answer["next_batch"])
    assert late.error() == (503, "M_UNKNOWN")
    await alice.send(room_id, "and what came then")
    assert bodies(await alice.sync(answer["next_batch"]), room_id) == ["and what came then"]
    await behind.end()

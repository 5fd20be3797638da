"""Messages to a device over the beginning of a generation: told twice if need be, and never lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from plexus.platform.lanes import InboxToken, SyncToken

from tests.integration.sync.building import Building, SyncPerson
from tests.support.http import Json

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLIDING = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
BEYOND = 50
"""Positions of a lost future that the tests' clients have been told of."""


async def put(building: Building, person: SyncPerson, number: int) -> None:
    contents = {person.user_id: {person.device_id: {"n": number}}}
    await building.users.put_messages(person.user_id, "org.example.note", contents)
    await person.hear()


def numbers(section: Json) -> list[int]:
    return [event["content"]["n"] for event in section.get("to_device", {}).get("events", [])]


async def slide(person: SyncPerson, conn_id: str, since: str | None = None) -> Json:
    wanted: Json = {"enabled": True} if since is None else {"enabled": True, "since": since}
    body: Json = {"conn_id": conn_id, "extensions": {"to_device": wanted}}
    extensions: Json = (await person.post(SLIDING, body)).ok()["extensions"]
    return extensions


def ahead(text: str, lane: int) -> SyncToken:
    """What a client had that was told of messages which a failover has lost."""
    token = SyncToken.decode(text)
    users = tuple(p + BEYOND if at == lane else p for at, p in enumerate(token.users))
    return replace(token, users=users, to_device=users[lane])


@pytest.mark.parametrize("full", [{}, {"full_state": "true"}])
async def test_messages_of_a_new_generation_are_told_to_who_has_seen_a_lost_one(
    building: Building, bob: SyncPerson, full: dict[str, Any]
) -> None:
    lane = building.platform.lanes.user(bob.user_id)
    lost = ahead((await bob.sync())["next_batch"], lane).encode()
    await building.platform.log.begin_generation("a test")
    for number in range(2):
        await put(building, bob, number)
    told = await bob.sync(lost, **full)
    assert numbers(told) == [0, 1]
    await put(building, bob, 2)
    assert numbers(await bob.sync(told["next_batch"])) == [2], "and what was told is taken as delivered"


async def test_what_was_delivered_before_a_new_generation_is_not_told_again(
    building: Building, bob: SyncPerson
) -> None:
    since = (await bob.sync())["next_batch"]
    await put(building, bob, 0)
    told = await bob.sync(since)
    assert numbers(told) == [0]
    await building.platform.log.begin_generation("a test")
    await put(building, bob, 1)
    assert numbers(await bob.sync(told["next_batch"])) == [1]


async def test_a_token_of_an_unknown_generation_deletes_nothing(building: Building, bob: SyncPerson) -> None:
    lane = building.platform.lanes.user(bob.user_id)
    token = ahead((await bob.sync())["next_batch"], lane)
    await put(building, bob, 0)
    told = await bob.sync(replace(token, generation=token.generation ^ 1).encode())
    assert numbers(told) == [0]


async def test_a_sequence_beyond_the_head_does_not_stop_deletion(building: Building, bob: SyncPerson) -> None:
    lane = building.platform.lanes.user(bob.user_id)
    token = SyncToken.decode((await bob.sync())["next_batch"])
    beyond = token.users[lane] + 1_000_000
    since = (await bob.sync(replace(token, to_device=beyond).encode()))["next_batch"]
    await slide(bob, "beyond", InboxToken(token.generation, beyond).encode())
    await put(building, bob, 0)
    told = await bob.sync(since)
    assert numbers(told) == [0]
    await bob.sync(told["next_batch"])
    assert await building.users.inbox(bob.user_id, bob.device_id, 0, beyond) == []


@pytest.mark.parametrize("form", ["of the lost generation", "a bare number", "of an unknown generation"])
async def test_sliding_sync_tells_messages_of_a_new_generation(
    building: Building, bob: SyncPerson, form: str
) -> None:
    first = await slide(bob, "1")
    held = InboxToken.decode(first["to_device"]["next_batch"])
    lane = building.platform.lanes.user(bob.user_id)
    beyond = SyncToken.decode((await bob.sync())["next_batch"]).users[lane] + BEYOND
    since = {
        "of the lost generation": InboxToken(held.generation, beyond).encode(),
        "a bare number": str(beyond),
        "of an unknown generation": InboxToken(held.generation ^ 1, beyond).encode(),
    }[form]
    generation = await building.platform.log.begin_generation("a test")
    for number in range(2):
        await put(building, bob, number)
    assert await building.replicas[0].reach_heads()
    told = await slide(bob, "2", since)
    assert numbers(told) == [0, 1]
    assert InboxToken.decode(told["to_device"]["next_batch"]).generation == generation
    await put(building, bob, 2)
    assert numbers(await slide(bob, "3", told["to_device"]["next_batch"])) == [2]
    assert len(await building.users.inbox(bob.user_id, bob.device_id, 0, 2**62)) == 1

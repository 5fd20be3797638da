"""What users keep and schedule, on both topologies: another process does what one has been asked."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.support.cluster import ClusterServer
from tests.support.matrix import Client, Json, MatrixError
from tests.support.server import PlexusServer

DELAYED = "client/unstable/org.matrix.msc4140/delayed_events"


@pytest.fixture
async def people(plexus: PlexusServer | ClusterServer) -> AsyncIterator[tuple[Client, Client, str]]:
    """Alice and Bob in a room of theirs."""
    async with aiohttp.ClientSession() as session:
        suffix = secrets.token_hex(4)
        alice = await Client(session, plexus.base_url).register(f"alice-{suffix}")
        bob = await Client(session, plexus.base_url).register(f"bob-{suffix}")
        room_id = await alice.create_room(preset="public_chat")
        await bob.join(room_id)
        yield alice, bob, room_id


async def bodies(client: Client, room_id: str) -> list[str]:
    return [
        event["content"]["body"]
        for event in reversed(await client.history(room_id))
        if event["type"] == "m.room.message"
    ]


async def test_delayed_events(people: tuple[Client, Client, str]) -> None:
    alice, bob, room_id = people

    async def schedule(number: int, delay_ms: int) -> str:
        path = f"client/v3/rooms/{quote(room_id, safe='')}/send/m.room.message/{number}"
        content = {"msgtype": "m.text", "body": str(number)}
        answer = await alice.request("PUT", path, content, query={"org.matrix.msc4140.delay": delay_ms})
        return str(answer["delay_id"])

    ids = [await schedule(number, 5_000 + number * 40) for number in range(20)]
    kept, dropped = ids[0], ids[1]
    await alice.request("POST", f"{DELAYED}/{dropped}/cancel", {})
    await alice.request("POST", f"{DELAYED}/{kept}/send", {})
    assert await bodies(bob, room_id) == ["0"]
    with pytest.raises(MatrixError) as not_his:
        await bob.request("POST", f"{DELAYED}/{ids[2]}/cancel", {})
    assert not_his.value.status == 404
    late: list[int] = []
    for delay_id in ids[2:]:
        found: dict[str, Any] = {}
        while "finalised_ts" not in found:
            await asyncio.sleep(0.05)
            found = await alice.request("GET", f"{DELAYED}/{delay_id}")
        assert "error" not in found
        late.append(found["finalised_ts"] - found["scheduled_at"] - found["delay_ms"])
    assert min(late) >= 0 and max(late) < 1500, late
    assert await bodies(bob, room_id) == ["0", *map(str, range(2, 20))]


async def test_tags_set_at_once_and_users_ignored(people: tuple[Client, Client, str]) -> None:
    alice, bob, room_id = people
    user, room = quote(alice.user_id, safe=""), quote(room_id, safe="")
    since = (await alice.sync())["next_batch"]
    path = f"client/v3/user/{user}/rooms/{room}/tags"
    await asyncio.gather(*(alice.request("PUT", f"{path}/u.{number}", {}) for number in range(8)))
    answer = await alice.sync(since)
    [tags] = answer["rooms"]["join"][room_id]["account_data"]["events"]
    assert tags == {"type": "m.tag", "content": {"tags": {f"u.{number}": {} for number in range(8)}}}

    since = answer["next_batch"]
    ignored: Json = {"ignored_users": {bob.user_id: {}}}
    await alice.request("PUT", f"client/v3/user/{user}/account_data/m.ignored_user_list", ignored)
    await bob.send(room_id, "unheard")
    # What she has written herself she sees, and so what of his went before it.
    await alice.send(room_id, "heard")
    events = (await alice.sync(since))["rooms"]["join"][room_id]["timeline"]["events"]
    assert [event["content"]["body"] for event in events] == ["heard"]

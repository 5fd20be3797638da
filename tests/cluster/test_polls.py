"""Held syncs through the gateway of a cluster: a newer one of a device ends its older one."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import aiohttp
import pytest

from tests.support.cluster import ClusterServer
from tests.support.matrix import Client, Json

SLIDING: Json = {"lists": {"all": {"required_state": {}, "timeline_limit": 10, "range": [0, 9]}}}
FILTER = '{"presence":{"not_types":["*"]}}'


async def begin(client: Client, kind: str) -> str:
    if kind == "sliding":
        return str((await client.request("POST", "client/v4/sync", SLIDING))["pos"])
    return str((await client.sync(filter=FILTER))["next_batch"])


def hold(client: Client, kind: str, token: str) -> asyncio.Task[Json]:
    if kind == "sliding":
        body = SLIDING | {"pos": token, "timeout": 20_000}
        return asyncio.create_task(client.request("POST", "client/v4/sync", body))
    if kind == "events":
        query: dict[str, Any] = {"from": token, "timeout": 20_000}
        return asyncio.create_task(client.request("GET", "client/v3/events", query=query))
    return asyncio.create_task(client.sync(token, timeout_ms=20_000, filter=FILTER))


@pytest.mark.parametrize("kind", ["sync", "sliding", "events"])
async def test_a_newer_poll_of_a_device_ends_its_older_one(cluster: ClusterServer, kind: str) -> None:
    """A user's requests go to one replica, whichever that is, so it holds for users of both."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        people = [
            await Client(session, cluster.base_url).register(f"{kind}{n}-{secrets.token_hex(4)}")
            for n in range(6)
        ]
        # The first digits of a token say the user's lane, by which the gateway chooses.
        assert len({person.access_token.split("_")[1] for person in people}) > 1
        room_id = await people[0].create_room(preset="public_chat")
        for person in people[1:]:
            await person.join(room_id)
        await asyncio.sleep(1)  # until everybody's own writes, and those of others, are behind them
        tokens = [await begin(person, kind) for person in people]
        older = [hold(person, kind, token) for person, token in zip(people, tokens, strict=True)]
        await asyncio.sleep(0.5)
        assert not any(poll.done() for poll in older)
        newer = [hold(person, kind, token) for person, token in zip(people, tokens, strict=True)]
        await asyncio.wait_for(asyncio.gather(*older), 5)
        assert not any(poll.done() for poll in newer)
        event_id = await people[0].send(room_id, "to those who wait")
        for answer in await asyncio.wait_for(asyncio.gather(*newer), 10):
            assert event_id in str(answer)

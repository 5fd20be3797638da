"""A server of one process goes on as a cluster: `make cluster FROM=folder`, in its own words."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from deploy.local.cluster import REPLICAS
from tests.support.cluster import ClusterServer, what_lacks
from tests.support.matrix import Client, Json
from tests.support.server import PlexusServer

SERVER = "moved.example.org"
PICTURE = bytes(range(256)) * 200


@dataclass
class Story:
    """What was done on the one process, and must go on."""

    user_id: str
    access_token: str
    room: str
    sent: str
    media: str
    since: str


async def live(url: str) -> Story:
    async with aiohttp.ClientSession() as session:
        return await _live(session, url)


async def _live(session: aiohttp.ClientSession, url: str) -> Story:
    alice = await Client(session, url).register("alice")
    room = await alice.create_room()
    sent = await alice.send(room, "heard", "a-transaction")
    async with session.post(
        f"{url}/_matrix/media/v3/upload",
        data=PICTURE,
        headers={"Authorization": f"Bearer {alice.access_token}", "Content-Type": "image/png"},
    ) as answer:
        media = (await answer.json())["content_uri"].removeprefix("mxc://")
    since = (await alice.sync())["next_batch"]
    await alice.send(room, "unheard")
    return Story(alice.user_id, alice.access_token, room, sent, media, since)


@pytest.mark.timeout(300)
def test_a_server_goes_on_as_a_cluster(tmp_path: Path) -> None:
    if (lacking := what_lacks()) is not None:
        pytest.skip(f"no cluster here: {lacking}")
    origin = tmp_path / "data"
    few = dict.fromkeys(REPLICAS, 1)
    with PlexusServer(origin, {"PLEXUS_SERVER_NAME": SERVER}) as before:
        story = asyncio.run(live(before.base_url))
    with ClusterServer(tmp_path / "cluster", origin=origin, replicas=few) as cluster:
        assert cluster.server_name == SERVER
        assert (cluster.folder / "signing.key").read_text() == (origin / "signing.key").read_text()
        asyncio.run(goes_on(story, cluster.base_url))


async def goes_on(story: Story, url: str) -> None:
    async with aiohttp.ClientSession() as session:
        await _goes_on(story, session, url)


async def _goes_on(story: Story, session: aiohttp.ClientSession, url: str) -> None:
    alice = Client(session, url, story.user_id, story.access_token)
    first = await alice.sync(story.since)
    assert bodies(first, story.room) == ["unheard"], "nothing twice, nothing skipped"
    assert await alice.send(story.room, "heard", "a-transaction") == story.sent, "a retry makes no event"
    await alice.send(story.room, "in the cluster")
    second = await alice.sync(first["next_batch"], timeout_ms=10_000)
    assert bodies(second, story.room) == ["in the cluster"]
    async with session.get(
        f"{url}/_matrix/client/v1/media/download/{story.media}",
        headers={"Authorization": f"Bearer {alice.access_token}"},
    ) as answer:
        assert (answer.status, await answer.read()) == (200, PICTURE)


def bodies(answer: Json, room: str) -> list[str]:
    return [event["content"]["body"] for event in answer["rooms"]["join"][room]["timeline"]["events"]]

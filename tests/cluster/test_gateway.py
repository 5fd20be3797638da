"""What the gateway adds: its metrics, a second try where that is safe, a way for calls of services."""

from __future__ import annotations

import asyncio
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator

import aiohttp
import pytest

from deploy.local.asking import ask
from deploy.local.routes import SERVICES
from tests.support.cluster import ClusterServer
from tests.support.matrix import Client, Json, MatrixError

SENDERS = 16


def metrics(cluster: ClusterServer) -> str:
    answer = ask(cluster.gateway.metrics_port, "/metrics", patience=10)
    assert answer is not None
    assert answer[0] == 200
    return answer[1]


def test_prometheus_may_ask_it(cluster: ClusterServer) -> None:
    text = metrics(cluster)
    assert "\nhaproxy_process_uptime_seconds " in text
    for process in cluster.services:
        if process.service in SERVICES:
            assert f'server="{process.name}",state="UP"' in text
    # Neither the metrics nor the way for calls are on the port for clients.
    for path in ("/metrics", "/stats"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(cluster.base_url + path, timeout=10)
        assert refused.value.code == 404


@pytest.fixture
async def clients(cluster: ClusterServer) -> AsyncIterator[list[tuple[Client, str]]]:
    """Each with a connection and a room of its own, so that both replicas have something to do."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=SENDERS)) as session:
        suffix = secrets.token_hex(4)
        made = []
        for number in range(SENDERS):
            client = await Client(session, cluster.base_url).register(f"sender{number}-{suffix}")
            made.append((client, await client.create_room()))
        yield made


async def until_killed(cluster: ClusterServer, senders: list[asyncio.Task[int]]) -> list[int]:
    """Kill a replica in the midst of it; when it is back, how much each has done."""
    await asyncio.sleep(1)
    await asyncio.to_thread(cluster["client-api-1"].kill)
    await asyncio.sleep(2)
    await asyncio.to_thread(cluster.wait_ready, "client-api-1")
    return list(await asyncio.gather(*senders))


async def test_a_put_survives_the_death_of_its_replica(
    cluster: ClusterServer, clients: list[tuple[Client, str]]
) -> None:
    """kill -9 with requests under way: they are sent again to the other replica, and nobody notices; but for
    an answer whose head was on its way when the rest died. That one the client sends again, as clients do.
    """
    before = retried(cluster)
    restarts = cluster.restarts("client-api-1")

    cut = 0

    async def once(client: Client, room_id: str, count: int) -> None:
        await client.send(room_id, f"message {count}", f"txn-{count}", timeout=30)

    async def send(client: Client, room_id: str) -> int:
        nonlocal cut
        count = 0
        while cluster.restarts("client-api-1") == restarts or count < 20:
            count += 1
            try:
                await once(client, room_id, count)
            except aiohttp.ClientPayloadError:
                cut += 1
                await once(client, room_id, count)
        return count

    senders = [asyncio.create_task(send(client, room_id)) for client, room_id in clients]
    counts = await until_killed(cluster, senders)
    assert min(counts) >= 20
    assert cut <= 2
    assert retried(cluster) > before, "nothing was under way at the replica when it was killed"


def retried(cluster: ClusterServer) -> float:
    lines = metrics(cluster).splitlines()
    kind = ("haproxy_backend_redispatch_warnings_total", "haproxy_backend_retry_warnings_total")
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in lines
        if line.startswith(kind) and 'proxy="client-api"' in line
    )


async def test_a_post_is_not_sent_again(cluster: ClusterServer) -> None:
    """A frozen replica has taken the request and may yet carry it out: so the client is told that nobody
    knows, and no other replica gets it.
    """
    async with aiohttp.ClientSession() as session:
        client = await Client(session, cluster.base_url).register(f"poster-{secrets.token_hex(4)}")
        # The user's token says which replica it is.
        name = await asyncio.to_thread(replica_of, cluster, client)
        process = cluster[name]
        process.freeze()
        try:
            post = asyncio.create_task(client.request("POST", "client/v3/createRoom", {}, timeout=60))
            get = asyncio.create_task(client.request("GET", "client/v3/account/whoami", timeout=60))
            await asyncio.sleep(0.3)
        finally:
            process.kill()
        with pytest.raises((MatrixError, aiohttp.ClientError)) as failed:
            await post
        if isinstance(failed.value, MatrixError):
            assert failed.value.status in (502, 503)
        answer: Json = await get
        assert answer["user_id"] == client.user_id, "a GET may be sent again, and is"
        await asyncio.to_thread(cluster.wait_ready, name)
        assert (await client.request("GET", "client/v3/joined_rooms"))["joined_rooms"] == []


def replica_of(cluster: ClusterServer, client: Client) -> str:
    """Whose count of requests grows with this client's."""
    names = [process.name for process in cluster.of("client-api")]
    before = {name: requests(cluster, name) for name in names}
    url = f"{cluster.base_url}/_matrix/client/v3/account/whoami"
    for _ in range(3):
        asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {client.access_token}"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            answer.read()
    [name] = [name for name in names if requests(cluster, name) >= before[name] + 3]
    return name


def requests(cluster: ClusterServer, server: str) -> float:
    [line] = [
        line
        for line in metrics(cluster).splitlines()
        if line.startswith("haproxy_server_sessions_total{") and f'server="{server}"' in line
    ]
    return float(line.rsplit(" ", 1)[1])


def called(cluster: ClusterServer, path: str) -> int:
    """What a call without the secret is answered."""
    asked = urllib.request.Request(f"http://127.0.0.1:{cluster.gateway.calls_port}{path}", b"", method="POST")
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_calls_find_a_replica_that_lives(cluster: ClusterServer) -> None:
    for service in SERVICES:
        assert called(cluster, f"/{service}/nothing") == 401, "the service itself asks for the secret"
    assert called(cluster, "/nobody/nothing") == 503
    cluster.hold("sync-1", kill=True)
    try:
        deadline = time.monotonic() + 30
        while cluster.gateway.servers()["sync-1"] != "DOWN":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert [called(cluster, "/sync/nothing") for _ in range(10)] == [401] * 10
    finally:
        cluster.release("sync-1")
    cluster.wait_ready("sync-1")

"""After a restart every client comes back in the same moment, with the token it had."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.server import PlexusServer

CLIENTS = 600
V3 = "/_matrix/client/v3"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PlexusServer]:
    with PlexusServer(tmp_path / "data") as running:
        yield running


def http() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def arrive(server: PlexusServer) -> list[tuple[str, str]]:
    """Access token and sync token of each client, all of them in a room of their own."""
    at_once = asyncio.Semaphore(16)
    async with http() as session:

        async def one(number: int) -> tuple[str, str]:
            account = {
                "username": f"user{number}",
                "password": "correct horse battery",
                "auth": {"type": "m.login.dummy"},
            }
            async with at_once:
                async with session.post(f"{server.base_url}{V3}/register", json=account) as answer:
                    token = (await answer.json())["access_token"]
                bearer = {"Authorization": f"Bearer {token}"}
                async with session.post(f"{server.base_url}{V3}/createRoom", json={}, headers=bearer) as made:
                    assert made.status == 200, await made.text()
                async with session.get(f"{server.base_url}{V3}/sync", headers=bearer) as answer:
                    return token, (await answer.json())["next_batch"]

        return await asyncio.gather(*map(one, range(CLIENTS)))


async def come_back(server: PlexusServer, clients: list[tuple[str, str]]) -> Counter[int]:
    async with http() as session:

        async def one(token: str, since: str) -> int:
            url = f"{server.base_url}{V3}/sync?timeout=1000&since={since}"
            async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
                await answer.read()
                return answer.status

        return Counter(await asyncio.gather(*(one(*client) for client in clients)))


@pytest.mark.timeout(300)
def test_all_clients_at_once_after_a_restart(server: PlexusServer) -> None:
    clients = asyncio.run(arrive(server))
    server.stop()
    server.start()
    assert asyncio.run(come_back(server, clients)) == {200: CLIENTS}

"""Requests to every service that a gateway sends once: who asks is told at once when one fails.

Sends and syncs are PUT and GET, which a gateway may try again at another replica, so under them alone a
replica that leaves badly is not noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp

from tests.support.matrix import Client, Json, MatrixError

PAUSE = 0.05


@dataclass
class Caller:
    """Asks one service the same again and again, on one connection after the other."""

    service: str
    ask: Callable[[], Awaitable[Json]]
    answered: int = 0
    failed: list[str] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.ask()
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failed.append(repr(error))
            except MatrixError as error:
                if error.status < 500:
                    raise
                self.failed.append(str(error))
            else:
                self.answered += 1
            await asyncio.sleep(PAUSE)


@asynccontextmanager
async def calling(base_url: str, name: str, each: int = 4) -> AsyncIterator[list[Caller]]:
    """``each`` who ask client-api, keys, media and federation, all the time."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        callers = []
        for number in range(each):
            client = await Client(session, base_url).register(f"{name}{number}")
            callers += await _of(client)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(caller.run(stop))
            try:
                yield callers
            finally:
                stop.set()


async def _of(client: Client) -> list[Caller]:
    room_id = await client.create_room()
    event_id = await client.send(room_id, "to be read")
    marker = f"client/v3/rooms/{quote(room_id, safe='')}/read_markers"
    keys: Json = {"device_keys": {client.user_id: []}}
    return [
        Caller("client-api", lambda: client.request("POST", marker, {"m.read": event_id})),
        Caller("keys", lambda: client.request("POST", "client/v3/keys/query", keys)),
        Caller("media", lambda: client.request("POST", "media/v3/upload", {"a": "file"})),
        # What may be asked here without being a server.
        Caller("federation", lambda: client.request("GET", "federation/v1/version")),
    ]

"""A thousand users in rooms of some twenty, all syncing: a `storm` that is wide instead of fierce.

They are made through the libraries beside the running cluster, as one more process of it: over HTTP that
would take longer than the test.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp
from plexus.platform.compose import open_platform
from plexus.platform.settings import load_settings
from plexus.rooms import NewEvent, Rooms
from plexus.users import NewDevice, Users

from deploy.local.cluster import Cluster
from tests.support.matrix import Client
from tests.support.senders import Ledger
from tests.support.storm import Load, going_on
from tests.support.watchers import EventsWatcher, SlidingWatcher, Watcher

ROOM_SIZE = 20
PAUSE = 5.0
"""Seconds between two messages in a room: with fifty rooms 200 deliveries a second."""
POLL_MS = 30_000
_AT_ONCE = 16

T = TypeVar("T")
R = TypeVar("R")


@asynccontextmanager
async def crowd(cluster: Cluster, users: int, *, patience: float = 30) -> AsyncIterator[Load]:
    """As `storm`, with one sender in each room. Of a room's members one syncs by sliding sync, and one by
    the event stream.
    """
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began = time.monotonic()
        groups = await _make(session, cluster, users)
        made = time.monotonic()
        ledgers = [Ledger(clients[0], room_id) for room_id, clients in groups.items()]
        watchers = [
            (SlidingWatcher if number == 1 else EventsWatcher if number == 2 else Watcher)(
                client, poll_ms=POLL_MS
            )
            for clients in groups.values()
            for number, client in enumerate(clients)
        ]
        await _each(watchers, lambda watcher: watcher.begin())
        print(
            f"{users} users made in {made - began:.1f} s, synced in {time.monotonic() - made:.1f} s",
            flush=True,
        )
        async with going_on(ledgers, watchers, PAUSE, patience) as load:
            yield load


async def _make(session: aiohttp.ClientSession, cluster: Cluster, users: int) -> dict[str, list[Client]]:
    """The logged-in members of each room, its creator first."""
    run = secrets.token_hex(3)
    async with open_platform(load_settings(cluster.config), service="test") as platform:
        accounts = Users(platform)
        rooms = Rooms(platform, accounts.member_rules, accounts.erased)
        await rooms.start()
        await accounts.start()
        try:

            async def person(number: int) -> Client:
                user_id, made = await accounts.register(f"crowd{number}-{run}", None, device=NewDevice())
                assert made is not None
                return Client(session, cluster.base_url, user_id, made.access_token, made.device_id)

            async def gather(clients: Sequence[Client]) -> tuple[str, list[Client]]:
                creator, *others = clients
                room_id = (await rooms.create(creator.user_id, "12", _events(creator.user_id))).room_id
                for client in others:
                    await rooms.send(room_id, client.user_id, _join(client.user_id))
                return room_id, [creator, *others]

            clients = await _each(range(users), person)
            sizes = range(0, users, ROOM_SIZE)
            return dict(await _each([clients[first : first + ROOM_SIZE] for first in sizes], gather))
        finally:
            await accounts.stop()
            await rooms.stop()


async def _each(things: Sequence[T], do: Callable[[T], Awaitable[R]]) -> list[R]:
    """Do it for all, some at a time; the results in their order."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(thing: T) -> R:
        async with places:
            return await do(thing)

    return await asyncio.gather(*map(one, things))


def _events(creator: str) -> list[NewEvent]:
    return [
        NewEvent("m.room.create", {}, ""),
        _join(creator),
        NewEvent("m.room.power_levels", {"users": {}}, ""),
        NewEvent("m.room.join_rules", {"join_rule": "public"}, ""),
        NewEvent("m.room.history_visibility", {"history_visibility": "shared"}, ""),
    ]


def _join(user_id: str) -> NewEvent:
    return NewEvent("m.room.member", {"membership": "join"}, user_id)

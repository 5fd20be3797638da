"""A house with sync replicas, and clients that fold what they are told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from plexus.client_api import root as client_api
from plexus.platform.compose import open_platform
from plexus.platform.context import Platform
from plexus.platform.http import Gateway
from plexus.platform.lanes import ROOM, USER
from plexus.platform.lanes.torture import VARIABLE, TortureFanout
from plexus.platform.peer import Peer
from plexus.platform.service import Service
from plexus.platform.settings import Settings
from plexus.platform.signing import create_signing_key
from plexus.rooms import Rooms
from plexus.sync.root import build
from plexus.sync.service import SyncService
from plexus.users import NewDevice, Users
from plexus.wire import Wire

from tests.support.house import SERVER, V3, Person
from tests.support.http import Answer, Json
from tests.support.peers import From
from tests.support.postgres import TestDatabase
from tests.support.topology import adapters

SYNC = f"{V3}/sync"

SOON = 3.0 if VARIABLE in os.environ else 1.0
"""Seconds in which what is published is told. A follower looks for what a tortured fan-out has lost once a
second, and then reads it.
"""


@dataclass
class Building:
    """Everything in this event loop: the client API once, sync as often as wanted."""

    platform: Platform
    rooms: Rooms
    users: Users
    client_api: Service
    stack: AsyncExitStack
    replicas: list[Replica] = field(default_factory=list)

    async def replica(self) -> Replica:
        """One more sync replica, which knows nothing yet."""
        made = build(self.platform, rooms=self.rooms, users=self.users)
        await made.start()
        service: SyncService = made.app.state.sync
        replica = Replica(self.platform, made, service, Gateway([self.client_api, made], self.platform))
        self.replicas.append(replica)
        self.stack.push_async_callback(replica.end)
        return replica

    async def person(self, localpart: str) -> SyncPerson:
        user_id, session = await self.users.register(localpart, None, device=NewDevice())
        assert session is not None
        return self._person(user_id, session.device_id, session.access_token)

    async def device(self, person: Person) -> SyncPerson:
        session = await self.users.open_session(person.user_id, NewDevice())
        return self._person(session.user_id, session.device_id, session.access_token)

    def _person(self, user_id: str, device_id: str, token: str) -> SyncPerson:
        person = SyncPerson(self.replicas[0], token)
        person.user_id, person.device_id = user_id, device_id
        return person


@dataclass
class Replica:
    """A sync replica and, in front of it, the gateway to everything: what its people are clients of."""

    platform: Platform
    service: Service
    sync: SyncService
    gateway: Gateway
    asked: int = 0
    ended: bool = False

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.asked += 1
        try:
            await self.gateway(scope, receive, send)
        finally:
            self.asked -= 1

    async def reach_heads(self) -> bool:
        """Wait until this replica has seen all that is written; False if it does not come so far. It is not
        ended meanwhile.
        """
        self.asked += 1
        try:
            heads = await self.platform.log.heads(primary=True)
            positions = {(ROOM, lane): p for lane, p in enumerate(heads.rooms)}
            positions |= {(USER, lane): p for lane, p in enumerate(heads.users)}
            replica = self.sync.replica
            return await replica.begins(heads.generation, 5) and await replica.reach(positions, 5)
        finally:
            self.asked -= 1

    async def finish(self) -> None:
        """End as a server that is told to: what was asked is answered first."""
        async with asyncio.timeout(15):
            while self.asked:
                await asyncio.sleep(0.01)
        await self.end()

    async def end(self) -> None:
        if not self.ended:
            self.ended = True
            await self.service.drain()
            await self.service.stop()


class SyncPerson(Person):
    """A user who syncs, by the replica that ``app`` is."""

    app: Replica | From[Replica]

    @property
    def replica(self) -> Replica:
        return self.app.app if isinstance(self.app, From) else self.app

    @property
    def is_tortured(self) -> bool:
        """Whether the fan-out loses, repeats and delays."""
        return isinstance(self.replica.platform.fanout, TortureFanout)

    async def hear(self) -> None:
        """Wait for what others have written, if the fan-out is tortured: nobody promises then that it is
        told at once. An ordinary one has brought it before its writer is answered, so nothing is waited for.
        """
        if self.is_tortured:
            assert await self.replica.reach_heads()

    async def ask_sync(self, since: str | None = None, **query: Any) -> Answer:
        found = query.pop("filter", None)
        if found is not None:
            query["filter"] = found if isinstance(found, str) else orjson.dumps(found).decode()
        return await self.get(SYNC, since=since, **query)

    async def sync(self, since: str | None = None, **query: Any) -> Json:
        return (await self.ask_sync(since, **query)).ok()

    async def now(self) -> str:
        """A place from which on to look."""
        token: str = (await self.sync(filter={"room": {"rooms": []}}))["next_batch"]
        return token

    async def set_state(self, room_id: str, type: str, content: Json, state_key: str = "") -> str:
        path = f"{self.room(room_id)}/state/{type}/{state_key}"
        event_id: str = (await self.put(path, content)).ok()["event_id"]
        return event_id

    async def act(self, room_id: str, action: str, user_id: str | None = None) -> int:
        """invite, kick, ban, unban, join, leave; returns the status."""
        body = {} if user_id is None else {"user_id": user_id}
        return (await self.post(f"{self.room(room_id)}/{action}", body)).status

    def over(self, peer: Peer) -> SyncPerson:
        """The same device, by a connection of its own that a test may end."""
        person = SyncPerson(From(self.replica, peer), self.token)
        person.user_id, person.device_id = self.user_id, self.device_id
        return person

    def at(self, replica: Replica) -> SyncPerson:
        """The same device, by another replica."""
        person = SyncPerson(replica, self.token)
        person.user_id, person.device_id = self.user_id, self.device_id
        return person


@asynccontextmanager
async def open_building(
    database: TestDatabase, data_dir: Path, *, alone: bool = True, **settings: Any
) -> AsyncIterator[Building]:
    """The building with one replica, open until the block ends."""
    given = {
        "rate_limits": {"enabled": False},
        "registration": {"mode": "open"},
        "database": {"dsn": database.writer, "reader_dsn": database.reader},
        **adapters(),
        **settings,
    }
    made = Settings(server_name=SERVER, data_dir=data_dir, **given)
    create_signing_key(made.signing_key_file)
    opened = open_platform(made, service="test", alone=alone)
    async with opened as platform, AsyncExitStack() as stack:
        users, wire = Users(platform), Wire(platform)
        rooms = Rooms(platform, users.member_rules, users.erased)
        for library in (rooms, users, wire):
            await library.start()
            stack.push_async_callback(library.stop)
        client = client_api.build(platform, rooms=rooms, users=users, wire=wire)
        await client.start()
        stack.push_async_callback(_end, client)
        building = Building(platform, rooms, users, client, stack)
        await building.replica()
        yield building


async def _end(service: Service) -> None:
    await service.drain()
    await service.stop()

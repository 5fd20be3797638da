"""A house with sync replicas, and clients that fold what they are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from plexus.client_api import root as client_api
from plexus.platform.compose import open_platform
from plexus.platform.context import Platform
from plexus.platform.http import Gateway
from plexus.platform.service import Service
from plexus.platform.settings import Settings
from plexus.platform.signing import create_signing_key
from plexus.rooms import Rooms
from plexus.sync.root import build
from plexus.sync.service import SyncService
from plexus.users import NewDevice, Users

from tests.support.house import SERVER, V3, Person
from tests.support.http import Json
from tests.support.postgres import TestDatabase
from tests.support.topology import adapters

SYNC = f"{V3}/sync"


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
        replica = Replica(made, service, Gateway([self.client_api, made], self.platform))
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
        person = SyncPerson(self.replicas[0].gateway, token)
        person.user_id, person.device_id = user_id, device_id
        return person


@dataclass
class Replica:
    service: Service
    sync: SyncService
    gateway: Gateway
    ended: bool = False

    async def end(self) -> None:
        if not self.ended:
            self.ended = True
            await self.service.drain()
            await self.service.stop()


class SyncPerson(Person):
    """A user who syncs, by the replica that ``app`` leads to."""

    async def sync(self, since: str | None = None, **query: Any) -> Json:
        found = query.pop("filter", None)
        if found is not None:
            query["filter"] = found if isinstance(found, str) else orjson.dumps(found).decode()
        return (await self.get(SYNC, since=since, **query)).ok()

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

    def at(self, replica: Replica) -> SyncPerson:
        """The same device, by another replica."""
        person = SyncPerson(replica.gateway, self.token)
        person.user_id, person.device_id = self.user_id, self.device_id
        return person


@asynccontextmanager
async def open_building(database: TestDatabase, data_dir: Path, **settings: Any) -> AsyncIterator[Building]:
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
    async with open_platform(made, service="test") as platform, AsyncExitStack() as stack:
        rooms, users = Rooms(platform), Users(platform)
        for library in (rooms, users):
            await library.start()
            stack.push_async_callback(library.stop)
        client = client_api.build(platform, rooms=rooms, users=users)
        await client.start()
        stack.push_async_callback(_end, client)
        building = Building(platform, rooms, users, client, stack)
        await building.replica()
        yield building


async def _end(service: Service) -> None:
    await service.drain()
    await service.stop()

"""All of Plexus in this event loop, over a database of its own: what the integration tests stand on.

The services answer through the same `Gateway` as in a real process; only the sockets are missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plexus.client_api import root as client_api
from plexus.client_api.deps import ClientApi
from plexus.client_api.identity_servers import IdentityServers
from plexus.media import root as media
from plexus.platform.compose import open_platform
from plexus.platform.context import Platform
from plexus.platform.http import Gateway
from plexus.platform.service import Service
from plexus.platform.settings import Settings
from plexus.platform.signing import create_signing_key
from plexus.rooms import Rooms
from plexus.users import NewDevice, Users
from plexus.wire import Wire

from tests.support.http import AsgiClient, Json, seg
from tests.support.postgres import TestDatabase
from tests.support.topology import adapters

SERVER = "here.example.org"
V3 = "/_matrix/client/v3"


class Person(AsgiClient):
    """A logged-in user: an `AsgiClient` with shorthands for what every story needs."""

    user_id: str
    device_id: str

    async def create_room(self, **body: Any) -> str:
        room_id: str = (await self.post(f"{V3}/createRoom", body)).ok()["room_id"]
        return room_id

    async def send(self, room_id: str, text: str, txn_id: str | None = None) -> str:
        content = {"msgtype": "m.text", "body": text}
        answer = await self.put(f"{self.room(room_id)}/send/m.room.message/{txn_id or seg(text)}", content)
        event_id: str = answer.ok()["event_id"]
        return event_id

    async def join(self, room_id: str) -> None:
        (await self.post(f"{self.room(room_id)}/join")).ok()

    async def state(self, room_id: str, type: str, state_key: str = "") -> Json:
        return (await self.get(f"{self.room(room_id)}/state/{seg(type)}/{seg(state_key)}")).ok()

    @staticmethod
    def room(room_id: str) -> str:
        """The beginning of every path below a room."""
        return f"{V3}/rooms/{seg(room_id)}"


@dataclass
class House:
    """The parts, for tests that look behind the door, and the gateway in front."""

    platform: Platform
    rooms: Rooms
    users: Users
    gateway: Gateway
    wire: Wire

    def client(self, token: str | None = None) -> AsgiClient:
        return AsgiClient(self.gateway, token)

    def client_api(self) -> ClientApi:
        """The parts of client-api once more, as another process has them."""
        identity = IdentityServers(self.platform.settings, self.wire)
        return ClientApi(self.platform, self.rooms, self.users, identity)

    async def person(self, localpart: str) -> Person:
        """A new account with one device."""
        user_id, session = await self.users.register(localpart, None, device=NewDevice())
        assert session is not None
        person = Person(self.gateway, session.access_token)
        person.user_id, person.device_id = user_id, session.device_id
        return person

    async def device(self, person: Person) -> Person:
        """One more device of somebody."""
        session = await self.users.open_session(person.user_id, NewDevice())
        other = Person(self.gateway, session.access_token)
        other.user_id, other.device_id = person.user_id, session.device_id
        return other

    async def count(self, table: str) -> int:
        """Rows of a table."""
        async with self.platform.db.read(primary=True) as session:
            row = await session.one(f"SELECT count(*) FROM {table}")
        assert row is not None
        return int(row[0])

    async def written(self) -> dict[str, int]:
        """How much stands in the tables that a request about rooms might touch: what is equal before and
        after has written nothing."""
        tables = ("rooms.room", "rooms.event", "rooms.membership", "rooms.alias", "rooms.txn", "lanes.fact")
        return {table: await self.count(table) for table in tables}


@asynccontextmanager
async def open_house(database: TestDatabase, data_dir: Path, /, **settings: Any) -> AsyncIterator[House]:
    """The house, open until the block ends; rate limits are off unless given."""
    given = {
        "rate_limits": {"enabled": False},
        "registration": {"mode": "open"},
        "database": {"dsn": database.writer, "reader_dsn": database.reader},
        **adapters(),
        **settings,
    }
    made = Settings(server_name=SERVER, data_dir=data_dir, **given)
    create_signing_key(made.signing_key_file)
    async with open_platform(made, service="test") as platform:
        users, wire = Users(platform), Wire(platform)
        rooms = Rooms(platform, users.member_rules, users.erased)
        services = [
            client_api.build(platform, rooms=rooms, users=users, wire=wire),
            media.build(platform, users=users),
        ]
        async with AsyncExitStack() as stack:
            for library in (rooms, users, wire):
                await library.start()
                stack.push_async_callback(library.stop)
            for service in services:
                await service.start()
                stack.push_async_callback(_end, service)
            yield House(platform, rooms, users, Gateway(services, platform), wire)
            platform.drain.begin()


async def _end(service: Service) -> None:
    await service.drain()
    await service.stop()

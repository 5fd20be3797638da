"""The users library over PostgreSQL. Two on one database are two processes: they share nothing else."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from plexus.platform.compose import open_platform
from plexus.platform.lanes import USER, UserFact
from plexus.platform.settings import Settings
from plexus.platform.signing import create_signing_key
from plexus.users import NewDevice, Session, Users

from tests.support.postgres import TestDatabase, database

__all__ = ["database"]

SERVER = "here.example.org"
CHEAP = {"hash_time_cost": 1, "hash_memory_kib": 8}
PASSWORD = "wonderland"

_numbers = count(1)

OpenUsers = Callable[..., AbstractAsyncContextManager[Users]]
NewUser = Callable[..., Awaitable[Session]]


@pytest.fixture
def open_users(database: TestDatabase, tmp_path: Path) -> OpenUsers:
    """Opens one more process's `Users` on the module's database; rate limits are off unless given."""

    create_signing_key(tmp_path / "signing.key")

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[Users]:
        given = {
            "rate_limits": {"enabled": False},
            "database": {"dsn": database.writer, "reader_dsn": database.reader},
            "passwords": CHEAP,
            **settings,
        }
        made = Settings(server_name=SERVER, data_dir=tmp_path, **given)
        async with open_platform(made, service="test") as platform:
            users = Users(platform)
            await users.start()
            try:
                yield users
            finally:
                await users.stop()

    return opened


@pytest_asyncio.fixture
async def users(open_users: OpenUsers) -> AsyncIterator[Users]:
    async with open_users() as opened:
        yield opened


@pytest.fixture
def new_user(users: Users) -> NewUser:
    """A new account with the password `PASSWORD` and a device."""

    async def make(device: NewDevice | None = None, *, by: Users | None = None) -> Session:
        _, session = await (by or users).register(
            f"user{next(_numbers)}", PASSWORD, device=device or NewDevice()
        )
        assert session is not None
        return session

    return make


async def head(users: Users, user_id: str) -> int:
    """The head of the user's lane."""
    return (await users.platform.log.heads(primary=True)).users[users.lane(user_id)]


async def facts(users: Users, user_id: str, after: int = 0) -> list[tuple[str, bytes]]:
    """Kind and data of the user's facts."""
    found = await users.platform.log.facts_of(
        USER, users.lane(user_id), user_id, after, await head(users, user_id)
    )
    return [(UserFact(fact.kind).name, fact.data) for fact in found]

"""Accounts over HTTP: a house with open registration for most tests, others where a setting matters."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.house import House, Person, open_house
from tests.support.postgres import TestDatabase, database

__all__ = ["database"]

CHEAP = {"hash_time_cost": 1, "hash_memory_kib": 8}
PASSWORD = "wonderland"

_numbers = count(1)

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(database: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(database, tmp_path_factory.mktemp("house"), passwords=CHEAP) as opened:
        yield opened


@pytest.fixture
def other_house(database: TestDatabase, tmp_path: Path) -> OpenHouse:
    """Opens a house with other settings on the same database."""

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[House]:
        async with open_house(database, tmp_path, **{"passwords": CHEAP, **settings}) as house:
            yield house

    return opened


@pytest.fixture
def name() -> str:
    """A localpart that nobody has."""
    return f"user{next(_numbers)}"


@pytest_asyncio.fixture(loop_scope="module")
async def alice(house: House, name: str) -> Person:
    """Somebody with the password `PASSWORD` and the device ``ALICE``, through the front door."""
    return await sign_up(house, name, device_id="ALICE")


async def sign_up(house: House, localpart: str, **more: Any) -> Person:
    body = {"username": localpart, "password": PASSWORD, "auth": {"type": "m.login.dummy"}, **more}
    answer = (await house.client().post("/_matrix/client/v3/register", body)).ok()
    person = Person(house.gateway, answer["access_token"])
    person.user_id, person.device_id = answer["user_id"], answer["device_id"]
    return person

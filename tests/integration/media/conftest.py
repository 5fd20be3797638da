"""One house for a module's tests; each test brings its own people and rooms."""

from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio

from tests.support.house import House, Person, open_house
from tests.support.postgres import TestDatabase, database

_numbers = count(1)

LIMITS = {"max_upload_bytes": 1_000_000}
__all__ = ["database"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(database: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(
        database, tmp_path_factory.mktemp("house"), media={"max_upload_bytes": 1_000_000}
    ) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def alice(house: House) -> Person:
    return await house.person(f"alice{next(_numbers)}")


@pytest_asyncio.fixture(loop_scope="module")
async def bob(house: House) -> Person:
    return await house.person(f"bob{next(_numbers)}")


@pytest_asyncio.fixture(loop_scope="module")
async def carol(house: House) -> Person:
    return await house.person(f"carol{next(_numbers)}")

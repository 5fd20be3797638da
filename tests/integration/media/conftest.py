"""One house for a module's tests; each test brings its own people and rooms."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from itertools import count

import pytest
import pytest_asyncio

from tests.support.house import House, Person, open_house
from tests.support.postgres import TestDatabase, database
from tests.support.s3 import moto

_numbers = count(1)

LIMITS = {"max_upload_bytes": 1_000_000}
__all__ = ["database"]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["folder", "bucket"])
async def house(
    request: pytest.FixtureRequest, database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("house")
    media = {"max_upload_bytes": 1_000_000}
    with ExitStack() as stack:
        if request.param == "bucket":
            media |= stack.enter_context(moto(folder)).settings()
        async with open_house(database, folder, media=media) as opened:
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

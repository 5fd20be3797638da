"""One building for a module's tests; each test brings its own people and rooms."""

from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio

from tests.integration.sync.building import Building, SyncPerson, open_building
from tests.support.postgres import TestDatabase, database

_numbers = count(1)

__all__ = ["database"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def building(
    request: pytest.FixtureRequest, database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Building]:
    # Presence is told when it likes, and a held poll would end with it: only those that are about it have it.
    presence = {"enabled": request.module.__name__.endswith(("test_presence", "test_event_stream"))}
    async with open_building(database, tmp_path_factory.mktemp("building"), presence=presence) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def alice(building: Building) -> SyncPerson:
    return await building.person(f"alice{next(_numbers)}")


@pytest_asyncio.fixture(loop_scope="module")
async def bob(building: Building) -> SyncPerson:
    return await building.person(f"bob{next(_numbers)}")


@pytest_asyncio.fixture(loop_scope="module")
async def carol(building: Building) -> SyncPerson:
    return await building.person(f"carol{next(_numbers)}")

"""The keys service in front of a house's parts."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest
import pytest_asyncio
from plexus.keys import root as keys
from plexus.platform.http import Gateway

from tests.support.house import House, Person, open_house
from tests.support.postgres import TestDatabase, database

__all__ = ["database"]

_numbers = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(database: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(database, tmp_path_factory.mktemp("house")) as opened:
        service = keys.build(opened.platform, users=opened.users)
        opened.gateway = Gateway([service], opened.platform)
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def alice(house: House) -> Person:
    return await house.person(f"alice{next(_numbers)}")


@pytest_asyncio.fixture(loop_scope="module")
async def bob(house: House) -> Person:
    return await house.person(f"bob{next(_numbers)}")


def device_keys(person: Person, **change: Any) -> dict[str, Any]:
    keys = {f"{kind}:{person.device_id}": f"{kind}-public" for kind in ("ed25519", "curve25519")}
    return {
        "user_id": person.user_id,
        "device_id": person.device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": keys,
        "signatures": {person.user_id: {f"ed25519:{person.device_id}": "signature"}},
        **change,
    }


def one_time_key(person: Person, text: str = "public", **more: Any) -> dict[str, Any]:
    return {"key": text, "signatures": {person.user_id: {f"ed25519:{person.device_id}": "signature"}}, **more}

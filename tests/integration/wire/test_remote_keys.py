"""The store of other servers' keys: one contract, two adapters."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from plexus.protocol.signatures import SigningKey
from plexus.wire import MemoryRemoteKeys, RemoteKey, RemoteKeyStore
from plexus.wire.postgres_keys import PostgresRemoteKeys

from tests.support.house import House, open_house
from tests.support.postgres import TestDatabase, database

__all__ = ["database"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = SigningKey("ed25519:1", bytes(32)).verify_key
FIRST = RemoteKey("there.org", KEY, 1_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(database: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with open_house(database, tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module", params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest, house: House) -> RemoteKeyStore:
    if request.param == "memory":
        return MemoryRemoteKeys()
    async with house.platform.db.write() as session:
        await session.execute("DELETE FROM wire.server_key")
    return PostgresRemoteKeys(house.platform.db)


def same(found: RemoteKey | None, wanted: RemoteKey) -> bool:
    return found is not None and (
        found.server_name,
        found.verify_key.key_id,
        found.verify_key.public,
        found.valid_until_ts,
        found.expired_ts,
    ) == (
        wanted.server_name,
        wanted.verify_key.key_id,
        wanted.verify_key.public,
        wanted.valid_until_ts,
        wanted.expired_ts,
    )


async def test_what_is_kept_is_found_by_server_and_name(store: RemoteKeyStore) -> None:
    await store.keep([FIRST])
    assert same(await store.key("there.org", "ed25519:1"), FIRST)
    for server, key_id in (("other.org", "ed25519:1"), ("there.org", "ed25519:2"), ("there.org", "a\0b")):
        assert await store.key(server, key_id) is None


async def test_a_validity_only_grows(store: RemoteKeyStore) -> None:
    longer, shorter = replace(FIRST, valid_until_ts=2_000), replace(FIRST, valid_until_ts=500)
    await store.keep([FIRST])
    await store.keep([longer])
    await store.keep([shorter])
    assert same(await store.key("there.org", "ed25519:1"), longer)


async def test_a_retirement_is_final(store: RemoteKeyStore) -> None:
    retired = replace(FIRST, valid_until_ts=700, expired_ts=700)
    await store.keep([FIRST])
    await store.keep([retired])
    await store.keep([replace(FIRST, valid_until_ts=9_000)])
    assert same(await store.key("there.org", "ed25519:1"), retired)

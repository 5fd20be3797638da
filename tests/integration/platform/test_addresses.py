"""Where a device was last used is known whichever service it used, behind a proxy too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count

import pytest
import pytest_asyncio
from plexus.cli.composition import compose
from plexus.platform.compose import open_platform
from plexus.platform.http import Gateway
from plexus.platform.settings import Settings
from plexus.platform.signing import create_signing_key
from plexus.users import NewDevice, Users

from tests.support.http import AsgiClient
from tests.support.postgres import TestDatabase, database

__all__ = ["database"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

_numbers = count(1)
PROXY = "10.1.2.3"
REQUESTS = {
    "client-api": ("GET", "/_matrix/client/v3/account/whoami", 200),
    "sync": ("GET", "/_matrix/client/v3/sync", 200),
    "keys": ("POST", "/_matrix/client/v3/keys/query", 200),
    "media (upload)": ("POST", "/_matrix/media/v3/upload", 200),
    "media (download)": ("GET", "/_matrix/client/v1/media/download/here.org/none", 404),
    "media (config)": ("GET", "/_matrix/client/v1/media/config", 200),
}


@dataclass
class World:
    gateway: Gateway
    users: Users


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(database: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Everything that `plexus up` runs, behind a trusted proxy."""
    settings = Settings.model_validate(
        {
            "server_name": "here.org",
            "data_dir": tmp_path_factory.mktemp("data"),
            "rate_limits": {"enabled": False},
            "http": {"trusted_proxies": ["10.0.0.0/8"]},
            "database": {"dsn": database.writer, "reader_dsn": database.reader},
        }
    )
    create_signing_key(settings.signing_key_file)
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(open_platform(settings, service="test"))
        gateway = await stack.enter_async_context(compose(platform))
        for service in gateway.services:
            stack.push_async_callback(service.stop)
            await service.start()
        [users] = {service.app.state.authenticator for service in gateway.services if service.name == "sync"}
        yield World(gateway, users)


async def seen_at(world: World, request: tuple[str, str, int], address: str, headers: dict[str, str]) -> str:
    """The ``last_seen_ip`` of a new device after this request alone."""
    user_id, session = await world.users.register(f"alice{next(_numbers)}", None, device=NewDevice())
    assert session is not None
    method, path, status = request
    client = AsgiClient(world.gateway, session.access_token, address, headers)
    answer = await client.request(method, path, {"device_keys": {}} if method == "POST" else None)
    assert answer.status == status, answer.body
    await world.users.last_seen.flush()
    device = await world.users.device(user_id, session.device_id)
    assert device is not None
    return str(device.last_seen_ip)


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_the_last_address_of_a_device(world: World, request_: tuple[str, str, int]) -> None:
    forwarded = {"x-forwarded-for": "203.0.113.9, 198.51.100.7, 10.9.9.9"}
    assert await seen_at(world, request_, PROXY, forwarded) == "198.51.100.7"
    # Whoever is no proxy of ours may claim what it likes.
    assert await seen_at(world, request_, "192.0.2.44", forwarded) == "192.0.2.44"

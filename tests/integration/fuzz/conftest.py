"""One seeded server for all fuzz tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.integration.fuzz.world import SECRET, World
from tests.support.server import PlexusServer
from tests.support.smtp import open_mailbox


@pytest.fixture(scope="package")
def mailbox() -> Iterator[int]:
    """The port of a mailbox in a loop and a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    opened = open_mailbox()
    yield asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result().port
    asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory, mailbox: int) -> Iterator[World]:
    settings = {
        "PLEXUS_REGISTRATION__SHARED_SECRET": SECRET,
        "PLEXUS_REGISTRATION__GUESTS": "true",
        "PLEXUS_DISCOVERY__SUPPORT_PAGE": "https://example.org/help",
        "PLEXUS_DISCOVERY__POLICY_SERVER_KEY": "6yhHGKhCiXTSEN2ksjV7kX_N6rBQZ3Xb-M7LlC6NS-s",
        "PLEXUS_TURN__URIS": "turn:turn.example.org",
        "PLEXUS_TURN__SHARED_SECRET": SECRET,
        "PLEXUS_EMAIL__HOST": "127.0.0.1",
        "PLEXUS_EMAIL__PORT": str(mailbox),
        "PLEXUS_EMAIL__SECURITY": "none",
        # One each time an operation needs one to work on.
        "PLEXUS_DELAYED_EVENTS__MAX_SCHEDULED": "100000",
    }
    with PlexusServer(tmp_path_factory.mktemp("fuzz") / "data", settings) as server:
        world = World(server)
        yield world
        world.http.close()
        assert server.running, f"the server did not outlive the tests:\n{server.tail()}"

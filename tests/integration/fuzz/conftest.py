"""One seeded server for all fuzz tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.fuzz.world import SECRET, World
from tests.support.server import PlexusServer


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = {
        "PLEXUS_REGISTRATION__SHARED_SECRET": SECRET,
        "PLEXUS_DISCOVERY__SUPPORT_PAGE": "https://example.org/help",
        "PLEXUS_DISCOVERY__POLICY_SERVER_KEY": "6yhHGKhCiXTSEN2ksjV7kX_N6rBQZ3Xb-M7LlC6NS-s",
        "PLEXUS_TURN__URIS": "turn:turn.example.org",
        "PLEXUS_TURN__SHARED_SECRET": SECRET,
    }
    with PlexusServer(tmp_path_factory.mktemp("fuzz") / "data", settings) as server:
        world = World(server)
        yield world
        world.http.close()
        assert server.running, f"the server did not outlive the tests:\n{server.tail()}"

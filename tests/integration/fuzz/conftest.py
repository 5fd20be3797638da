"""One seeded server for all fuzz tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.fuzz.world import World
from tests.support.server import PlexusServer


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with PlexusServer(tmp_path_factory.mktemp("fuzz") / "data") as server:
        world = World(server)
        yield world
        world.http.close()
        assert server.running, f"the server did not outlive the tests:\n{server.tail()}"

"""The version endpoint, told to anybody."""

from __future__ import annotations

from typing import cast

from plexus.federation import root
from plexus.platform.context import Platform
from plexus.platform.http import Gateway

from tests.support.http import AsgiClient
from tests.unit.platform.surroundings import surroundings


async def test_the_version_is_told() -> None:
    around = surroundings()
    # The version needs nothing of the platform but what a gateway needs.
    service = root.build(cast(Platform, around))
    client = AsgiClient(Gateway([service], around))
    answer = await client.get("/_matrix/federation/v1/version")
    assert answer.ok()["server"] == {"name": "Plexus", "version": "0.1.0"}
    assert "access-control-allow-origin" not in answer.headers
    assert (await client.put("/_matrix/federation/v1/send/1")).error() == (404, "M_UNRECOGNIZED")
    assert service.ready() == []

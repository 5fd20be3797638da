"""A server that traces everything, and the receiver of what it exports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.otlp import OtlpReceiver
from tests.support.server import PlexusServer
from tests.support.traced import SETTINGS


@pytest.fixture(scope="package")
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as made:
        yield made


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, receiver: OtlpReceiver) -> Iterator[PlexusServer]:
    settings = SETTINGS | {"PLEXUS_TELEMETRY__OTLP_ENDPOINT": receiver.url}
    with PlexusServer(tmp_path_factory.mktemp("trace") / "data", settings) as made:
        yield made

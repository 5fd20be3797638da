"""What metrics are told apart by: never a room, a user, another server, a device or a token."""

from __future__ import annotations

import asyncio
import urllib.request

from tests.support.exposed import ALLOWED, CONVENTIONAL, WHO_OR_WHERE, offences, read
from tests.support.otlp import OtlpReceiver, attributes_of
from tests.support.server import PlexusServer
from tests.support.traced import send_to_a_held_sync


async def test_no_metric_knows_who_or_where(server: PlexusServer, receiver: OtlpReceiver) -> None:
    await send_to_a_held_sync(server.base_url, server.base_url)
    already = len(receiver.metrics("plexus.sync.answers"))
    assert await asyncio.to_thread(
        receiver.wait, lambda: len(receiver.metrics("plexus.sync.answers")) >= already + 2
    )
    metrics = receiver.metrics()
    names = {metric.name for metric in metrics}
    assert names >= CONVENTIONAL
    assert [name for name in names - CONVENTIONAL if not name.startswith("plexus.")] == []
    for metric in metrics:
        data = getattr(metric, metric.WhichOneof("data") or "")
        for point in data.data_points:
            attributes = attributes_of(point.attributes)
            assert set(attributes) <= ALLOWED, metric.name
            for name, value in attributes.items():
                assert not WHO_OR_WHERE.search(str(value)), (metric.name, name, value)


def test_what_prometheus_sees_is_the_same(server: PlexusServer) -> None:
    with urllib.request.urlopen(f"{server.internal_url}/metrics") as answer:
        series = read(answer.read().decode())
    assert len([value for one in series for value in one.labels]) > 100
    assert offences(series) == []

"""What each process of a cluster shows: by the same rules as one process, and enough for the alerts."""

from __future__ import annotations

import asyncio

import pytest

from deploy.local.asking import ask
from tests.support.alerts import CLUSTER, OUTSIDE, metrics_of, rules
from tests.support.cluster import ClusterServer
from tests.support.exposed import Series, offences, read
from tests.support.traced import send_to_a_held_sync


@pytest.fixture(scope="module")
def shown(cluster: ClusterServer) -> dict[str, list[Series]]:
    """By process, after a message has gone from one service through Kafka to another."""
    asyncio.run(send_to_a_held_sync(cluster.base_url, cluster.base_url))
    found = {}
    for process in cluster.services:
        answer = ask(process.internal_port, "/metrics", patience=10)
        assert answer is not None, process.name
        assert answer[0] == 200, process.name
        found[process.name] = read(answer[1])
    return found


def test_no_metric_knows_who_or_where(shown: dict[str, list[Series]]) -> None:
    for name, series in shown.items():
        assert len(series) > 50, name
        assert offences(series) == [], name


def test_what_went_through_kafka_is_counted(shown: dict[str, list[Series]]) -> None:
    def count(service: str, metric: str) -> float:
        return sum(
            one.value
            for name, series in shown.items()
            for one in series
            if name.startswith(service) and one.name == metric and ("messaging_system", "kafka") in one.labels
        )

    assert count("client-api", "messaging_client_sent_messages_total") > 0
    assert count("sync", "messaging_client_consumed_messages_total") > 0
    assert count("client-api", "messaging_client_operation_duration_seconds_count") > 0


def test_every_alert_has_its_metrics(shown: dict[str, list[Series]]) -> None:
    everywhere = {one.name for series in shown.values() for one in series}
    for rule in rules():
        assert metrics_of(rule) - OUTSIDE <= everywhere, rule["alert"]
    for name, series in shown.items():
        assert {one.name for one in series} >= CLUSTER | {"plexus_ready"}, name


def test_a_sound_cluster_raises_none(shown: dict[str, list[Series]]) -> None:
    for name, series in shown.items():
        for up in ("plexus_ready", "plexus_kafka_up", "plexus_redis_up"):
            assert {one.value for one in series if one.name == up} == {1}, (name, up)
        for none in ("plexus_lanes_follower_broken", "plexus_lanes_follower_failures"):
            assert {one.value for one in series if one.name == none} <= {0}, (name, none)

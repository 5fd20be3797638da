"""The comparison of one load on several sync replicas."""

from __future__ import annotations

import pytest

from tests.load import replicas_report


def loads(figures: dict[str, float]) -> dict[str, dict[str, dict[str, float]]]:
    return {"deliveries": {"a room": figures}}


def test_each_replica_is_told_and_no_other_program_or_operation() -> None:
    figures = {
        "client-api-1_ms_per_delivery": 9.0,
        "sync-2_ms_per_delivery": 0.2,
        "sync-1_ms_per_delivery": 0.1,
        "sync-1_ms_per_send": 5.0,
    }
    assert replicas_report.each_replica(figures, "delivery") == [0.1, 0.2]


def test_sync_and_everything_are_told_as_multiples_of_what_one_replica_took() -> None:
    found = {
        "1": loads({"sync-1_ms_per_delivery": 0.2, "kafka_ms_per_delivery": 0.3}),
        "2": loads(
            {
                "sync-1_ms_per_delivery": 0.1,
                "sync-2_ms_per_delivery": 0.2,
                "kafka_ms_per_delivery": 0.3,
                "gateway_ms_per_delivery": 0.1,
            }
        ),
    }
    compared = replicas_report.multiples(found, "deliveries")["a room"]
    assert compared["1"] == {"sync": 1.0, "everything": 1.0}
    assert compared["2"] == {"sync": pytest.approx(1.5), "everything": pytest.approx(1.4)}


def test_what_one_replica_did_in_less_than_a_tick_is_compared_with_nothing() -> None:
    found = {
        "1": loads({"sync-1_ms_per_delivery": 0.0, "gateway_ms_per_delivery": 0.1}),
        "2": loads({"sync-1_ms_per_delivery": 0.1, "gateway_ms_per_delivery": 0.1}),
    }
    compared = replicas_report.multiples(found, "deliveries")["a room"]
    assert compared["2"] == {"sync": None, "everything": pytest.approx(2.0)}

"""The comparison of one load on several sync replicas."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib.figure import Figure

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


def test_a_turn_is_compared_with_one_replica_in_the_same_turn() -> None:
    def turn(sync: float) -> dict[str, float]:
        told = {"p50_ms": 1.0, "p99_ms": 2.0, "other_cpu_pct": 0.0}
        return {"sync-1_ms_per_delivery": sync, "gateway_ms_per_delivery": 0.1} | told

    # In the second turn the machine is half as fast, for both.
    found = {"a room": {"1": [turn(0.1), turn(0.3), turn(0.1)], "2": [turn(0.12), turn(0.34), turn(0.14)]}}
    axes: Any = Figure().subplots()
    replicas_report.plot_in_turn(axes, found)
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([1.0, 1.1])
    assert list(axes.lines[1].get_xdata()) == pytest.approx([1.1, 1.1, 1.2])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a room, 1 sync", "a room, 2 sync"]

    one, two = (line.split() for line in replicas_report.in_turn(found).splitlines()[1:])
    assert one[4:9] == ["0.1", "0.2", "1.00", "1.00", "to"]
    assert two[4:10] == ["0.14", "0.24", "1.10", "1.10", "to", "1.20"]

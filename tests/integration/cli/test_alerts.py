"""The alert rules speak of metrics that a running server shows."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.server import PlexusServer

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "alerts.yaml"


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, float]]:
    with PlexusServer(tmp_path_factory.mktemp("alerts") / "data") as server:
        with urllib.request.urlopen(f"{server.internal_url}/metrics") as answer:
            text = answer.read().decode()
        series = re.findall(r"^(\w+)(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE)
        yield {name: float(value) for name, value in series}


def test_every_rule_has_its_metrics_and_a_runbook(metrics: dict[str, float]) -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) >= 3
    for rule in rules:
        names = set(re.findall(r"\bplexus_\w+", rule["expr"]))
        assert names, rule["alert"]
        assert names <= metrics.keys(), rule["alert"]
        assert rule["annotations"]["runbook"]


def test_a_sound_server_raises_none(metrics: dict[str, float]) -> None:
    assert metrics["plexus_lanes_segments_ahead"] >= 1
    assert metrics["plexus_lanes_segment_age_seconds"] < 600
    assert metrics["plexus_lanes_follower_broken"] == 0

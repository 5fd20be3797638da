"""The alert rules, and the metrics that they speak of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = FOLDER / "alerts.yaml"

OUTSIDE = {"up", "node_filesystem_avail_bytes", "node_filesystem_size_bytes"}
"""Metrics that Prometheus and its node_exporter have."""

CLUSTER = {"plexus_kafka_dropped_total", "plexus_kafka_up", "plexus_redis_up"}
"""Metrics that only a cluster has to show."""

_WORDS = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b|\bup\b")
_NO_METRIC = {"histogram_quantile", "http_route", "http_response_status_code"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metrics_of(rule: dict[str, Any]) -> set[str]:
    return set(_WORDS.findall(re.sub(r'"[^"]*"', "", rule["expr"]))) - _NO_METRIC

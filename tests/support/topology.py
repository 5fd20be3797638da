"""Which adapters stand behind the ports of the platforms that tests open: of one process, or of a cluster.

``pytest --topology cluster tests/integration`` runs the stories over Kafka and Redis, each platform with
topics and a prefix of its own. Platforms that are to share them are given the same settings.
"""

from __future__ import annotations

from typing import Any

from tests.support.kafka import broker, kafka_settings, need_kafka
from tests.support.redis import need_redis, place, server

CLUSTER = False
"""Set by ``tests/conftest.py`` from the option ``--topology``."""


def adapters() -> dict[str, Any]:
    """Settings of a platform: Kafka and Redis of the run, or none."""
    if not CLUSTER:
        return {}
    need_kafka()
    need_redis()
    return {"kafka": kafka_settings(broker()), "redis": place(server()).settings()}

"""The topics: their names, making them, and what an operator wants to know of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from plexus.platform.kafka.connection import AWAY, connection_arguments
from plexus.platform.lanes.kinds import ROOM, USER
from plexus.platform.settings.cluster import KafkaSettings

log = logging.getLogger(__name__)

MOST_BYTES = 1_048_588
"""Of a batch of records: Kafka's own default, and enough for a record of 900 KB."""

_RETENTION = "retention.ms"
_SEGMENT = "segment.ms"
_MAX_BYTES = "max.message.bytes"
_CREATING = 5.0


@dataclass(frozen=True, slots=True)
class TopicReport:
    """``retention_hours`` is None where records are kept for ever. Only whole segments are dropped."""

    partitions: int
    replication: int
    retention_hours: float | None
    segment_hours: float
    max_message_bytes: int


@dataclass(frozen=True, slots=True)
class KafkaReport:
    """``error`` says why there is nothing else; ``topics`` has None for one that is missing."""

    brokers: int = 0
    topics: Mapping[str, TopicReport | None] = field(default_factory=dict)
    error: str | None = None


def topic_names(settings: KafkaSettings) -> dict[str, str]:
    """The topic of each family of lanes."""
    return {ROOM: f"{settings.topic_prefix}.rooms", USER: f"{settings.topic_prefix}.users"}


async def ensure_topics(settings: KafkaSettings) -> list[str]:
    """Make the topics that are missing, if we may; the names of those made.

    Raises aiokafka's errors; one of authorization where the operator has to make them.
    """
    async with _admin(settings) as admin, asyncio.timeout(_CREATING):
        there = await _describe(admin, settings)
        missing = [name for name in topic_names(settings).values() if name not in there]
        if not missing:
            return []
        response = await admin.create_topics([_new_topic(name, settings) for name in missing])
        for name, code, *rest in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(f"{name} cannot be made: {rest[0] if rest and rest[0] else error.__name__}")
        log.info("made the topics %s", ", ".join(missing))
        return missing


async def inspect(settings: KafkaSettings, timeout: float = 5.0) -> KafkaReport:
    """What there is, within ``timeout`` seconds; never raises because Kafka is away."""
    try:
        async with asyncio.timeout(timeout), _admin(settings) as admin:
            brokers = len((await admin.describe_cluster())["brokers"])
            topics: dict[str, TopicReport | None] = dict.fromkeys(topic_names(settings).values())
            for name, found in (await _describe(admin, settings)).items():
                topics[name] = await _report(admin, name, found)
            return KafkaReport(brokers, topics)
    except TimeoutError:
        return KafkaReport(error=f"no answer within {timeout:g} s")
    except AWAY as error:
        return KafkaReport(error=str(error) or type(error).__name__)


def _new_topic(name: str, settings: KafkaSettings) -> NewTopic:
    retention = int(settings.retention_hours * 3_600_000)
    configs = {
        "cleanup.policy": "delete",
        _RETENTION: str(retention),
        # Only whole segments are dropped: with the default of a week nothing would be.
        _SEGMENT: str(max(60_000, retention // 4)),
        _MAX_BYTES: str(MOST_BYTES),
    }
    return NewTopic(name, settings.partitions, settings.replication, topic_configs=configs)


@asynccontextmanager
async def _admin(settings: KafkaSettings) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(**connection_arguments(settings))
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _describe(admin: Any, settings: KafkaSettings) -> dict[str, dict[str, Any]]:
    """Those of our topics that are there, and that we may see."""
    topics = await admin.describe_topics(list(topic_names(settings).values()))
    for topic in topics:
        if for_code(topic["error_code"]) in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
            raise TopicAuthorizationFailedError(topic["topic"])
    return {topic["topic"]: topic for topic in topics if not topic["error_code"]}


async def _report(admin: Any, name: str, found: Mapping[str, Any]) -> TopicReport:
    wanted = {_RETENTION: None, _SEGMENT: None, _MAX_BYTES: None}
    resource = ConfigResource(ConfigResourceType.TOPIC, name, wanted)
    [response] = await admin.describe_configs([resource])
    [(code, message, _, _, entries)] = [entry[:5] for entry in response.resources]
    if code:
        raise for_code(code)(message)
    configs = {entry[0]: entry[1] for entry in entries}
    retention = int(configs[_RETENTION])
    return TopicReport(
        partitions=len(found["partitions"]),
        replication=min((len(partition["replicas"]) for partition in found["partitions"]), default=0),
        retention_hours=None if retention < 0 else retention / 3_600_000,
        segment_hours=int(configs[_SEGMENT]) / 3_600_000,
        max_message_bytes=int(configs[_MAX_BYTES]),
    )

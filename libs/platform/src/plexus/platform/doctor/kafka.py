"""Kafka: whether the brokers answer, and whether the topics are as Plexus would make them."""

from __future__ import annotations

from plexus.platform.doctor.findings import Finding, failure, ok, warning
from plexus.platform.kafka import MOST_BYTES, TopicReport, inspect
from plexus.platform.settings import Settings
from plexus.platform.settings.cluster import KafkaSettings


async def kafka(settings: Settings) -> list[Finding]:
    """Brokers, topics, partitions, copies, how long records are kept."""
    given = settings.kafka
    if settings.embedded:
        return []
    if not given.bootstrap_servers:
        return [
            warning(
                "kafka",
                "there is none: processes learn of one another's commits by asking PostgreSQL, some 100 ms "
                "later",
                "set kafka.bootstrap_servers, unless one process has all services",
            )
        ]
    report = await inspect(given)
    if report.error is not None:
        return [
            failure(
                "kafka",
                f"{', '.join(given.bootstrap_servers)} cannot be used: {report.error}",
                "see that the brokers run, and kafka.bootstrap_servers, security_protocol and the SASL "
                "settings; Plexus goes on meanwhile, some 100 ms later",
            )
        ]
    found = [ok("kafka", f"{report.brokers} brokers" if report.brokers > 1 else "one broker")]
    for name, topic in report.topics.items():
        found += [_missing(name, given)] if topic is None else judge_topic(name, topic, given, report.brokers)
    return found


def judge_topic(name: str, topic: TopicReport, given: KafkaSettings, brokers: int) -> list[Finding]:
    """What an operator should know of a topic that is there."""
    found = []
    kept = topic.retention_hours
    if kept is None or kept > given.retention_hours:
        found.append(
            warning(
                "kafka",
                f"{name} keeps records {'for ever' if kept is None else _hours(kept)}, and with them events "
                f"that were erased; the settings say {_hours(given.retention_hours)}",
                f"set its retention.ms to {_ms(given.retention_hours)}: nobody reads old records",
            )
        )
    elif topic.segment_hours > max(kept, 1 / 60):
        found.append(
            warning(
                "kafka",
                f"{name} keeps records {_hours(kept)}, but drops whole segments only, and one lasts "
                f"{_hours(topic.segment_hours)}: erased events are kept so long",
                f"set its segment.ms below its retention.ms, say to {max(60_000, _ms(kept) // 4)}",
            )
        )
    if topic.max_message_bytes < MOST_BYTES:
        found.append(
            warning(
                "kafka",
                f"{name} takes records of {topic.max_message_bytes} bytes only: larger ones are read from "
                "PostgreSQL by each process",
                f"set its max.message.bytes to {MOST_BYTES}",
            )
        )
    if topic.partitions < given.partitions:
        partitions = _counted(topic.partitions, "partition", "partitions")
        found.append(
            warning(
                "kafka",
                f"{name} has {partitions}, and the settings say {given.partitions}: fewer brokers than could "
                "share its work",
                f"give it {given.partitions} (kafka-topics --alter --partitions), which needs no restart; or "
                f"set kafka.partitions to {topic.partitions}",
            )
        )
    wanted = max(given.replication, 2 if brokers > 1 else 1)
    if topic.replication < wanted:
        found.append(
            warning(
                "kafka",
                f"{name} has {_counted(topic.replication, 'copy', 'copies')} of each record, and should have "
                f"{wanted}: while a broker is away its partitions may be too",
                "give its partitions more replicas (kafka-reassign-partitions), on three brokers three",
            )
        )
    if not found:
        partitions = _counted(topic.partitions, "partition", "partitions")
        found.append(
            ok("kafka", f"{name} has {partitions} and keeps records {_hours(topic.retention_hours or 0)}")
        )
    return found


def _missing(name: str, given: KafkaSettings) -> Finding:
    kept = _ms(given.retention_hours)
    return warning(
        "kafka",
        f"the topic {name} is not there",
        "start a service, which makes it if it may; or make it, with "
        f"{_counted(given.partitions, 'partition', 'partitions')}, retention.ms={kept}, "
        f"segment.ms={max(60_000, kept // 4)} and max.message.bytes={MOST_BYTES}",
    )


def _counted(number: int, one: str, many: str) -> str:
    return f"one {one}" if number == 1 else f"{number} {many}"


def _hours(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:.3g} days"
    return f"{hours:.3g} h" if hours >= 1 else f"{hours * 60:.3g} min"


def _ms(hours: float) -> int:
    return int(hours * 3_600_000)

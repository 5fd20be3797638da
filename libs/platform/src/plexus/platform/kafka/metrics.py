"""What is counted, by OpenTelemetry's names where it has them. Topics are the only labels: there are two."""

from __future__ import annotations

import logging

from plexus.platform.telemetry.metrics import CounterCell, Metrics

log = logging.getLogger(__name__)

_SYSTEM = {"messaging.system": "kafka"}


class KafkaCounts:
    def __init__(self, metrics: Metrics) -> None:
        self._sent = metrics.counter("messaging.client.sent.messages", "{message}", "Records published.")
        self._received = metrics.counter(
            "messaging.client.consumed.messages", "{message}", "Records read, our own included."
        )
        durations = metrics.histogram(
            "messaging.client.operation.duration", "s", "Of a request that publishes records."
        )
        self._duration = durations.labels({**_SYSTEM, "messaging.operation.name": "send"})
        self._dropped = metrics.counter(
            "plexus.kafka.dropped",
            "{message}",
            "Not sent: too many, or too old. PostgreSQL has them.",
        ).labels()
        self._garbage = metrics.counter("plexus.kafka.skipped", "{message}", "Records that are none of ours.")
        self._cells: dict[tuple[str, str, str], CounterCell] = {}
        self._warned = False

    def sent(self, topic: str, count: int) -> None:
        self._cell("sent", topic).add(count)

    def refused(self, topic: str, error: str, count: int) -> None:
        self._cell("sent", topic, error).add(count)

    def received(self, topic: str, count: int) -> None:
        self._cell("received", topic).add(count)

    def sent_in(self, seconds: float) -> None:
        self._duration.record(seconds)

    def dropped(self, count: int) -> None:
        self._dropped.add(count)

    def skipped(self, topic: str, why: str) -> None:
        self._cell("garbage", topic).add()
        if not self._warned:
            self._warned = True
            log.warning("a record of %s was skipped (further ones are only counted): %s", topic, why)

    def _cell(self, kind: str, topic: str, error: str = "") -> CounterCell:
        cell = self._cells.get((kind, topic, error))
        if cell is None:
            counter = {"sent": self._sent, "received": self._received, "garbage": self._garbage}[kind]
            attributes = {**_SYSTEM, "messaging.destination.name": topic}
            if error:
                attributes["error.type"] = error
            cell = self._cells[kind, topic, error] = counter.labels(attributes)
        return cell

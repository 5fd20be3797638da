"""`KafkaFanout`: the cluster's adapter of the lane fan-out."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from plexus.platform.kafka.metrics import KafkaCounts
from plexus.platform.kafka.publisher import TRACE, Publisher
from plexus.platform.kafka.reader import Reader
from plexus.platform.kafka.topics import topic_names
from plexus.platform.lanes.facts import Group
from plexus.platform.lanes.fanout import MemoryFanout, Subscription
from plexus.platform.lanes.lane_map import LaneMap
from plexus.platform.lanes.records import decode_group, encode_group
from plexus.platform.settings.cluster import KafkaSettings
from plexus.platform.telemetry.metrics import Attributes, Metrics

log = logging.getLogger(__name__)


class KafkaFanout:
    """A process's own groups go to its own subscribers at once and not by way of Kafka, which saves them the
    way there and back, and the decoding; their records carry a key of this process and are passed over when
    they come back.
    """

    def __init__(self, settings: KafkaSettings, lanes: LaneMap, metrics: Metrics) -> None:
        self._names = topic_names(settings)
        self._lanes = {family: lanes.count(family) for family in self._names}
        self._key = os.urandom(8)
        self._local = MemoryFanout()
        self._subscriptions: list[_Subscription] = []
        self._counts = KafkaCounts(metrics)
        self._publisher = Publisher(settings, self._key, self._counts)
        self._reader = Reader(settings, self._take, self._counts)
        metrics.gauge(
            "plexus.kafka.up",
            self._up,
            "1",
            "1 while connected. A process that follows nothing has no reader.",
        )
        metrics.gauge("plexus.kafka.consumer.lag", lambda: self._reader.lag, "{message}", "Not yet read.")
        metrics.gauge("plexus.kafka.buffer", lambda: self._publisher.waiting_bytes, "By", "Not yet sent.")

    def _up(self) -> dict[Attributes, float]:
        # Who follows nothing needs no reader, and nobody is to be woken because it has none.
        links = [self._publisher.link, *([self._reader.link] if self._reader.wanted else [])]
        return {(("side", link.name),): float(link.up is True) for link in links}

    @property
    def connected(self) -> bool:
        """Whether records go out and, if somebody follows, come in."""
        return self._publisher.link.up is True and self._reader.ready

    async def start(self) -> None:
        """Begin to connect; does not wait for it."""
        await self._local.start()
        self._publisher.start()
        self._reader.start()

    async def stop(self) -> None:
        """Send what waits, for at most two seconds, and close."""
        await asyncio.gather(self._reader.stop(), self._publisher.stop())
        await self._local.stop()

    def publish(self, group: Group) -> None:
        self._local.publish(group)
        try:
            record = encode_group(group)
        except Exception:
            # The facts are committed, and their writer must not hear of this.
            log.exception("a group cannot be encoded")
            return
        self._publisher.put(self._names[group.family], group.lane, record, group.trace)

    def subscribe(self, families: Sequence[str], callback: Callable[[Group], None]) -> Subscription:
        subscription = _Subscription(self, families, self._local.subscribe(families, callback))
        self._subscriptions.append(subscription)
        self._follow()
        return subscription

    def _closed(self, subscription: _Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._follow()

    def _follow(self) -> None:
        self._reader.follow(self._names[f] for s in self._subscriptions for f in s.families)

    def _take(self, topic: str, record: Any) -> None:
        if record.key == self._key:
            return
        try:
            group = decode_group(record.value or b"")
        except ValueError as error:
            self._counts.skipped(topic, str(error))
            return
        if self._names[group.family] != topic or group.lane >= self._lanes[group.family]:
            self._counts.skipped(topic, "a lane that is not of this topic")
            return
        for name, value in record.headers:
            if name == TRACE and value is not None:
                group = replace(group, trace=value.decode("ascii", "replace"))
        self._local.publish(group)


class _Subscription:
    def __init__(self, fanout: KafkaFanout, families: Sequence[str], local: Subscription) -> None:
        self._fanout = fanout
        self._local = local
        self.families = tuple(families)

    def close(self) -> None:
        self._local.close()
        self._fanout._closed(self)

"""Sending records: a bounded buffer, and what has gathered in it as one request a broker at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition
from plexus.platform.kafka.connection import ANSWER, AWAY, Link, connected, ended, leaders, sessions
from plexus.platform.kafka.metrics import KafkaCounts
from plexus.platform.kafka.topics import MOST_BYTES, ensure_topics, topic_names
from plexus.platform.settings.cluster import KafkaSettings

log = logging.getLogger(__name__)

TRACE = "traceparent"
"""The header that says which span published the record."""

_GAP = 0.004
"""Seconds from one request to the next. A lone record waits for nothing; at 1,000 a second this takes two
thirds of the CPU off."""
_STALE = 5.0
"""Seconds after which a record is not worth sending: followers have read PostgreSQL long since."""
_FLUSH = 2.0
_BATCH = MOST_BYTES - 100_000
_CHECK = 15.0
_NOT_IDEMPOTENT = -1


@dataclass(frozen=True, slots=True)
class Entry:
    born: float
    topic: str
    lane: int
    record: bytes
    trace: str | None


@dataclass(slots=True)
class Parcel:
    """The records of one partition in one request."""

    builder: Any
    entries: list[Entry] = field(default_factory=list)


class Publisher:
    """``key`` is put on every record. At most ``settings.publish_buffer_mb`` wait; then the oldest go."""

    def __init__(self, settings: KafkaSettings, key: bytes, counts: KafkaCounts) -> None:
        self.link = Link("publisher")
        self.waiting_bytes = 0
        self._settings = settings
        self._key = key
        self._counts = counts
        self._topics = tuple(topic_names(settings).values())
        self._most_bytes = settings.publish_buffer_mb << 20
        self._waiting: deque[Entry] = deque()
        self._wake = asyncio.Event()
        self._sent = asyncio.Event()  # the last round is over, and nothing waits
        self._sent.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(sessions(self.link, self._session), name="kafka publisher")

    async def stop(self) -> None:
        """Send what waits, for at most two seconds, and not at all while Kafka is known to be away."""
        if self._waiting or not self._sent.is_set():
            self._sent.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0 if self.link.up is False else _FLUSH):
                    await self._sent.wait()
        if self._task is not None:
            await ended(self._task)
        self._drop(len(self._waiting))

    def put(self, topic: str, lane: int, record: bytes, trace: str | None) -> None:
        self._waiting.append(Entry(time.monotonic(), topic, lane, record, trace))
        self.waiting_bytes += len(record)
        while self.waiting_bytes > self._most_bytes and self._waiting:
            self._drop(1)
        self._wake.set()

    async def _session(self) -> None:
        async with connected(self._settings, self._topics) as client:
            if any(client.cluster.partitions_for_topic(topic) is None for topic in self._topics):
                await ensure_topics(self._settings)
                await client.force_metadata_update()
            if not leaders(client, self._topics):
                raise UnknownTopicOrPartitionError(", ".join(self._topics))
            self.link.note_up()
            while True:
                await self._something(client)
                began = time.monotonic()
                await self._round(client)
                rest = _GAP - (time.monotonic() - began)
                if rest > 0:
                    await asyncio.sleep(rest)

    async def _something(self, client: Any) -> None:
        """Wait until there is something to send; look now and then whether somebody would take it."""
        while not self._waiting:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CHECK):
                    await self._wake.wait()
            if not self._waiting and not await client.force_metadata_update():
                raise KafkaConnectionError("no broker answers")

    async def _round(self, client: Any) -> None:
        self._sent.clear()
        by_node = self._take(client)
        outcomes = await asyncio.gather(
            *(self._send(client, node, parcels) for node, parcels in by_node.items())
        )
        if not self._waiting:
            self._sent.set()
        for error in outcomes:
            if error is not None:
                raise error

    def _take(self, client: Any) -> dict[int, dict[TopicPartition, Parcel]]:
        """What waits, by broker and partition; what does not fit into a batch goes on waiting."""
        while self._waiting and self._waiting[0].born < time.monotonic() - _STALE:
            self._drop(1)
        nodes = leaders(client, self._topics)
        partitions = {topic: len(client.cluster.partitions_for_topic(topic) or ()) for topic in self._topics}
        by_node: dict[int, dict[TopicPartition, Parcel]] = {}
        full: set[TopicPartition] = set()
        left: list[Entry] = []
        homeless = False
        while self._waiting:
            entry = self._waiting.popleft()
            key = TopicPartition(entry.topic, entry.lane % (partitions[entry.topic] or 1))
            node = nodes.get(key)
            homeless = homeless or node is None
            if node is None or key in full:
                left.append(entry)
                continue
            parcels = by_node.setdefault(node, {})
            parcel = parcels.get(key)
            if parcel is None:
                parcel = parcels[key] = Parcel(_builder())
            headers = [] if entry.trace is None else [(TRACE, entry.trace.encode())]
            if parcel.builder.append(len(parcel.entries), None, self._key, entry.record, headers) is None:
                full.add(key)
                left.append(entry)
            else:
                parcel.entries.append(entry)
        self._waiting.extend(left)
        if homeless and not by_node:
            raise UnknownTopicOrPartitionError("a partition has no leader")
        return by_node

    async def _send(
        self, client: Any, node: int, parcels: Mapping[TopicPartition, Parcel]
    ) -> Exception | None:
        """One request. What may be tried again waits again, and the error is returned."""
        topics: dict[str, list[tuple[int, bytes]]] = {}
        for key, parcel in parcels.items():
            topics.setdefault(key.topic, []).append((key.partition, parcel.builder.build()))
        request = ProduceRequest(
            transactional_id=None, required_acks=-1, timeout=int(ANSWER * 1000), topics=list(topics.items())
        )
        began = time.monotonic()
        try:
            response = await client.send(node, request)
        except AWAY as away:
            self._put_back([parcel.entries for parcel in parcels.values()])
            return away
        self._counts.sent_in(time.monotonic() - began)
        again: Exception | None = None
        for topic, partitions in response.topics:
            for partition, code, *_ in partitions:
                entries = parcels[TopicPartition(topic, partition)].entries
                error = for_code(code)
                if not code:
                    self._done(entries)
                    self._counts.sent(topic, len(entries))
                elif error.retriable:
                    self._put_back([entries])
                    again = error(f"{topic}, partition {partition}")
                else:
                    log.error("Kafka refuses %d records for %s: %s", len(entries), topic, error.__name__)
                    self._done(entries)
                    self._counts.refused(topic, error.__name__, len(entries))
        return again

    def _put_back(self, lists: Sequence[Sequence[Entry]]) -> None:
        entries = sorted((entry for entries in lists for entry in entries), key=lambda entry: entry.born)
        self._waiting.extendleft(reversed(entries))

    def _done(self, entries: Sequence[Entry]) -> None:
        self.waiting_bytes -= sum(len(entry.record) for entry in entries)

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._done([self._waiting.popleft()])
        self._counts.dropped(count)


def _builder() -> Any:
    # No producer id: a record that comes twice does no harm, and an idempotent producer has to be told by the
    # broker who it is before it may send.
    return DefaultRecordBatchBuilder(
        2,
        0,
        is_transactional=False,
        producer_id=_NOT_IDEMPOTENT,
        producer_epoch=_NOT_IDEMPOTENT,
        base_sequence=_NOT_IDEMPOTENT,
        batch_size=_BATCH,
    )

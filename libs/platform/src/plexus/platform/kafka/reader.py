"""Reading all partitions of the topics somebody follows, from the end on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiokafka.errors import (
    CorruptRecordException,
    KafkaConnectionError,
    KafkaError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from plexus.platform.kafka.connection import (
    Link,
    Moved,
    connected,
    connection_to,
    ended,
    first_to_end,
    leaders,
    sessions,
)
from plexus.platform.kafka.fetch import Terms, decode_fetch
from plexus.platform.kafka.fetch_session import FetchSession
from plexus.platform.kafka.fetching import fetch_all
from plexus.platform.kafka.metrics import KafkaCounts
from plexus.platform.settings.cluster import KafkaSettings

log = logging.getLogger(__name__)

_GAP = 0.010
"""Seconds from one fetch to the next. After a quiet moment a record comes at once; under load this bounds
what fetching costs, which at 1,000 records a second would be most of it."""
_TERMS = Terms(wait=2.0, most_bytes=16 << 20, partition_bytes=1 << 20)
"""The wait must be well below `ANSWER`, or a loaded broker seems gone."""
_LOOK = 15.0
_LOOK_FOR_MISSING = 1.0
_REMEMBER = 30.0
"""Seconds for which a reader that lost its broker goes on where it was; then it begins at the end again."""
_END = -1
_UNCOMMITTED = 0

Take = Callable[[str, Any], None]


class Reader:
    """``take(topic, record)`` is called for each record; it must not raise."""

    def __init__(self, settings: KafkaSettings, take: Take, counts: KafkaCounts) -> None:
        self.link = Link("reader")
        self._settings = settings
        self._take = take
        self._counts = counts
        self._topics: frozenset[str] = frozenset()
        self._reading: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._positions: dict[TopicPartition, int] = {}
        self._behind: dict[TopicPartition, int] = {}
        self._left = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def wanted(self) -> bool:
        """Whether anything is to be read."""
        return bool(self._topics)

    @property
    def ready(self) -> bool:
        """Whether all that is wanted is read; trivially so if nothing is."""
        return self._reading == self._topics

    @property
    def lag(self) -> int:
        """Records that the brokers had and we did not, at the last answer."""
        return sum(self._behind.values())

    def follow(self, topics: Iterable[str]) -> None:
        """Read these from now on."""
        wanted = frozenset(topics)
        if wanted != self._topics:
            self._topics = wanted
            self._changed.set()

    def start(self) -> None:
        self._task = asyncio.create_task(sessions(self.link, self._session), name="kafka reader")

    async def stop(self) -> None:
        if self._task is not None:
            await ended(self._task)

    async def _session(self) -> None:
        self._changed.clear()
        topics = self._topics
        if not topics:
            await self._changed.wait()
            raise Moved
        async with connected(self._settings, topics) as client:
            nodes = leaders(client, topics)
            if not nodes:
                raise UnknownTopicOrPartitionError(", ".join(sorted(topics)))
            await self._begin(client, nodes)
            self.link.note_up()
            self._reading = frozenset(key.topic for key in nodes)
            try:
                await first_to_end(
                    self._watch(client, topics, nodes),
                    *(
                        self._read(client, node, [key for key, leader in nodes.items() if leader == node])
                        for node in set(nodes.values())
                    ),
                )
            finally:
                self._left = time.monotonic()
                self._reading = frozenset()
                self._behind.clear()

    async def _begin(self, client: Any, nodes: dict[TopicPartition, int]) -> None:
        """Positions for all partitions: where we were a moment ago, or the end."""
        if time.monotonic() > self._left + _REMEMBER:
            self._positions.clear()
        self._positions = {key: place for key, place in self._positions.items() if key in nodes}
        asked: dict[int, dict[str, list[tuple[int, int]]]] = {}
        for key, node in nodes.items():
            if key not in self._positions:
                asked.setdefault(node, {}).setdefault(key.topic, []).append((key.partition, _END))
        for node, topics in asked.items():
            response = await client.send(node, OffsetRequest(-1, _UNCOMMITTED, list(topics.items())))
            for topic, partitions in response.topics:
                for partition, code, _, offset in partitions:
                    if code:
                        raise for_code(code)(f"{topic}, partition {partition}")
                    self._positions[TopicPartition(topic, partition)] = offset

    async def _watch(self, client: Any, topics: frozenset[str], nodes: dict[TopicPartition, int]) -> None:
        """End the session when other topics are wanted, or partitions or leaders are others."""
        while True:
            complete = {key.topic for key in nodes} == topics
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK if complete else _LOOK_FOR_MISSING):
                    await self._changed.wait()
                raise Moved
            if not await client.force_metadata_update():
                raise KafkaConnectionError("no broker answers")
            if leaders(client, topics) != nodes:
                raise Moved

    async def _read(self, client: Any, node: int, keys: Sequence[TopicPartition]) -> None:
        session = FetchSession(keys, _TERMS)

        def ask(number: int) -> bytes:
            return session.request(number, self._positions)

        def take(data: bytes, number: int) -> None:
            for key, code, end, batches in session.answered(decode_fetch(data, number)):
                self._answered(key, code, end, batches)

        async with connection_to(self._settings, client, node) as (connection, writer):
            await fetch_all(connection, writer, ask, take, _GAP)

    def _answered(self, key: TopicPartition, code: int, end: int, batches: bytes) -> None:
        if code:
            error = for_code(code)
            if error is OffsetOutOfRangeError:
                # Dropped by retention, or another topic of the same name.
                del self._positions[key]
                raise Moved
            raise error(f"{key.topic}, partition {key.partition}")
        if batches:
            self._unpack(key, batches)
        self._behind[key] = max(0, end - self._positions[key])

    def _unpack(self, key: TopicPartition, data: bytes) -> None:
        batches = MemoryRecords(data)
        while batches.has_next():
            batch = batches.next_batch()
            position = self._positions[key]
            # Before its records are looked at: one that cannot be read must not come again and again.
            self._positions[key] = max(position, batch.next_offset)
            if batch.is_control_batch or batch.next_offset <= position:
                continue
            try:
                if not batch.validate_crc():
                    raise CorruptRecordException("wrong checksum")
                records = [record for record in batch if record.offset >= position]
            except (KafkaError, RuntimeError, ValueError) as error:
                self._counts.skipped(key.topic, f"an unreadable batch: {error}")
                continue
            for record in records:
                self._take(key.topic, record)
            self._counts.received(key.topic, len(records))

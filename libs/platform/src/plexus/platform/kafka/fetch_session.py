"""What one broker remembers of our reading: a request says only what has moved, an answer only what is new.

A broker with nothing to tell is asked every two seconds by each process of a deployment. Without a session
each request and each answer names all partitions, which is most of what an idle follower costs on both sides.

Kafka's protocol, "Fetch" from version 7 on (KIP-227).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.errors import (
    FetchSessionIdNotFound,
    IncompatibleBrokerVersion,
    InvalidFetchSessionEpoch,
    KafkaError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

_NEW = 0
_LAST_EPOCH = 2**31 - 1
_FORGOTTEN = (FetchSessionIdNotFound, InvalidFetchSessionEpoch)
_UNCOMMITTED = 0


class _Request(FetchRequest):  # type: ignore[misc]  # theirs is untyped here
    """A request of a session; theirs is always of none."""

    def __init__(self, session: int, epoch: int, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._session = session
        self._epoch = epoch

    def build(self, request_struct_class: Any) -> Any:
        if request_struct_class.API_VERSION < 7:
            raise IncompatibleBrokerVersion("Kafka 1.1 or newer is needed")
        made: Any = super().build(request_struct_class)
        made.session_id, made.session_epoch = self._session, self._epoch
        return made


class FetchSession:
    """The partitions ``keys`` at one broker. `request` and `answered` take turns.

    A broker may decline a session (it keeps a thousand); then each request names everything.
    """

    def __init__(
        self, keys: Iterable[TopicPartition], *, wait: float, most_bytes: int, partition_bytes: int
    ) -> None:
        """``wait`` in seconds: for how long a broker with nothing new keeps a request."""
        self._keys = list(keys)
        self._wait_ms = int(wait * 1000)
        self._most_bytes = most_bytes
        self._partition_bytes = partition_bytes
        self._session = _NEW
        self._epoch = 0
        self._told: dict[TopicPartition, int] = {}

    def request(self, positions: Mapping[TopicPartition, int]) -> FetchRequest:
        """Ask for what comes after ``positions``."""
        if self._session == _NEW:
            # The first of them with something new may send a batch larger than its share. Within a session
            # the broker itself puts those that had something last.
            random.shuffle(self._keys)
            self._told.clear()
        topics: dict[str, list[tuple[int, int, int]]] = {}
        for key in self._keys:
            position = positions[key]
            if self._told.get(key) != position:
                self._told[key] = position
                topics.setdefault(key.topic, []).append((key.partition, position, self._partition_bytes))
        return _Request(
            self._session,
            self._epoch,
            self._wait_ms,
            1,
            self._most_bytes,
            _UNCOMMITTED,
            list(topics.items()),
        )

    def answered(self, response: Any) -> Iterable[tuple[TopicPartition, int, int, bytes]]:
        """What is told of partitions: key, error code, end, batches; nothing if the session is forgotten, and
        the next request begins another. `KafkaError` for any other fault of the whole.
        """
        if response.error_code:
            error: type[KafkaError] = for_code(response.error_code)
            if not issubclass(error, _FORGOTTEN):
                raise error("fetch")
            self._session, self._epoch = _NEW, 0
            return
        self._session = response.session_id
        self._epoch = self._epoch % _LAST_EPOCH + 1 if self._session != _NEW else 0
        for topic, partitions in response.topics or ():
            for partition, code, end, *_, batches in partitions:
                yield TopicPartition(topic, partition), code, end, batches

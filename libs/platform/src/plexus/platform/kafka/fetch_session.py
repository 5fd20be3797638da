"""What one broker remembers of our reading: a request says only what has moved, an answer only what is new.

A broker with nothing to tell is asked every two seconds by each process of a deployment. Without a session
each request and each answer names all partitions, which is most of what an idle follower costs on both sides.

Kafka's protocol, "Fetch" from version 7 on (KIP-227).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from aiokafka.errors import FetchSessionIdNotFound, InvalidFetchSessionEpoch, KafkaError, for_code
from aiokafka.structs import TopicPartition
from plexus.platform.kafka.connection import CLIENT
from plexus.platform.kafka.fetch import Answer, Terms, encode_fetch

_NEW = 0
_LAST_EPOCH = 2**31 - 1
_FORGOTTEN = (FetchSessionIdNotFound, InvalidFetchSessionEpoch)


class FetchSession:
    """The partitions ``keys`` at one broker. `request` and `answered` take turns.

    A broker may decline a session (it keeps a thousand); then each request names everything.
    """

    def __init__(self, keys: Iterable[TopicPartition], terms: Terms) -> None:
        self._keys = list(keys)
        self._terms = terms
        self._session = _NEW
        self._epoch = 0
        self._told: dict[TopicPartition, int] = {}
        self._heard: list[TopicPartition] = []

    def request(self, number: int, positions: Mapping[TopicPartition, int]) -> bytes:
        """Ask for what comes after ``positions``, which move only where the last answer told something."""
        named = self._heard
        if self._session == _NEW:
            # The first of them with something new may send a batch larger than its share. Within a session
            # the broker itself puts those that had something last.
            random.shuffle(self._keys)
            self._told.clear()
            named = self._keys
        asked: dict[str, list[tuple[int, int]]] = {}
        for key in named:
            position = positions[key]
            if self._told.get(key) != position:
                self._told[key] = position
                asked.setdefault(key.topic, []).append((key.partition, position))
        return encode_fetch(self._terms, number, CLIENT, self._session, self._epoch, asked)

    def answered(self, answer: Answer) -> Iterable[tuple[TopicPartition, int, int, bytes]]:
        """What is told of partitions: key, error code, end, batches; nothing if the session is forgotten, and
        the next request begins another. `KafkaError` for any other fault of the whole.
        """
        self._heard = []
        if answer.code:
            error: type[KafkaError] = for_code(answer.code)
            if not issubclass(error, _FORGOTTEN):
                raise error("fetch")
            self._session, self._epoch = _NEW, 0
            return
        self._session = answer.session
        self._epoch = self._epoch % _LAST_EPOCH + 1 if self._session != _NEW else 0
        for topic, partition, code, end, batches in answer.told:
            key = TopicPartition(topic, partition)
            self._heard.append(key)
            yield key, code, end, batches

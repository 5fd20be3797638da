"""One fetch as bytes: what is sent, and what comes back.

aiokafka describes each message of Kafka's protocol by a schema that is walked field by field. For this one,
which is sent and answered with each record, that is much of what a record costs its reader; so it is written
and read here, in the form of version 11 (KIP-392).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka.errors import CorrelationIdError

API_KEY, VERSION = 1, 11

_HEADER = struct.Struct(">ihhih")
"""Length of all that follows, Fetch, version, correlation, length of the client's name."""
_HEAD = struct.Struct(">iiiibiii")
"""Replica (none), wait in ms, least and most bytes, isolation, session, epoch, number of topics."""
_ASKED = struct.Struct(">iiqqi")
"""Partition, leader's epoch (unknown), offset, the log's begin (unknown), most bytes."""
_NOTHING_FORGOTTEN_NO_RACK = bytes(6)
_ANSWER = struct.Struct(">iihii")
"""Correlation, throttled ms, error code, session, number of topics."""
_TOLD = struct.Struct(">ihqqqi")
"""Partition, error code, end, last stable offset, the log's begin, number of aborted transactions."""
_ABORTED_BYTES = 16
_REPLICA_AND_LENGTH = struct.Struct(">ii")
_SHORT = struct.Struct(">h")
_INT = struct.Struct(">i")
_UNCOMMITTED = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What is the same in each request. ``wait``: seconds for which a broker with nothing new keeps it."""

    wait: float
    most_bytes: int
    partition_bytes: int


def encode_fetch(
    terms: Terms,
    correlation: int,
    client_id: bytes,
    session: int,
    epoch: int,
    asked: Mapping[str, Sequence[tuple[int, int]]],
) -> bytes:
    """A request for what comes after the offsets in ``asked``, which are by topic and partition."""
    wait_ms = int(terms.wait * 1000)
    parts = [
        client_id,
        _HEAD.pack(-1, wait_ms, 1, terms.most_bytes, _UNCOMMITTED, session, epoch, len(asked)),
    ]
    for topic, partitions in asked.items():
        name = topic.encode()
        parts += (_SHORT.pack(len(name)), name, _INT.pack(len(partitions)))
        for partition, offset in partitions:
            parts.append(_ASKED.pack(partition, -1, offset, -1, terms.partition_bytes))
    parts.append(_NOTHING_FORGOTTEN_NO_RACK)
    body = b"".join(parts)
    length = _HEADER.size - _INT.size + len(body)
    return _HEADER.pack(length, API_KEY, VERSION, correlation, len(client_id)) + body


@dataclass(slots=True)
class Answer:
    """``told``: topic, partition, error code, end and batches of each partition that is told of."""

    code: int
    session: int
    told: list[tuple[str, int, int, int, bytes]]


def decode_fetch(data: bytes, correlation: int) -> Answer:
    """The answer in ``data``, which begin after the length; `struct.error` or `ValueError` if it is none."""
    found, _, code, session, topics = _ANSWER.unpack_from(data)
    if found != correlation:
        raise CorrelationIdError(f"the answer to request {found} instead of {correlation}")
    at = _ANSWER.size
    answer = Answer(code, session, [])
    for _ in range(topics):
        (length,) = _SHORT.unpack_from(data, at)
        at += _SHORT.size + length
        topic = data[at - length : at].decode()
        (partitions,) = _INT.unpack_from(data, at)
        at += _INT.size
        for _ in range(partitions):
            partition, error, end, _, _, aborted = _TOLD.unpack_from(data, at)
            at += _TOLD.size + max(aborted, 0) * _ABORTED_BYTES
            _, size = _REPLICA_AND_LENGTH.unpack_from(data, at)
            size = max(size, 0)
            at += _REPLICA_AND_LENGTH.size + size
            answer.told.append((topic, partition, error, end, data[at - size : at]))
    if at != len(data):
        raise ValueError("an answer of another length than its parts")
    return answer

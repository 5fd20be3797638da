"""What a fetch session asks of a broker, and what it takes from the answers."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aiokafka.errors import CorrelationIdError, KafkaStorageError
from aiokafka.protocol.fetch import FetchRequest_v11, FetchResponse_v11
from aiokafka.structs import TopicPartition
from plexus.platform.kafka.fetch import Answer, Terms, decode_fetch
from plexus.platform.kafka.fetch_session import FetchSession

A, B = TopicPartition("rooms", 0), TopicPartition("users", 3)
NUMBER = 77


def session() -> FetchSession:
    return FetchSession([A, B], Terms(wait=2, most_bytes=1_000, partition_bytes=100))


def asked(of: FetchSession, positions: dict[TopicPartition, int]) -> tuple[int, int, dict[Any, int]]:
    """Session, epoch and the offset of each partition that is named, as aiokafka reads what would be sent."""
    sent = of.request(NUMBER, positions)
    length, key, version, number, of_name = struct.unpack_from(">ihhih", sent)
    assert (length, key, version, number) == (len(sent) - 4, 1, 11, NUMBER)
    assert sent[14 : 14 + of_name] == b"plexus"
    back = FetchRequest_v11.decode(sent[14 + of_name :])
    assert (back.replica_id, back.max_wait_time, back.min_bytes, back.max_bytes) == (-1, 2_000, 1, 1_000)
    assert (back.isolation_level, back.forgotten_topics_data, back.rack_id) == (0, [], "")
    named = {}
    for topic, partitions in back.topics:
        for partition, leader_epoch, offset, log_start, most in partitions:
            assert (leader_epoch, log_start, most) == (-1, -1, 100)
            named[TopicPartition(topic, partition)] = offset
    return back.session_id, back.session_epoch, named


def framed(
    number: int, *told: tuple[TopicPartition, int, int, bytes | None], code: int = 0, aborted: Any = ()
) -> bytes:
    """An answer as aiokafka writes it."""
    topics: list[Any] = [
        (key.topic, [(key.partition, error, end, end, 0, aborted, -1, b)]) for key, error, end, b in told
    ]
    body: bytes = FetchResponse_v11(0, code, number, topics).encode()
    return struct.pack(">i", NUMBER) + body


def answer(number: int, *told: tuple[TopicPartition, int, int, bytes], code: int = 0) -> Answer:
    return decode_fetch(framed(number, *told, code=code), NUMBER)


def test_only_the_first_request_names_everything() -> None:
    one = session()
    assert asked(one, {A: 5, B: 7}) == (0, 0, {A: 5, B: 7})
    assert list(one.answered(answer(99, (A, 0, 5, b""), (B, 0, 7, b"")))) == [(A, 0, 5, b""), (B, 0, 7, b"")]
    assert asked(one, {A: 5, B: 7}) == (99, 1, {})
    assert list(one.answered(answer(99, (B, 0, 9, b"two")))) == [(B, 0, 9, b"two")]
    assert asked(one, {A: 5, B: 9}) == (99, 2, {B: 9})


@pytest.mark.parametrize("code", [70, 71])
def test_a_forgotten_session_begins_again(code: int) -> None:
    one = session()
    asked(one, {A: 5, B: 7})
    list(one.answered(answer(99)))
    asked(one, {A: 5, B: 7})
    assert list(one.answered(answer(0, code=code))) == []
    assert asked(one, {A: 6, B: 7}) == (0, 0, {A: 6, B: 7})
    list(one.answered(answer(100)))
    assert asked(one, {A: 6, B: 7}) == (100, 1, {})


def test_a_broker_that_keeps_none_is_told_everything_each_time() -> None:
    one = session()
    for _ in range(3):
        assert asked(one, {A: 5, B: 7}) == (0, 0, {A: 5, B: 7})
        list(one.answered(answer(0, (A, 0, 5, b""))))


def test_another_fault_of_the_whole_is_raised() -> None:
    one = session()
    asked(one, {A: 5, B: 7})
    with pytest.raises(KafkaStorageError):
        list(one.answered(answer(0, code=KafkaStorageError.errno)))


def test_epochs_turn_over_to_one() -> None:
    one = session()
    asked(one, {A: 5, B: 7})
    list(one.answered(answer(99)))
    one._epoch = 2**31 - 1
    assert asked(one, {A: 5, B: 7})[1] == 2**31 - 1
    list(one.answered(answer(99)))
    assert asked(one, {A: 5, B: 7})[1] == 1


def test_what_told_nothing_may_come_with_transactions_or_without_batches() -> None:
    told = framed(9, (A, 0, 5, b"one"), (B, 6, -1, None), aborted=[(1, 2), (3, 4)])
    assert decode_fetch(told, NUMBER).told == [("rooms", 0, 0, 5, b"one"), ("users", 3, 6, -1, b"")]


def test_an_answer_to_another_request_is_refused() -> None:
    with pytest.raises(CorrelationIdError):
        decode_fetch(framed(9), NUMBER + 1)


@pytest.mark.parametrize("cut", [*range(0, 100, 7), -1])
def test_half_an_answer_is_none(cut: int) -> None:
    whole = framed(9, (A, 0, 5, bytes(60)))
    with pytest.raises((ValueError, struct.error)):
        decode_fetch(whole[:cut], NUMBER)

"""What a fetch session asks of a broker, and what it takes from the answers."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import KafkaStorageError
from aiokafka.protocol.fetch import FetchRequest_v6, FetchRequest_v11, FetchResponse_v11
from aiokafka.structs import TopicPartition
from plexus.platform.kafka.fetch_session import FetchSession

A, B = TopicPartition("rooms", 0), TopicPartition("users", 3)


def session() -> FetchSession:
    return FetchSession([A, B], wait=2, most_bytes=1_000, partition_bytes=100)


def asked(of: FetchSession, positions: dict[TopicPartition, int]) -> tuple[int, int, dict[Any, int]]:
    """Session, epoch and the offset of each partition that is named, from the bytes that would be sent."""
    sent = of.request(positions).build(FetchRequest_v11)
    back = FetchRequest_v11.decode(sent.encode())
    named = {
        TopicPartition(topic, partition): offset
        for topic, partitions in back.topics
        for partition, _, offset, _, _ in partitions
    }
    return back.session_id, back.session_epoch, named


def answer(number: int, *told: tuple[TopicPartition, int, int, bytes], code: int = 0) -> FetchResponse_v11:
    topics: list[Any] = [
        (key.topic, [(key.partition, error, end, end, 0, [], -1, b)]) for key, error, end, b in told
    ]
    return FetchResponse_v11.decode(FetchResponse_v11(0, code, number, topics).encode())


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


def test_a_broker_without_sessions_is_too_old() -> None:
    with pytest.raises(Exception, match=r"1\.1"):
        session().request({A: 5, B: 7}).build(FetchRequest_v6)

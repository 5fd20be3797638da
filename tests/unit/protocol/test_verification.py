"""plexus.protocol.verification"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import get_ident
from typing import Any

import pytest
from plexus.protocol import RoomVersion, SigningKey, VerifyKey
from plexus.protocol.errors import BadSignature
from plexus.protocol.signatures import sign_event, signature_of, signed_event_bytes
from plexus.protocol.verification import SLICE, SignatureCheck, verify_all, verify_on

KEYS = [SigningKey(f"ed25519:{number}", bytes([number]) * 32) for number in range(3)]


def checks(count: int, *, wrong: frozenset[int] = frozenset()) -> list[SignatureCheck]:
    made = []
    for number in range(count):
        key, message = KEYS[number % 3], b"event %d" % number
        # A wrong one is a right signature of something else.
        signature = key.sign(message + b"!" if number in wrong else message)
        made.append(SignatureCheck(message, signature, key.verify_key))
    return made


@pytest.mark.parametrize("count", [0, 1, SLICE, SLICE + 1, 3 * SLICE + 5])
def test_each_check_has_its_answer_in_order(count: int) -> None:
    wrong = frozenset(range(0, count, 7))
    asked = checks(count, wrong=wrong)
    with ThreadPoolExecutor(2) as executor:
        for faults in (
            verify_all(asked),
            verify_all(asked, executor),
            verify_all(asked, executor, slice_length=1),
        ):
            assert {number for number, fault in enumerate(faults) if fault is not None} == wrong
            assert len(faults) == count
            assert all(isinstance(fault, BadSignature) for fault in faults if fault is not None)


def test_an_event_that_two_have_signed(version: RoomVersion) -> None:
    pdu: dict[str, Any] = {
        "type": "m.room.member",
        "content": {"membership": "invite", "reason": "x"},
        "depth": 1,
    }
    for server, key in (("one", KEYS[0]), ("two", KEYS[1])):
        pdu = sign_event(version, pdu, server, key)
    message = signed_event_bytes(version, pdu)
    asked = [
        SignatureCheck(message, signature_of(pdu, server, key.key_id), key.verify_key)
        for server, key in (("one", KEYS[0]), ("two", KEYS[1]))
    ]
    assert verify_all(asked) == [None, None]
    other = signed_event_bytes(version, {**pdu, "depth": 2})
    assert None not in verify_all([check._replace(message=other) for check in asked])


class Counting(Executor):
    """Runs what it is given at once, and counts."""

    def __init__(self) -> None:
        self.slices: list[int] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.slices.append(len(args[0]))
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_work_is_handed_over_in_slices_and_a_little_not_at_all() -> None:
    executor = Counting()
    verify_all(checks(SLICE), executor)
    assert executor.slices == []
    verify_all(checks(2 * SLICE + 1), executor)
    assert executor.slices == [SLICE, SLICE, 1]


async def test_an_event_loop_need_not_wait() -> None:
    here = get_ident()
    threads = set()

    class Watched(VerifyKey):
        def verify(self, message: bytes, signature: str) -> None:
            threads.add(get_ident())
            super().verify(message, signature)

    key = Watched(KEYS[0].key_id, KEYS[0].verify_key.public)
    asked = [SignatureCheck(b"m", KEYS[0].sign(b"m"), key)] * (2 * SLICE)
    with ThreadPoolExecutor(2) as executor:
        futures = [asyncio.wrap_future(future) for future in verify_on(executor, asked)]
        answers = await asyncio.gather(*futures)
    assert [fault for answer in answers for fault in answer] == [None] * len(asked)
    assert here not in threads and threads


def test_a_malformed_signature_spoils_nothing_else() -> None:
    good = checks(1)[0]
    asked = [good, good._replace(signature="é"), good._replace(signature=""), good]
    assert [fault is None for fault in verify_all(asked)] == [True, False, False, True]

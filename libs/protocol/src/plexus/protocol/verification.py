"""Many signatures at once, on threads that the caller has.

An Ed25519 verification is some 80 µs in libsodium, which PyNaCl calls without holding Python's lock. So
threads verify side by side; what Python does around a call is a twentieth of it. There is no thread here: the
executor is the caller's, and each piece of work is a slice of the list, large enough that handing it over
costs nothing.

    message = signed_event_bytes(version, pdu)   # once, whoever has signed it
    checks = [SignatureCheck(message, signature_of(pdu, server_name, key.key_id), key), ...]
    faults = verify_all(checks, executor)        # waits
    futures = verify_on(executor, checks)        # for who must not wait

Never wait for `verify_all` on a thread of the executor that it is given: with all threads waiting like this
nobody verifies.

Server-Server API, "Validating hashes and signatures on received events".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from plexus.protocol.errors import BadSignature
from plexus.protocol.signatures import VerifyKey

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

SLICE = 16
"""Checks handed to a thread at once: a millisecond and more, against some 30 µs to hand them over."""


class SignatureCheck(NamedTuple):
    """One question: is ``signature`` (unpadded base64) this key's signature of ``message``?"""

    message: bytes
    signature: str
    key: VerifyKey


def verify_slice(checks: Sequence[SignatureCheck]) -> list[BadSignature | None]:
    """For each check, in order, what is wrong, or None. On this thread."""
    faults: list[BadSignature | None] = []
    for message, signature, key in checks:
        try:
            key.verify(message, signature)
        except BadSignature as fault:
            faults.append(fault)
        else:
            faults.append(None)
    return faults


def verify_on(
    executor: Executor, checks: Sequence[SignatureCheck], *, slice_length: int = SLICE
) -> list[Future[list[BadSignature | None]]]:
    """Hand the checks to the executor. The futures' lists one after the other answer the checks in order.

    An event loop waits for them with `asyncio.wrap_future`.
    """
    return [
        executor.submit(verify_slice, checks[start : start + slice_length])
        for start in range(0, len(checks), slice_length)
    ]


def verify_all(
    checks: Sequence[SignatureCheck], executor: Executor | None = None, *, slice_length: int = SLICE
) -> list[BadSignature | None]:
    """For each check, in order, what is wrong, or None; waits for all.

    Without an executor, or for no more than a slice, on this thread.
    """
    if executor is None or len(checks) <= slice_length:
        return verify_slice(checks)
    futures = verify_on(executor, checks, slice_length=slice_length)
    return [fault for future in futures for fault in future.result()]

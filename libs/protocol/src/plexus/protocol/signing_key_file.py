"""The file of signing keys, in the format that other homeservers use: signedjson reads and writes it.

One key a line: ``ed25519 <version> <seed in unpadded base64>``. The file of old keys has
``ed25519 <version> <expired_ts> <public key>`` a line, ``expired_ts`` in milliseconds; signedjson reads that
too. Empty lines and those that begin with ``#`` are skipped.

Text in, text out: who opens the file is no matter of this module. It is not part of the package's face,
because only who starts a server needs signedjson.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from typing import Any

from plexus.protocol.hashes import encode_base64
from plexus.protocol.signatures import ALGORITHM, SigningKey, VerifyKey
from signedjson import key as signedjson


def read_signing_keys(text: str) -> list[SigningKey]:
    """The keys of a key file; `ValueError` names the line that is none, never what stands in it."""
    return [
        SigningKey(f"{key.alg}:{key.version}", key.encode())
        for key in _each_line(text, signedjson.read_signing_keys, f"{ALGORITHM} <version> <seed>")
    ]


def write_signing_keys(keys: Iterable[SigningKey]) -> str:
    """A key file holding these keys, with their secrets."""
    file = StringIO()
    signedjson.write_signing_keys(
        file,
        [
            signedjson.decode_signing_key_base64(ALGORITHM, key.version, encode_base64(key.seed))
            for key in keys
        ],
    )
    return file.getvalue()


def read_old_keys(text: str) -> list[tuple[VerifyKey, int]]:
    """Keys that sign no more, each with the time at which it expired; `ValueError` names a line that is
    wrong.
    """
    wanted = f"{ALGORITHM} <version> <expired_ts> <public key>"
    return [
        (VerifyKey(f"{key.alg}:{key.version}", key.encode()), key.expired)
        for key in _each_line(text, signedjson.read_old_signing_keys, wanted)
    ]


def write_old_key(key: VerifyKey, expired_ts: int) -> str:
    """The line of a key that expired at ``expired_ts``; signedjson has no writer for it."""
    algorithm, _, version = key.key_id.partition(":")
    return f"{algorithm} {version} {expired_ts} {key.to_base64()}\n"


def _each_line(text: str, read: Callable[[list[str]], list[Any]], wanted: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            yield from read([line])
        except ValueError:
            # Not from the error: it may show a part of the secret.
            raise ValueError(f"line {number}: expected '{wanted}'") from None

"""The server's signing keys: mounted read-only, replaced without a restart.

The key file has one ``ed25519 <version> <seed>`` a line, as other homeservers write it; the first key signs,
all are published. When the file changes the new first key signs from then on, and a key that is gone becomes
an old verify key that expired at that moment: signatures made with it can be checked for ever.

The file of old keys has one ``ed25519 <version> <expired_ts> <public key>`` a line (milliseconds;
signedjson's format too). Plexus
adds to it where it may write; where it may not, it keeps the key in memory and says which line to add,
because the next start would not know of it.

Server-Server API, "Publishing Keys".
"""

from __future__ import annotations

import logging
import os
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from plexus.platform.clock import Clock
from plexus.platform.watch import Watched
from plexus.protocol.signatures import SigningKey, VerifyKey
from plexus.protocol.signing_key_file import (
    read_old_keys,
    read_signing_keys,
    write_old_key,
    write_signing_keys,
)

logger = logging.getLogger(__name__)

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class OldKey:
    """A key that signs no more; ``expired_ts`` in milliseconds."""

    verify_key: VerifyKey
    expired_ts: int


class SigningKeysError(Exception):
    """The signing keys cannot be used, so the server cannot start."""


class SigningKeys:
    def __init__(self, key_file: Path, old_keys_file: Path, clock: Clock) -> None:
        """Reads both files; `SigningKeysError` says what is wrong with them."""
        self._key_file = key_file
        self._old_file = old_keys_file
        self._clock = clock
        try:
            self._keys = _read_keys(key_file)
            self._old = {old.verify_key.key_id: old for old in _read_old(old_keys_file)}
        except FileNotFoundError as error:
            raise SigningKeysError(f"There is no signing key at {error.filename}") from None
        except (OSError, ValueError) as error:
            raise SigningKeysError(f"The signing keys cannot be read: {error}") from None
        if key_file.stat().st_mode & 0o077 and os.access(key_file, os.W_OK):
            logger.warning("%s can be read by others: chmod 600", key_file)
        self.watched = Watched("the signing keys", (key_file, old_keys_file), self.reload)

    def current(self) -> SigningKey:
        """The key that signs."""
        return self._keys[0]

    def all(self) -> tuple[SigningKey, ...]:
        """Every key in the key file, the current one first: the server's ``verify_keys``."""
        return self._keys

    def old(self) -> tuple[OldKey, ...]:
        """The server's ``old_verify_keys``."""
        return tuple(self._old.values())

    def reload(self) -> None:
        """Read the files again; ValueError or OSError leaves everything as it was."""
        keys = _read_keys(self._key_file)
        old = {item.verify_key.key_id: item for item in _read_old(self._old_file)}
        present = {key.key_id: key.verify_key for key in keys}
        known = [key.verify_key for key in self._keys] + [item.verify_key for item in self._old.values()]
        for key in known:
            if key.key_id in present and present[key.key_id].public != key.public:
                raise ValueError(f"{key.key_id} was the name of another key: names are never used again")
        now = self._clock.now_ms()
        expired = [
            OldKey(key.verify_key, now)
            for key in self._keys
            if key.key_id not in present and key.key_id not in old
        ]
        everything = {**self._old, **old, **{item.verify_key.key_id: item for item in expired}}
        self._keys = keys
        self._old = {name: item for name, item in everything.items() if name not in present}
        if expired:
            self._remember(expired)

    def _remember(self, fresh: list[OldKey]) -> None:
        lines = "".join(write_old_key(item.verify_key, item.expired_ts) for item in fresh)
        try:
            with self._old_file.open("a", encoding="utf-8") as file:
                file.write(lines)
        except OSError as error:
            logger.warning(
                "Old signing keys cannot be written (%s); add to %s: %s", error, self._old_file, lines.strip()
            )


def create_signing_key(path: Path) -> None:
    """Make a key file with one new key that only its owner can read; leave one that is there alone."""
    version = "a_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(4))
    key = SigningKey(f"ed25519:{version}", secrets.token_bytes(32))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and linked: a crash leaves either no key file or a whole one, and two starts make one key.
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(write_signing_keys([key]))
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)
    except FileExistsError:
        logger.info("There is a signing key at %s already", path)
    finally:
        aside.unlink()


def _read_keys(path: Path) -> tuple[SigningKey, ...]:
    keys = tuple(_read(path, read_signing_keys))
    if not keys:
        raise ValueError(f"{path} has no key")
    if len({key.key_id for key in keys}) != len(keys):
        raise ValueError(f"{path} has two keys of one name")
    return keys


def _read_old(path: Path) -> list[OldKey]:
    if not path.exists():
        return []
    return [OldKey(key, expired_ts) for key, expired_ts in _read(path, read_old_keys)]


def _read(path: Path, read: Callable[[str], list[Key]]) -> list[Key]:
    try:
        return read(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}, {error}") from None

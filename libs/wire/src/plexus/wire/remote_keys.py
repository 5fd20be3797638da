"""Keys that other servers have published, behind a port.

`RemoteKeys` is what a check needs: look one up. `RemoteKeyStore` also keeps them. The adapters are memory
(here) and PostgreSQL (`plexus.wire.postgres_keys`); one contract test runs on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from plexus.protocol.signatures import VerifyKey


@dataclass(frozen=True, slots=True)
class RemoteKey:
    """A server's key as far as we know it; times in milliseconds.

    ``valid_until_ts`` bounds its use for requests and events; ``expired_ts`` is set when the server has
    retired it, after which it still proves events of the time before, and never a request.
    """

    server_name: str
    verify_key: VerifyKey
    valid_until_ts: int
    expired_ts: int | None = None

    def signs_requests_at(self, now_ms: int) -> bool:
        """Server-Server API, "Publishing Keys": only current keys are "valid for signing federation
        requests".
        """
        return self.expired_ts is None and now_ms <= self.valid_until_ts


class RemoteKeys(Protocol):
    """Looks up another server's key."""

    async def key(self, server_name: str, key_id: str) -> RemoteKey | None:
        """The latest that is known of this key, valid or not; None if nothing is."""
        ...


class RemoteKeyStore(RemoteKeys, Protocol):
    """Keeps other servers' keys."""

    async def keep(self, keys: Sequence[RemoteKey]) -> None:
        """Remember ``keys``; what is known of the same key is replaced unless it is valid for longer."""
        ...


def supersedes(new: RemoteKey, old: RemoteKey) -> bool:
    """Whether ``new`` replaces ``old``: a retirement is final, a validity only grows."""
    if old.expired_ts is not None:
        return False
    return new.expired_ts is not None or new.valid_until_ts > old.valid_until_ts


class MemoryRemoteKeys:
    """A `RemoteKeyStore` in a dict."""

    def __init__(self, keys: Sequence[RemoteKey] = ()) -> None:
        self._keys = {(key.server_name, key.verify_key.key_id): key for key in keys}

    async def key(self, server_name: str, key_id: str) -> RemoteKey | None:
        return self._keys.get((server_name, key_id))

    async def keep(self, keys: Sequence[RemoteKey]) -> None:
        for key in keys:
            name = (key.server_name, key.verify_key.key_id)
            old = self._keys.get(name)
            if old is None or supersedes(key, old):
                self._keys[name] = key

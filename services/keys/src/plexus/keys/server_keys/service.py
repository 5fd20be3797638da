"""The document with this server's keys, signed by each of them."""

from __future__ import annotations

from typing import Any

import orjson
from plexus.platform.clock import Clock
from plexus.platform.signing import SigningKeys
from plexus.protocol.signatures import sign_json

HOUR_MS = 3_600_000
VALID_HOURS = 24
"""Others ask again after half of it; a key that is withdrawn is believed no longer than this."""


class KeyDocument:
    """Made once an hour, and when a key is rotated: asking costs no signature.

    Server-Server API, "Publishing Keys".
    """

    def __init__(self, server_name: str, keys: SigningKeys, clock: Clock) -> None:
        self._server_name = server_name
        self._keys = keys
        self._clock = clock
        self._made_of: object = None
        self._document = b""

    def json(self) -> bytes:
        """The document, valid for at least 23 hours."""
        valid_until = (self._clock.now_ms() // HOUR_MS + VALID_HOURS) * HOUR_MS
        made_of = (valid_until, self._keys.all(), self._keys.old())
        if made_of != self._made_of:
            self._document = orjson.dumps(self._make(valid_until))
            self._made_of = made_of
        return self._document

    def _make(self, valid_until: int) -> dict[str, Any]:
        document: dict[str, Any] = {
            "server_name": self._server_name,
            "valid_until_ts": valid_until,
            "verify_keys": {key.key_id: {"key": key.verify_key.to_base64()} for key in self._keys.all()},
            "old_verify_keys": {
                old.verify_key.key_id: {"key": old.verify_key.to_base64(), "expired_ts": old.expired_ts}
                for old in self._keys.old()
            },
        }
        for key in self._keys.all():
            document = sign_json(document, self._server_name, key)
        return document

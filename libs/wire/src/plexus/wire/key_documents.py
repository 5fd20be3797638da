"""The key document of another server: ``/_matrix/key/v2/server``, checked and turned into keys. Pure.

Server-Server API, "Publishing Keys".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.protocol.errors import BadSignature
from plexus.protocol.signatures import ALGORITHM, VerifyKey, verify_json
from plexus.protocol.signing_requirements import valid_until
from plexus.wire.errors import BadKeyDocument
from plexus.wire.remote_keys import RemoteKey


def read_server_keys(document: Mapping[str, Any], server_name: str, now_ms: int) -> list[RemoteKey]:
    """The keys of ``server_name`` in its own document, current ones first.

    Raises `BadKeyDocument` unless the document is that server's, well formed, and signed by every current
    Ed25519 key that it lists. Keys of other algorithms are left out.
    """
    if document.get("server_name") != server_name:
        raise BadKeyDocument(f"This is not the key document of {server_name}")
    claimed = document.get("valid_until_ts")
    if type(claimed) is not int:
        raise BadKeyDocument("The key document has no valid_until_ts")
    current = [
        RemoteKey(server_name, key, valid_until(claimed, now_ms)) for key, _ in _keys(document, "verify_keys")
    ]
    if not current:
        raise BadKeyDocument("The key document lists no Ed25519 key")
    for key in current:
        try:
            verify_json(document, server_name, key.verify_key.key_id, key.verify_key)
        except BadSignature as error:
            raise BadKeyDocument(error.message) from None
    return current + [_retired(server_name, key, entry) for key, entry in _keys(document, "old_verify_keys")]


def _retired(server_name: str, key: VerifyKey, entry: Mapping[str, Any]) -> RemoteKey:
    expired = entry.get("expired_ts")
    if type(expired) is not int:
        raise BadKeyDocument(f"The old key {key.key_id} has no expired_ts")
    return RemoteKey(server_name, key, expired, expired_ts=expired)


def _keys(document: Mapping[str, Any], member: str) -> list[tuple[VerifyKey, Mapping[str, Any]]]:
    entries = document.get(member, {})
    if not isinstance(entries, dict):
        raise BadKeyDocument(f"{member} is not an object")
    found = []
    for key_id, entry in entries.items():
        if not key_id.startswith(ALGORITHM + ":"):
            continue
        public = entry.get("key") if isinstance(entry, dict) else None
        if not isinstance(public, str):
            raise BadKeyDocument(f"The key {key_id} is not an object with a key")
        try:
            found.append((VerifyKey.from_base64(key_id, public), entry))
        except ValueError:
            raise BadKeyDocument(f"The key {key_id} is not an Ed25519 key") from None
    return found

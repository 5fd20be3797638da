"""The two hashes of an event, and unpadded base64.

- The *content hash* covers the whole event as its sender made it. It is stored in ``hashes`` and shows
  whether what arrived is complete or redacted.
- The *reference hash* covers the redacted event, so it stays the same after a redaction. It names the event
  from room version 3 on; in those before it stands beside the ID wherever an event is cited.

Server-Server API, "Calculating the content hash for an event", "Calculating the reference hash for an event";
Appendices, "Unpadded Base64".
"""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from plexus.protocol.canonical_json import encode
from plexus.protocol.errors import BadHash, BadJson
from plexus.protocol.redaction import redact
from plexus.protocol.room_versions import RoomVersion

_NOT_HASHED = frozenset(("unsigned", "signatures", "hashes"))
_NOT_REFERENCED = frozenset(("unsigned", "signatures"))
_TO_STANDARD = str.maketrans("-_", "+/")


def encode_base64(data: bytes) -> str:
    """Unpadded base64, the standard alphabet."""
    return b64encode(data).rstrip(b"=").decode("ascii")


def encode_base64_url(data: bytes) -> str:
    """Unpadded base64, the URL-safe alphabet."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64(text: str) -> bytes:
    """Decode either alphabet, padded or not; `ValueError` if it is neither."""
    bare = text.rstrip("=").translate(_TO_STANDARD)
    try:
        # Strict, because the lenient decoder skips foreign characters: a signature with rubbish in it is
        # none.
        return a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    except ValueError:
        raise ValueError("Not base64") from None


def content_hash(event: Mapping[str, Any]) -> bytes:
    """SHA-256 over the event without ``unsigned``, ``signatures`` and ``hashes``.

    What the room version allows in its JSON has been asked before: the bytes are the same then.
    """
    hashed = {key: value for key, value in event.items() if key not in _NOT_HASHED}
    return sha256(encode(hashed, strict=False)).digest()


def check_content_hash(event: Mapping[str, Any]) -> None:
    """`BadHash` unless ``hashes.sha256`` is the content hash. The event is then to be redacted, not
    dropped.
    """
    hashes = event.get("hashes")
    claimed = hashes.get("sha256") if isinstance(hashes, dict) else None
    if not isinstance(claimed, str):
        raise BadHash("The event has no sha256 content hash")
    try:
        if decode_base64(claimed) == content_hash(event):
            return
    except (ValueError, BadJson):
        # Neither what is not base64 nor the hash of what cannot be hashed.
        pass
    raise BadHash("The content hash does not match the event")


def reference_hash(version: RoomVersion, event: Mapping[str, Any]) -> bytes:
    """SHA-256 over the redacted event without ``signatures`` and ``unsigned``."""
    redacted = redact(version, event)
    covered = {key: value for key, value in redacted.items() if key not in _NOT_REFERENCED}
    return sha256(encode(covered, strict=version.strict_canonical_json)).digest()


def event_id_of(version: RoomVersion, event: Mapping[str, Any]) -> str:
    """The ID of a PDU: what it says itself, or ``$`` and its reference hash ("Event IDs" of each room
    version). `KeyError` if it should say it and does not.
    """
    if version.event_ids == "given":
        event_id: str = event["event_id"]
        return event_id
    return "$" + ID_ENCODINGS[version.event_ids](reference_hash(version, event))


ID_ENCODINGS: Mapping[str, Callable[[bytes], str]] = {
    "hash": encode_base64,
    "url_safe_hash": encode_base64_url,
}
"""How a reference hash is written in an event ID (`RoomVersion.event_ids`)."""

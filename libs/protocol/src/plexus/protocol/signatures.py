"""Ed25519 keys and signatures over JSON.

A `SigningKey` signs bytes; `sign_json` and `verify_json` do it for objects, leaving ``signatures`` and
``unsigned`` out; `sign_event` and `verify_event` do it for the redacted form of an event. Which key a server
has published, and until when it is valid, is for the caller to know.

Keys are read from files by ``signing_key_file``; many signatures are checked at once by ``verification``.

Appendices, "Signing JSON"; Server-Server API, "Signing Events".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError, CryptoError
from plexus.protocol.canonical_json import encode
from plexus.protocol.errors import BadSignature, MatrixError
from plexus.protocol.hashes import decode_base64, encode_base64
from plexus.protocol.redaction import redact
from plexus.protocol.room_versions import RoomVersion

ALGORITHM = "ed25519"
SIGNATURE_BYTES = 64
SIGNATURE_CHARS = 86
"""A signature in unpadded base64: the size of an event is known before it is signed."""


class VerifyKey:
    """The public half: 32 bytes under a key identifier such as ``ed25519:a_abc``."""

    __slots__ = ("key_id", "public")

    def __init__(self, key_id: str, public: bytes) -> None:
        if len(public) != 32:
            raise ValueError("An Ed25519 public key has 32 bytes")
        self.key_id = key_id
        self.public = public

    @classmethod
    def from_base64(cls, key_id: str, text: str) -> VerifyKey:
        return cls(key_id, decode_base64(text))

    def to_base64(self) -> str:
        return encode_base64(self.public)

    def verify(self, message: bytes, signature: str) -> None:
        """`BadSignature` unless ``signature`` (unpadded base64) is this key's signature of ``message``."""
        try:
            raw = decode_base64(signature)
            if len(raw) != SIGNATURE_BYTES:
                raise ValueError("A signature has 64 bytes")
            crypto_sign_open(raw + message, self.public)
        except (BadSignatureError, CryptoError, ValueError):
            raise BadSignature(f"The signature by {self.key_id} is wrong") from None


class SigningKey:
    """A server's signing key: ``key_id`` such as ``ed25519:a_abc`` and 32 secret bytes."""

    __slots__ = ("_secret", "_seed", "key_id", "verify_key")

    def __init__(self, key_id: str, seed: bytes) -> None:
        algorithm, _, version = key_id.partition(":")
        if algorithm != ALGORITHM or not version:
            raise ValueError("A signing key's identifier is ed25519:<version>")
        if len(seed) != 32:
            raise ValueError("An Ed25519 seed has 32 bytes")
        public, self._secret = crypto_sign_seed_keypair(seed)
        self._seed = seed
        self.key_id = key_id
        self.verify_key = VerifyKey(key_id, public)

    def __repr__(self) -> str:
        # Never the seed: keys end up in tracebacks.
        return f"SigningKey({self.key_id!r})"

    @property
    def version(self) -> str:
        return self.key_id.partition(":")[2]

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes."""
        return self._seed

    def sign(self, message: bytes) -> str:
        """The signature of ``message`` in unpadded base64."""
        return encode_base64(crypto_sign(message, self._secret)[:SIGNATURE_BYTES])


def signed_bytes(obj: Mapping[str, Any], *, strict: bool = True) -> bytes:
    """What a signature of ``obj`` covers: its canonical JSON without ``signatures`` and ``unsigned``."""
    covered = {key: value for key, value in obj.items() if key not in ("signatures", "unsigned")}
    return encode(covered, strict=strict)


def with_signature(obj: Mapping[str, Any], server_name: str, key_id: str, signature: str) -> dict[str, Any]:
    """A copy of ``obj`` with one more signature; those already there stay."""
    signatures = dict(obj.get("signatures") or {})
    signatures[server_name] = {**(signatures.get(server_name) or {}), key_id: signature}
    return {**obj, "signatures": signatures}


def sign_json(obj: Mapping[str, Any], server_name: str, key: SigningKey) -> dict[str, Any]:
    """A copy of ``obj`` signed by ``server_name``. Appendices, "Signing Details"."""
    return with_signature(obj, server_name, key.key_id, key.sign(signed_bytes(obj)))


def signature_of(obj: Mapping[str, Any], server_name: str, key_id: str) -> str:
    """The signature as it stands in ``obj``; `BadSignature` if there is none."""
    signatures = obj.get("signatures")
    by_server = signatures.get(server_name) if isinstance(signatures, dict) else None
    signature = by_server.get(key_id) if isinstance(by_server, dict) else None
    if not isinstance(signature, str):
        raise BadSignature(f"There is no signature by {key_id} of {server_name}")
    return signature


def key_ids_of(obj: Mapping[str, Any], server_name: str) -> list[str]:
    """The key identifiers of the algorithms we know under which ``server_name`` signed ``obj``."""
    signatures = obj.get("signatures")
    by_server = signatures.get(server_name) if isinstance(signatures, dict) else None
    if not isinstance(by_server, dict):
        return []
    return [key_id for key_id in by_server if key_id.startswith(ALGORITHM + ":")]


def verify_json(
    obj: Mapping[str, Any], server_name: str, key_id: str, verify_key: VerifyKey, *, strict: bool = True
) -> None:
    """`BadSignature` unless ``obj`` carries a right signature by this key. Appendices, "Checking for a
    Signature".
    """
    signature = signature_of(obj, server_name, key_id)
    try:
        message = signed_bytes(obj, strict=strict)
    except MatrixError as error:
        raise BadSignature(f"What is not canonical JSON cannot have been signed: {error.message}") from None
    verify_key.verify(message, signature)


def signed_event_bytes(version: RoomVersion, event: Mapping[str, Any]) -> bytes:
    """What a signature of a PDU covers: the signed bytes of its redacted form."""
    return signed_bytes(redact(version, event), strict=version.strict_canonical_json)


def sign_event(
    version: RoomVersion, event: Mapping[str, Any], server_name: str, key: SigningKey
) -> dict[str, Any]:
    """A copy of a PDU (hashes included) with one more signature, made over its redacted form."""
    return with_signature(event, server_name, key.key_id, key.sign(signed_event_bytes(version, event)))


def verify_event(
    version: RoomVersion,
    event: Mapping[str, Any],
    server_name: str,
    key_id: str,
    verify_key: VerifyKey,
) -> None:
    """`BadSignature` unless the PDU carries a right signature by this key over its redacted form."""
    redacted = redact(version, event)
    verify_json(redacted, server_name, key_id, verify_key, strict=version.strict_canonical_json)

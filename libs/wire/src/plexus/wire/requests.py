"""Signing a federation request, and checking one. Pure: keys and the time are parameters.

What is signed is the JSON object ``{method, uri, origin, destination, content}``. ``uri`` is the request
target exactly as it stands on the request line, percent-encoding included; ``content`` is the parsed body,
absent if there is none.

Server-Server API, "Request Authentication".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plexus.protocol.canonical_json import decode_request
from plexus.protocol.errors import BadJson, BadSignature
from plexus.protocol.signatures import SigningKey, signed_bytes
from plexus.wire.authorization import XMatrix, format_authorization
from plexus.wire.errors import RequestRefused
from plexus.wire.remote_keys import RemoteKey


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a request says, before anybody is believed.

    ``method`` in capitals, ``uri`` the target as received, ``body`` the raw bytes (empty if there was none).
    """

    method: str
    uri: str
    body: bytes = b""


def sign_request(
    method: str,
    uri: str,
    *,
    origin: str,
    destination: str,
    key: SigningKey,
    content: Mapping[str, Any] | None = None,
) -> str:
    """The value of the ``Authorization`` header for a request of ours.

    `BadJson` if ``content`` is not canonical JSON.
    """
    request: dict[str, Any] = {"method": method, "uri": uri, "origin": origin, "destination": destination}
    if content is not None:
        request["content"] = content
    signature = key.sign(signed_bytes(request))
    return format_authorization(XMatrix(origin, destination, key.key_id, signature))


def check_request(
    request: SignedRequest,
    claims: XMatrix,
    key: RemoteKey | None,
    *,
    server_name: str,
    now_ms: int,
) -> dict[str, Any] | None:
    """The parsed body (None without one) of a request that ``claims.origin`` really sent to ``server_name``.

    Raises `RequestRefused` for a wrong destination, an unknown, retired or expired key and a signature
    that does not cover this request; `NotJson` or `BadJson` for a body that is no JSON object.
    """
    if claims.destination is not None and claims.destination != server_name:
        raise RequestRefused(f"This request is for {claims.destination}, not for {server_name}")
    if claims.origin == server_name:
        raise RequestRefused("A server does not send requests to itself")
    if key is None or key.server_name != claims.origin or key.verify_key.key_id != claims.key_id:
        raise RequestRefused(f"The key {claims.key_id} of {claims.origin} is not known")
    if not key.signs_requests_at(now_ms):
        raise RequestRefused(f"The key {claims.key_id} of {claims.origin} has expired")
    content = decode_request(request.body) if request.body else None
    # Servers from before v1.3 leave the destination out of the header, never out of what they sign.
    signed = {
        "method": request.method,
        "uri": request.uri,
        "origin": claims.origin,
        "destination": server_name,
    }
    try:
        key.verify_key.verify(_message(signed, content, request.body), claims.signature)
    except BadSignature:
        raise RequestRefused(f"The signature by {claims.key_id} of {claims.origin} is wrong") from None
    return content


def _message(signed: dict[str, Any], content: dict[str, Any] | None, body: bytes) -> bytes:
    if content is None:
        return signed_bytes(signed)
    try:
        return signed_bytes({**signed, "content": content})
    except BadJson:
        # Older servers sign bodies with numbers that canonical JSON does not know (an EDU's float is
        # enough). The sender is proven all the same; the events inside are judged one by one, by their
        # room version.
        return _lenient_bytes(signed, body)


def _lenient_bytes(signed: dict[str, Any], body: bytes) -> bytes:
    try:
        request = {**signed, "content": json.loads(body)}
        return json.dumps(
            request, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
        ).encode()
    except (ValueError, RecursionError):
        raise RequestRefused("The body is not JSON that can be signed") from None

"""What a hot route is made of: plain ASGI, no FastAPI.

A hot route is a coroutine ``handler(scope, receive, send, params)`` under a method and a path template. It
is found by the same tree as all other routes and stands in the same OpenAPI through ``operation``. It may
raise any `MatrixError`: the gateway answers it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

from plexus.protocol.errors import InvalidParam, MissingToken, TooLarge

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
HotHandler = Callable[[Scope, Receive, Send, dict[str, str]], Awaitable[None]]
Header = tuple[bytes, bytes]

_BAD_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
JSON: Header = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class HotRoute:
    """``template`` as in FastAPI (``/rooms/{roomId}/send/{eventType}/{txnId}``), ``operation`` as in
    OpenAPI.
    """

    method: str
    template: str
    handler: HotHandler
    operation: dict[str, Any]


class ClientGone(Exception):  # noqa: N818 - it is no error of ours
    """The client closed the connection before its request was read: there is nobody to answer."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body; `TooLarge` above ``limit`` bytes, `ClientGone` if it does not come to its end."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if len(body) > limit:
        raise TooLarge
    if not message.get("more_body", False):
        return body
    chunks = [body]
    size = len(body)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise TooLarge
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def send_json(send: Send, status: int, body: bytes, headers: Iterable[Header] = ()) -> None:
    """Answer with JSON that is bytes already."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [JSON, (b"content-length", b"%d" % len(body)), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})


def bearer(scope: Scope) -> str | None:
    """The access token, or None if none was sent.

    From the ``Authorization`` header, or from the query parameter ``access_token`` (deprecated, older
    clients). `MissingToken` if the header is there but holds no bearer token.
    """
    for name, value in scope["headers"]:
        if name == b"authorization":
            if value[:7].lower() != b"bearer ":
                raise MissingToken("The Authorization header holds no Bearer token")
            token: str = value[7:].strip().decode("latin-1")
            return token or None
    if b"access_token=" in scope["query_string"]:
        return query(scope).get("access_token") or None
    return None


def query(scope: Scope) -> dict[str, str]:
    """The query parameters; of a repeated one the last. `InvalidParam` for what does not decode to text.

    Parsed once a request. Ten times as fast as ``urllib.parse.parse_qsl``, which costs 30 µs on a sync.
    """
    cached: dict[str, str] | None = scope.get("plexus.query")
    if cached is not None:
        return cached
    found: dict[str, str] = {}
    raw: bytes = scope["query_string"]
    if raw:
        try:
            text = raw.decode("ascii")
        except UnicodeDecodeError:
            raise InvalidParam("The query string is not percent-encoded") from None
        for pair in text.split("&"):
            if pair:
                name, _, value = pair.partition("=")
                found[_unquote(name)] = _unquote(value)
    scope["plexus.query"] = found
    return found


_REMEMBERED = 2_000
"""Longest encoded value that is kept decoded: a client says the same filter on each sync, and decoding it is
a tenth of what a delivery costs the sync service. Tokens have no percent sign, and are not kept."""


def _unquote(text: str) -> str:
    if "%" not in text:
        return text.replace("+", " ") if "+" in text else text
    return _decode_again(text) if len(text) <= _REMEMBERED else _decode(text)


def _decode(text: str) -> str:
    if _BAD_PERCENT.search(text):
        raise InvalidParam("The query string has a broken percent-encoding")
    try:
        decoded = unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise InvalidParam("The query string is not UTF-8") from None
    if "\0" in decoded:
        raise InvalidParam("The query string has a NUL")
    return decoded


_decode_again = lru_cache(maxsize=1_000)(_decode)

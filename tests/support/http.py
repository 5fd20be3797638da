"""A service, or all of them, without sockets: an ASGI client, and the house behind one gateway.

`AsgiClient` speaks ASGI to any application in this event loop and hides nothing: every status and header is
in the `Answer`. Bodies may come in pieces, or break off, which a real client library would not let a test do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlencode

import orjson
from plexus.platform.http import ASGIApp

from tests.support.recording import recorder

Json = Any


def seg(text: str) -> str:
    """A path segment, percent-encoded."""
    return quote(text, safe="")


@dataclass(frozen=True)
class Answer:
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return orjson.loads(self.body)

    @property
    def errcode(self) -> str | None:
        """The errcode of a standard error response; None for anything else."""
        if "application/json" not in self.headers.get("content-type", ""):
            return None
        body = self.json
        return body.get("errcode") if isinstance(body, dict) else None

    def ok(self) -> Json:
        """The JSON of a 200; anything else fails the test with what was said instead."""
        assert self.status == 200, (self.status, self.body)
        return self.json

    def error(self) -> tuple[int, str | None]:
        return self.status, self.errcode


@dataclass
class Pieces:
    """A request body in pieces; with ``broken`` the client goes away instead of ending it."""

    chunks: Iterable[bytes]
    broken: bool = False


@dataclass
class AsgiClient:
    """One client: ``token`` is sent as a bearer token. ``recorded`` is false before an application that only
    looks like a homeserver: its answers are not the specification's.
    """

    app: ASGIApp
    token: str | None = None
    address: str = "127.0.0.1"
    headers: dict[str, str] = field(default_factory=dict)
    recorded: bool = True

    def with_token(self, token: str | None) -> AsgiClient:
        return AsgiClient(self.app, token, self.address, dict(self.headers), self.recorded)

    async def request(
        self,
        method: str,
        path: str,
        body: Json | bytes | Pieces = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """``path`` is percent-encoded already. bytes and `Pieces` go as they are, other bodies as JSON."""
        sent = {**self.headers, **(headers or {})}
        if self.token is not None:
            sent.setdefault("authorization", f"Bearer {self.token}")
        if body is None:
            body = b""
        elif not isinstance(body, bytes | Pieces):
            body = orjson.dumps(body)
            sent.setdefault("content-type", "application/json")
        if isinstance(body, bytes):
            sent.setdefault("content-length", str(len(body)))
        raw_query = urlencode({name: value for name, value in (query or {}).items() if value is not None})
        answer = await _exchange(self.app, method, path, raw_query, sent, body, self.address)
        if self.recorded and (record := recorder()) is not None:
            plain = body if isinstance(body, bytes) else None
            kind = answer.headers.get("content-type", "")
            # Which operation it is may hang on the query.
            asked = f"{path}?{raw_query}" if raw_query else path
            record.take(method, asked, plain, answer.status, kind, answer.body)
        return answer

    async def get(self, path: str, **query: Any) -> Answer:
        return await self.request("GET", path, query=query)

    async def put(self, path: str, body: Json = None, **query: Any) -> Answer:
        return await self.request("PUT", path, {} if body is None else body, query=query)

    async def post(self, path: str, body: Json = None, **query: Any) -> Answer:
        return await self.request("POST", path, {} if body is None else body, query=query)

    async def delete(self, path: str) -> Answer:
        return await self.request("DELETE", path)


async def _exchange(
    app: ASGIApp,
    method: str,
    path: str,
    raw_query: str,
    headers: Mapping[str, str],
    body: bytes | Pieces,
    address: str,
) -> Answer:
    path, _, in_path = path.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        # What uvicorn does: the decoded path beside the raw one.
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": (raw_query or in_path).encode(),
        "headers": [(b"host", b"test"), *((k.lower().encode(), v.encode()) for k, v in headers.items())],
        "client": (address, 40000),
        "server": ("test", 80),
        "state": {},
    }
    pieces = body if isinstance(body, Pieces) else Pieces([body])
    waiting = iter(pieces.chunks)
    following = next(waiting, None)
    ended = False
    status = 0
    answered: dict[str, str] = {}
    received = bytearray()

    async def receive() -> MutableMapping[str, Any]:
        nonlocal following, ended
        if ended:
            # The client is still there and has nothing more to say.
            await asyncio.Event().wait()
        chunk, following = following, next(waiting, None)
        if chunk is None or (following is None and pieces.broken):
            ended = True
            if pieces.broken:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": b"", "more_body": False}
        ended = following is None
        return {"type": "http.request", "body": chunk, "more_body": not ended}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            answered.update((name.decode(), value.decode("latin-1")) for name, value in message["headers"])
        else:
            received.extend(message.get("body", b""))

    await app(scope, receive, send)
    return Answer(status, answered, bytes(received))

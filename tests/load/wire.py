"""HTTP/1.1 with as little Python as will do: the harness shares two cores with what it measures.

One request at a time on a connection that is kept. Knows Content-Length and chunked bodies, nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import orjson


class RefusedError(Exception):
    """An answer other than 2xx."""


class Connection(asyncio.Protocol):
    """A kept connection; `exchange` one request after the other."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        parsed = parse(self._buffer)
        if parsed is not None and self._answer is not None and not self._answer.done():
            self._buffer.clear()
            self._answer.set_result(parsed)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed by the server"))

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def parse(buffer: bytearray) -> tuple[int, bytes] | None:
    """Status and body of a whole answer, or None while it is not all here."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(buffer[:end]).lower()
    status = int(head[9:12])
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        if len(buffer) < end + 4 + length:
            return None
        return status, bytes(buffer[end + 4 : end + 4 + length])
    if b"transfer-encoding: chunked" not in head:
        return status, b""
    body, position = bytearray(), end + 4
    while True:
        line = buffer.find(b"\r\n", position)
        if line < 0:
            return None
        size = int(bytes(buffer[position:line]), 16)
        if len(buffer) < line + 2 + size + 2:
            return None
        if size == 0:
            return status, bytes(body)
        body += buffer[line + 2 : line + 2 + size]
        position = line + 2 + size + 2


@dataclass
class Device:
    """A logged-in device with one kept connection for each kind of work it does at a time."""

    base_url: str
    user_id: str = ""
    access_token: str = ""
    _connection: Connection | None = None

    def twin(self) -> Device:
        """The same device with a connection of its own, for a long poll beside the sends."""
        return Device(self.base_url, self.user_id, self.access_token)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """`path` with its query, quoted. Returns the parsed answer; `RefusedError` unless it is 2xx."""
        target = urlsplit(self.base_url)
        if self._connection is None or not self._connection.open:
            assert target.hostname is not None, f"no host in {self.base_url}"
            loop = asyncio.get_running_loop()
            _, self._connection = await loop.create_connection(Connection, target.hostname, target.port or 80)
        payload = b"" if body is None else orjson.dumps(body)
        head = f"{method} {path} HTTP/1.1\r\nHost: {target.netloc}\r\nContent-Length: {len(payload)}\r\n"
        if self.access_token:
            head += f"Authorization: Bearer {self.access_token}\r\n"
        if payload:
            head += "Content-Type: application/json\r\n"
        status, answer = await self._connection.exchange(head.encode() + b"\r\n" + payload)
        if status // 100 != 2:
            raise RefusedError(f"{method} {path}: {status} {answer[:200]!r}")
        return orjson.loads(answer)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

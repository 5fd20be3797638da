"""uvicorn's HTTP protocol, with bounds.

httptools collects a request's head without a limit, and uvicorn waits for it without one. Here a head may
have ``http.max_head_bytes`` and take ``http.head_timeout_seconds``, and a body may not pause for longer than
``http.body_timeout_seconds``. One sweep over all connections a few times a minute does the timing: a timer
for each request would cost more than finding its route.

What a client does not read of its answers waits in memory, as the transport takes whatever it is given. So
who has not read `PART` of it, or all, for ``http.stall_seconds`` is cut off, which the same sweep sees. In
between `Unread` bounds what waits for all clients together. Nothing is done for an answer that the kernel
took at once, as it takes nearly every one.

The head of a response goes out with the beginning of its body, in one write: one of its own costs a twelfth
of a small answer. ASGI lets a server wait for the body.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Generator, Iterable
from time import monotonic
from typing import Any, cast

from plexus.platform.http.errors import send_error
from plexus.platform.http.exchange import CLOSE, CORS, Exchange
from plexus.platform.http.hot import JSON, Header, Receive, Scope, Send
from plexus.platform.peer import Peer
from plexus.platform.settings import HttpSettings
from plexus.protocol.errors import Unavailable
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

logger = logging.getLogger(__name__)

PART = 262_144
"""Bytes that a client has to read in ``http.stall_seconds``, where more than that waits for it."""

_JOINED = 65_536
"""Bytes of a body that are copied to go out with their head."""

_CORS = b"".join(b"%s: %s\r\n" % header for header in CORS)


def _refusal(status: bytes, body: bytes) -> bytes:
    return (
        b"HTTP/1.1 " + status + b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body)
    ) + (_CORS + b"connection: close\r\n\r\n" + body)


_BAD_REQUEST = _refusal(b"400 Bad Request", b'{"errcode":"M_UNKNOWN","error":"This is not an HTTP request"}')
_HEAD_TOO_LARGE = _refusal(
    b"431 Request Header Fields Too Large",
    b'{"errcode":"M_TOO_LARGE","error":"The request\'s head is too large"}',
)


class _HeadWithBody:
    """What a response is written to until its body begins. Before it begins itself (``100 Continue``), and
    after, everything goes straight to the transport.
    """

    __slots__ = ("_cycle", "_head", "_transport")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._transport: asyncio.Transport = cycle.transport
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        if not self._cycle.response_started:
            self._transport.write(data)
        elif self._head is None:
            self._head = data
        else:
            self._cycle.transport = self._transport
            if len(data) <= _JOINED:
                self._transport.write(self._head + data)
            else:
                self._transport.write(self._head)
                self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        """Also of a response that failed before its body."""
        if self._head is not None:
            self._transport.write(self._head)
        self._transport.close()


class _Done:
    """Awaited, it has been done already."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


_DONE = _Done()

_LINES: dict[Header, bytes] = {header: b"%s: %s\r\n" % header for header in (JSON, *CORS)}
"""The header lines that are in nearly every answer, and need no check."""


class _Cycle(RequestResponseCycle):
    """uvicorn's, which checks each header of each answer by two regular expressions and writes it anew. The
    usual head, a length and what we always say, is made here; any other is left to uvicorn.
    """

    def send(self, message: Any) -> Awaitable[None]:  # type: ignore[override]
        # Not a coroutine: passing on costs no second one.
        if (
            self.response_started
            or message["type"] != "http.response.start"
            or self.disconnected
            or self.flow.write_paused
        ):
            return super().send(message)
        head = self._usual_head(message)
        if head is None:
            return super().send(message)
        self.response_started = True
        self.waiting_for_100_continue = False
        self.transport.write(head)
        return _DONE

    def _usual_head(self, message: Any) -> bytes | None:
        """The head, with its length noted; None if it has anything but what we always say."""
        if self.access_log or not self.keep_alive:
            return None
        content = [STATUS_LINE[message["status"]]]
        for header in self.default_headers:  # The date.
            content.append(b"%s: %s\r\n" % header)
        length = b""
        for header in message.get("headers", ()):
            line = _LINES.get(header)
            if line is None:
                name, value = header
                if name == b"content-length" and not length and value.isdigit():
                    length = value
                elif name != b"x-request-id" or HEADER_VALUE_RE.search(value):
                    return None
                line = b"%s: %s\r\n" % header
            content.append(line)
        if not length:
            return None
        self.expected_content_length = int(length)
        self.chunked_encoding = False
        content.append(b"\r\n")
        return b"".join(content)


class _TlsCycle(_Cycle):
    """TLS hands on what it is given to a transport of its own, of which it shows nothing. So a large body is
    given to it piece by piece, each when there is room for it: what waits then waits here.
    """

    def send(self, message: Any) -> Awaitable[None]:  # type: ignore[override]
        if len(message.get("body", b"")) > _JOINED:
            return self._send_by_pieces(message)
        return super().send(message)

    async def _send_by_pieces(self, message: Any) -> None:
        body = memoryview(message["body"])
        peer: _Peer = cast(Scope, self.scope)["plexus.peer"]
        for start in range(0, len(body), _JOINED):
            piece = bytes(body[start : start + _JOINED])
            peer.rest = len(body) - start - len(piece)
            more = peer.rest > 0 or message.get("more_body", False)
            await super().send({"type": "http.response.body", "body": piece, "more_body": more})


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer to every request beyond ``http.max_connections``."""
    answer = Exchange(scope, send, (*CORS, CLOSE), None)
    await send_error(answer.send, Unavailable("There are too many connections here", retry_after_ms=5_000))


class Unread:
    """What waits for the clients of a listener, of answers that are too large for the kernel's buffers and
    the transport's: at most ``limit`` bytes. Beyond it those are cut off for whom something waits longest.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sizes: dict[BoundedProtocol, int] = {}
        """By connection, as of when it began to wait: nothing more is written before the client reads."""
        self.bytes = 0

    def add(self, connection: BoundedProtocol, size: int) -> None:
        self._sizes[connection] = size
        self.bytes += size
        while self.bytes > self._limit:
            longest = next(iter(self._sizes))
            self.remove(longest)
            logger.warning("Cut off a client: more than %d bytes of answers are unread", self._limit)
            # Not at once: it may be the one that is being written to.
            longest.loop.call_soon(longest.transport.abort)

    def remove(self, connection: BoundedProtocol) -> None:
        self.bytes -= self._sizes.pop(connection, 0)


class _Peer(Peer):
    """The client of a connection. ``rest``: bytes of the answer to them that the transport has not been given
    yet.
    """

    __slots__ = ("_flow", "rest")

    def __init__(self, flow: FlowControl) -> None:
        super().__init__()
        self._flow = flow
        self.rest = 0

    async def taken(self) -> None:
        while self._flow.write_paused and not self.gone:
            await self._flow.drain()


class BoundedProtocol(HttpToolsProtocol):
    """Made by uvicorn, one a connection. `bounded` makes a subclass, and sets there what is of a listener."""

    max_head = 65_536
    max_connections = 20_000
    unread = Unread(2**28)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heard_at = monotonic()
        self._in_head = False
        self._head_bytes = 0
        self._waits = 0
        """Bytes that the client has not read, as of ``_waits_from``; 0 if it was seen to have read all."""
        self._waits_from = 0.0
        self.peer: _Peer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer = _Peer(self.flow)
        if self.scheme == "https":
            # As a plain one has them; TLS would keep half a megabyte.
            transport.set_write_buffer_limits(_JOINED)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.unread.remove(self)
        self.peer.leave()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._waits, self._waits_from = self.transport.get_write_buffer_size(), monotonic()
        self.unread.add(self, self._waits + self.peer.rest)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._waits = 0
        self.unread.remove(self)

    def data_received(self, data: bytes) -> None:
        if not self._in_head:
            self.heard_at = monotonic()
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.max_head and not self.transport.is_closing():
                self.transport.write(_HEAD_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        before: RequestResponseCycle | None = self.cycle
        cast(Scope, self.scope)["plexus.peer"] = self.peer
        app = self.app
        if len(self.connections) > self.max_connections:
            self.app = cast(Any, _too_many)
            logger.warning("More than %d connections: a request is refused", self.max_connections)
        super().on_headers_complete()
        self.app = app
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle is before:
            return  # An upgrade, which is refused.
        # uvicorn makes its own class by name. Its task has not begun, so nobody has seen a method of it.
        cycle.__class__ = _Cycle if self.scheme == "http" else _TlsCycle
        # An answer to HEAD has no body to wait for.
        if cycle.scope["method"] != "HEAD":
            cycle.transport = cast(asyncio.Transport, _HeadWithBody(cycle))

    def send_400_response(self, msg: str) -> None:
        self.transport.write(_BAD_REQUEST)
        self.transport.close()

    def overdue(self, now: float, head_timeout: float, body_timeout: float) -> bool:
        """Whether the client owes us bytes for too long."""
        cycle = self.cycle
        if self._in_head or cycle is None:
            return now - self.heard_at > head_timeout
        waiting_for_body = cycle.more_body and not cycle.response_complete and not self.flow.read_paused
        return waiting_for_body and now - self.heard_at > body_timeout

    def stalls(self, now: float, seconds: float) -> bool:
        """Whether the client has read less than `PART` of what waits for it, and not all, for so long."""
        waits = self.transport.get_write_buffer_size()
        # Below what pauses the transport, who has asked again may have read all in between.
        asked = self.heard_at > self._waits_from and not self.flow.write_paused
        if self._waits and waits and self._waits - waits < PART and not asked:
            return now - self._waits_from > seconds
        self._waits, self._waits_from = waits, now
        return False


def bounded(http: HttpSettings) -> type[asyncio.Protocol]:
    """The protocol class of a listener with these limits, as uvicorn's ``http=`` takes it."""
    limits = {
        "max_head": http.max_head_bytes,
        "max_connections": http.max_connections,
        "unread": Unread(http.unread_mb * 2**20),
    }
    return type("BoundedProtocol", (BoundedProtocol,), limits)


def sweep(connections: Iterable[object], http: HttpSettings) -> int:
    """End the connections of clients that stopped talking in the middle of a request, or that do not read
    their answers; return how many.
    """
    now = monotonic()
    bounded = [connection for connection in connections if isinstance(connection, BoundedProtocol)]
    silent = [
        one for one in bounded if one.overdue(now, http.head_timeout_seconds, http.body_timeout_seconds)
    ]
    stalled = [one for one in bounded if one.stalls(now, http.stall_seconds)]
    for connection in silent:
        connection.transport.close()
    for connection in stalled:
        # To close it would wait for what is unread.
        connection.transport.abort()
    if stalled:
        logger.info("Cut off %d clients that did not read their answers", len(stalled))
    return len(silent) + len(stalled)

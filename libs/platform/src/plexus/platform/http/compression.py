"""Large answers, compressed once for all services.

An answer is sent gzipped if its client takes that, it is JSON or text of at least
``http.compress_from_bytes``, and nobody has encoded it. Files that users have uploaded are sent as they are:
they have a ``Content-Disposition``. What is streamed is flushed after each part, so the client gets every
part when it was sent. Small answers (a send, a held sync that wakes) pay for a look at their length.

Measured on answers to syncs, in µs of CPU per KB and ratio: level 1 takes 5.4 (8 KB) to 10 (2 MB) and makes
2.9 to 3.2 times less of it; level 3 takes 5.6 to 10 and makes 2.9 to 3.4; level 6, the usual one, takes 8 to
17 for 2.9 to 3.5. Below 8 KB the ratio falls to 2, and what is left fits into a few packets either way.

Why an attacker learns nothing from the length (BREACH): that needs a browser which sends the victim's
credentials along with requests that the attacker's page makes, and access tokens are never in cookies.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from plexus.platform.http.hot import Header, Message, Scope, Send

if TYPE_CHECKING:
    from plexus.platform.telemetry import CounterCell, Metrics

LEVEL = 3
IN_THREAD_FROM = 131_072
"""Bytes at a time from which on it is done in a thread: 128 KB hold the event loop for a millisecond."""

_GZIP = 16 + zlib.MAX_WBITS
_VARY: Header = (b"vary", b"Accept-Encoding")
_ENCODED: Header = (b"content-encoding", b"gzip")
_ALONE = frozenset({204, 206, 304})


class Compression:
    """What all answers share."""

    def __init__(self, metrics: Metrics, from_bytes: int) -> None:
        self.from_bytes = from_bytes
        before = metrics.counter(
            "plexus.http.compression.input", "By", "Answers before they were compressed."
        )
        after = metrics.counter("plexus.http.compression.output", "By", "Answers after they were compressed.")
        self.before: CounterCell = before.labels()
        self.after: CounterCell = after.labels()

    def encoder(self, scope: Scope, start: Message, send: Send) -> Encoder | None:
        """What compresses the answer that begins with ``start``; None if it goes as it is."""
        headers: list[Header] = start["headers"]
        kind = b""
        for name, value in headers:
            if name == b"content-length":
                if int(value) < self.from_bytes:
                    return None
            elif name == b"content-type":
                kind = value
            elif name in (b"content-encoding", b"content-disposition"):
                return None
        if not kind.startswith((b"application/json", b"text/")):
            return None
        if scope["method"] == "HEAD" or start["status"] < 200 or start["status"] in _ALONE:
            return None
        return Encoder(self, start, send, takes_gzip=takes_gzip(scope["headers"]))


class Encoder:
    """Compresses one answer. Its start is held until the first part shows whether it is large."""

    __slots__ = ("_deflate", "_held", "_send", "_shared", "_takes_gzip")

    def __init__(self, shared: Compression, start: Message, send: Send, *, takes_gzip: bool) -> None:
        self._shared = shared
        self._held: Message | None = start
        self._send = send
        self._takes_gzip = takes_gzip
        self._deflate: zlib._Compress | None = None

    async def send(self, message: Message) -> None:
        start = self._held
        if message is start:
            return
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if start is not None:
            self._held = None
            if more or len(body) >= self._shared.from_bytes:
                # Caches must know that it depends, also where it is not compressed.
                start["headers"] = [*start["headers"], _VARY]
                if self._takes_gzip:
                    self._deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
        if self._deflate is not None:
            body = await self._compressed(self._deflate, body, more=more)
            message["body"] = body
        if start is not None:
            if self._deflate is not None:
                start["headers"] = _encoded(start["headers"], None if more else len(body))
            await self._send(start)
        await self._send(message)

    async def _compressed(self, deflate: zlib._Compress, body: bytes, *, more: bool) -> bytes:
        def work() -> bytes:
            return deflate.compress(body) + deflate.flush(zlib.Z_SYNC_FLUSH if more else zlib.Z_FINISH)

        made = await asyncio.to_thread(work) if len(body) >= IN_THREAD_FROM else work()
        self._shared.before.add(len(body))
        self._shared.after.add(len(made))
        return made


def _encoded(headers: list[Header], length: int | None) -> list[Header]:
    """The headers of the compressed answer, which has this length, or one that is not known yet."""
    kept = [header for header in headers if header[0] != b"content-length"]
    kept.append(_ENCODED)
    if length is not None:
        kept.append((b"content-length", b"%d" % length))
    return kept


def takes_gzip(headers: list[Header]) -> bool:
    """RFC 9110, section 12.5.3, "Accept-Encoding": gzip is named, or anything is, and not less welcome than
    no encoding at all.
    """
    weights: dict[str, float] = {}
    for name, value in headers:
        if name == b"accept-encoding":
            for item in value.decode("latin-1").lower().split(","):
                coding, *parameters = (part.strip() for part in item.split(";"))
                weights["gzip" if coding == "x-gzip" else coding] = _weight(parameters)
    gzip = weights.get("gzip", weights.get("*", 0.0))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0

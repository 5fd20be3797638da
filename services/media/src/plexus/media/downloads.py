"""Giving content out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from plexus.media import queries
from plexus.media.headers import SECURITY, disposition
from plexus.media.models import Label, NotYetUploaded, Stored, check_mxc
from plexus.media.ranges import Unsatisfiable, range_of
from plexus.platform.http import Send
from plexus.platform.http.hot import Header
from plexus.protocol.errors import MatrixError, NotFound

if TYPE_CHECKING:
    from plexus.platform.context import Platform

DEFAULT_TIMEOUT_MS = 20_000
MAX_TIMEOUT_MS = 60_000
_POLL_SECONDS = 0.25


async def find(platform: Platform, server_name: str, media_id: str, timeout_ms: int) -> Stored:
    """The content behind an ``mxc://`` URI, waiting for one that was created and has not been uploaded.

    `InvalidParam` for what is no such URI, `NotFound`, `NotYetUploaded`.
    """
    check_mxc(server_name, media_id)
    if server_name != platform.settings.server_name:
        raise NotFound("Media of other servers cannot be fetched yet")
    deadline = platform.clock.monotonic() + min(timeout_ms, MAX_TIMEOUT_MS) / 1000
    while True:
        item = await queries.item(platform.db, media_id)
        if item is None:
            raise NotFound("There is no such media")
        if item.stored is not None:
            return item.stored
        if not item.awaits_content(platform.clock.now_ms()):
            raise NotFound("There is no such media")
        if platform.clock.monotonic() >= deadline or platform.drain.draining:
            raise NotYetUploaded
        await asyncio.sleep(_POLL_SECONDS)


async def serve(
    platform: Platform,
    send: Send,
    stored: Stored,
    *,
    filename: str | None,
    range_header: str | None,
    if_none_match: str | None,
) -> None:
    """Send the content, or the range of it that was asked for. ``filename`` replaces the uploader's."""
    label = stored.label if filename is None else Label(stored.label.content_type, filename)
    tag = f'"{stored.object.replace("/", "")}"'
    headers: list[Header] = [
        (b"content-type", label.content_type.encode("latin-1")),
        (b"content-disposition", disposition(label)),
        (b"accept-ranges", b"bytes"),
        (b"etag", tag.encode()),
        *SECURITY,
    ]
    if if_none_match is not None and tag in if_none_match:
        await _start(send, 304, headers)
        await send({"type": "http.response.body", "body": b""})
        return
    try:
        wanted = range_of(range_header, stored.size)
    except Unsatisfiable:
        raise MatrixError(
            416,
            "M_UNKNOWN",
            "The range is not within the content",
            None,
            {"Content-Range": f"bytes */{stored.size}"},
        ) from None
    start, end = wanted or (0, stored.size)
    chunks = await platform.objects.stream(stored.object, start=start, end=end)
    if chunks is None:
        raise NotFound("The content of this media is gone")
    headers.append((b"content-length", b"%d" % (end - start)))
    if wanted is not None:
        headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, stored.size)))
    await _start(send, 200 if wanted is None else 206, headers)
    await _send_chunks(send, chunks)


async def _start(send: Send, status: int, headers: Iterable[Header]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def _send_chunks(send: Send, chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})

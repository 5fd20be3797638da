"""Taking content in. The bytes go from the socket to the object store as they come, never all in memory.

POST /upload gives a media ID to new content; POST /create reserves one, and PUT /upload fills it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from plexus.media import queries
from plexus.media.models import CannotOverwrite, Item, Label, Stored, new_media_id, new_object_key
from plexus.platform.http import ClientGone, Receive
from plexus.protocol.errors import Forbidden, LimitExceeded, NotFound, TooLarge

if TYPE_CHECKING:
    from plexus.platform.context import Platform

HOUR_MS = 3_600_000


def check_announced_size(content_length: bytes | None, limit: int) -> None:
    """`TooLarge` before a byte is read, if the header says so."""
    if content_length is not None and content_length.isdigit() and int(content_length) > limit:
        raise TooLarge(f"Cannot upload files larger than {limit} bytes")


async def body_chunks(receive: Receive, limit: int) -> AsyncIterator[bytes]:
    """The body as it comes; `TooLarge` at the first byte over ``limit``, `ClientGone` if it breaks off."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"Cannot upload files larger than {limit} bytes")
        if chunk:
            yield chunk
        if not message.get("more_body", False):
            return


async def store(platform: Platform, receive: Receive, label: Label) -> Stored:
    """The body as a new object. What raises leaves no object."""
    key = new_object_key()
    size = await platform.objects.put(key, body_chunks(receive, platform.settings.media.max_upload_bytes))
    return Stored(key, size, label)


async def upload(platform: Platform, receive: Receive, uploader: str, label: Label) -> str:
    """``uploadContent``: the media ID of what was sent."""
    stored = await store(platform, receive, label)
    media_id = new_media_id()
    await queries.add(platform.db, media_id, uploader, stored, platform.clock.now_ms())
    return media_id


async def create(platform: Platform, uploader: str) -> tuple[str, int]:
    """``createContent``: a media ID and until when (milliseconds) it waits for content.

    `LimitExceeded` for who has too many waiting.
    """
    settings = platform.settings.media
    now_ms = platform.clock.now_ms()
    expires_ts = now_ms + settings.pending_hours * HOUR_MS
    media_id = new_media_id()
    reserved = await queries.reserve(
        platform.db,
        media_id,
        uploader,
        now_ms=now_ms,
        expires_ts=expires_ts,
        limit=settings.max_pending_uploads,
    )
    if not reserved:
        raise LimitExceeded(60_000, "You have too many uploads that were not finished")
    return media_id, expires_ts


async def check_fillable(platform: Platform, media_id: str, uploader: str) -> Item:
    """The reservation, before the body is read: `NotFound`, `Forbidden` or `CannotOverwrite` if it is
    none.
    """
    item = await queries.item(platform.db, media_id)
    if item is None:
        raise NotFound("Unknown media ID")
    if item.uploader != uploader:
        raise Forbidden("Somebody else has created this media ID")
    if item.stored is not None:
        raise CannotOverwrite
    if not item.awaits_content(platform.clock.now_ms()):
        raise NotFound("The media ID has expired")
    return item


async def fill(platform: Platform, receive: Receive, item: Item, label: Label) -> None:
    """``uploadContentToMXC``. Of two uploads at the same time one wins, and the other's object goes."""
    stored = await store(platform, receive, label)
    if not await queries.fill(platform.db, item.media_id, stored, platform.clock.now_ms()):
        await platform.objects.delete(stored.object)
        raise CannotOverwrite

"""The table ``media.item``, and nobody else's."""

from __future__ import annotations

from collections.abc import Sequence

from plexus.media.models import Item, Label, Stored
from plexus.platform.postgres import Database

_GET = """
SELECT uploader, expires_ts, object, size, content_type, filename FROM media.item WHERE media_id = %s
"""

_ADD = """
INSERT INTO media.item (media_id, uploader, created_ts, object, size, content_type, filename)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""

_RESERVE = "INSERT INTO media.item (media_id, uploader, created_ts, expires_ts) VALUES (%s, %s, %s, %s)"

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('media.item ' || %s, 0))"

_COUNT = "SELECT count(*) FROM media.item WHERE uploader = %s AND object IS NULL AND expires_ts > %s"

_FILL = """
UPDATE media.item
SET object = %s, size = %s, content_type = %s, filename = %s, expires_ts = NULL
WHERE media_id = %s AND object IS NULL AND expires_ts > %s
RETURNING 1
"""

_WITH_ROW = "SELECT object FROM media.item WHERE object = ANY(%s)"

_EXPIRED = "DELETE FROM media.item WHERE object IS NULL AND expires_ts < %s"


async def item(db: Database, media_id: str) -> Item | None:
    async with db.read(primary=True) as session:
        row = await session.one(_GET, (media_id,))
    if row is None:
        return None
    uploader, expires_ts, key, size, content_type, filename = row
    stored = None if key is None else Stored(key, size, Label(content_type, filename))
    return Item(media_id, uploader, expires_ts, stored)


async def add(db: Database, media_id: str, uploader: str, stored: Stored, now_ms: int) -> None:
    """The row of content that is complete."""
    label = stored.label
    values = (media_id, uploader, now_ms, stored.object, stored.size, label.content_type, label.filename)
    async with db.write() as session:
        await session.execute(_ADD, values)


async def reserve(
    db: Database, media_id: str, uploader: str, *, now_ms: int, expires_ts: int, limit: int
) -> bool:
    """Reserve a media ID; False if the uploader has ``limit`` of them without content already."""
    async with db.write() as session:
        # The lock is the transaction's: two requests of one user cannot pass the limit together.
        await session.one(_LOCK, (uploader,))
        row = await session.one(_COUNT, (uploader, now_ms))
        if row is None or row[0] >= limit:
            return False
        await session.execute(_RESERVE, (media_id, uploader, now_ms, expires_ts))
        return True


async def fill(db: Database, media_id: str, stored: Stored, now_ms: int) -> bool:
    """Give a reserved media ID its content; False if somebody was faster, or it has expired."""
    label = stored.label
    values = (stored.object, stored.size, label.content_type, label.filename, media_id, now_ms)
    async with db.write() as session:
        return await session.one(_FILL, values) is not None


async def with_row(db: Database, keys: Sequence[str]) -> set[str]:
    """Those of these objects that a row names."""
    async with db.read(primary=True) as session:
        return {row[0] for row in await session.fetch(_WITH_ROW, (list(keys),))}


async def delete_expired(db: Database, before_ms: int) -> int:
    """Forget reservations that expired before then; how many."""
    async with db.write() as session:
        return await session.execute(_EXPIRED, (before_ms,))

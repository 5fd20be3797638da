"""Removing what failed uploads have left: objects without a row, reservations that have expired.

An object gets its row moments after it is complete, so one that is an hour old and has none never will. Each
run is by whoever holds the lease; two at a time would do no harm but cost.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING

from plexus.media import queries
from plexus.media.models import OBJECT_PREFIX
from plexus.platform.ports import LeaseLost
from plexus.protocol.errors import MatrixError

if TYPE_CHECKING:
    from plexus.platform.context import Platform

log = logging.getLogger(__name__)

ORPHAN_AGE_MS = 3_600_000
KEEP_EXPIRED_MS = 24 * 3_600_000
"""An expired reservation is kept for a while, so that a late upload is told that it is late."""
INTERVAL_SECONDS = 6 * 3600.0
FIRST_SECONDS = 600.0
_BATCH = 500
_LEASE = "media-sweep"
_LEASE_MS = 600_000


async def sweep(platform: Platform) -> tuple[int, int]:
    """Remove what is to be removed now: (objects, reservations)."""
    now_ms = platform.clock.now_ms()
    removed = 0
    batch: list[str] = []
    async for found in platform.objects.list(OBJECT_PREFIX):
        if found.modified_ms <= now_ms - ORPHAN_AGE_MS:
            batch.append(found.key)
        if len(batch) == _BATCH:
            removed += await _remove_orphans(platform, batch)
            batch = []
    if batch:
        removed += await _remove_orphans(platform, batch)
    return removed, await queries.delete_expired(platform.db, now_ms - KEEP_EXPIRED_MS)


async def _remove_orphans(platform: Platform, keys: list[str]) -> int:
    owned = await queries.with_row(platform.db, keys)
    orphans = [key for key in keys if key not in owned]
    for key in orphans:
        await platform.objects.delete(key)
    return len(orphans)


class Sweeper:
    """Runs `sweep` now and then in one of all replicas."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._holder = secrets.token_hex(8)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="media-sweep")

    async def stop(self) -> None:
        """Stop at once; what was not swept is swept by the next run."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        trouble = await self._platform.objects.trouble()
        if trouble is not None:
            # It may come back: the service starts all the same, and answers 503 until then.
            log.error("The store of media (media.store_url) does not answer: %s", trouble)
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            try:
                await self._turn()
            except (MatrixError, LeaseLost, OSError):
                # The store, the database or the lease is not there now: the next run finds the same.
                log.warning("The media sweep was cut short", exc_info=True)
            except Exception:
                log.exception("The media sweep failed; the next one is in %g s", INTERVAL_SECONDS)
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _turn(self) -> None:
        lease = await self._platform.leadership.acquire(_LEASE, self._holder, ttl_ms=_LEASE_MS)
        if lease is None:
            return
        try:
            objects, reservations = await sweep(self._platform)
            if objects or reservations:
                log.info("The media sweep removed %d objects and %d reservations", objects, reservations)
        finally:
            await self._platform.leadership.release(lease)

"""Keeps reads away from a replica of PostgreSQL that has not reached what this process has heard of.

Who keeps in memory what it reads drops it when a fact says that it has changed. A replica that is behind
would give it back as it was. So from such a fact on this process reads from the primary, until the replica
has reached its position: only then it is looked at, and reads ask nothing.
"""

from __future__ import annotations

import asyncio
import logging

from plexus.platform.lanes.log import LaneLog
from plexus.platform.postgres import Database, StoreUnavailable

_FIRST_LOOK = 0.02
_LAST_LOOK = 1.0
"""Seconds between looks: from one to the next twice as long, until this."""

log = logging.getLogger(__name__)


class ReaderGuard:
    def __init__(self, db: Database, lanes: LaneLog) -> None:
        self._db = db
        self._log = lanes
        self._wanted: dict[tuple[str, int], int] = {}
        self._generation = 0
        """That of these positions: they are given again in another, and who begins anew has kept nothing."""
        self._watching: asyncio.Task[None] | None = None

    def require(self, family: str, lane: int, position: int) -> None:
        """From now on read nothing from a replica that has not reached a position."""
        if not self._db.has_replica:
            return
        self._follow_generation()
        self._wanted[family, lane] = max(position, self._wanted.get((family, lane), 0))
        if self._watching is None:
            self._db.ahead += 1
            self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def _follow_generation(self) -> None:
        if self._log.generation() != self._generation:
            self._generation = self._log.generation()
            self._wanted.clear()

    async def _watch(self) -> None:
        wait = _FIRST_LOOK
        try:
            while True:
                await self._look()
                if not self._wanted:
                    return
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LAST_LOOK)
        finally:
            self._watching = None
            self._db.ahead -= 1

    async def _look(self) -> None:
        try:
            heads = await self._log.heads_of_replica()
        except StoreUnavailable as error:
            log.warning("the replica of PostgreSQL does not say how far it is: %s", error)
            return
        self._follow_generation()
        if heads.generation != self._generation:
            return
        for (family, lane), position in list(self._wanted.items()):
            if heads.of(family)[lane] >= position:
                del self._wanted[family, lane]

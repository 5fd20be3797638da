"""When and from where a device was last used: noted in memory, written every few minutes, many at once. With
it goes whether the device is hidden from others, when that changes: see `plexus.users.presence`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from plexus.platform.beat import on_the_beat
from plexus.platform.clock import Clock
from plexus.platform.http import Requester
from plexus.platform.postgres import Database
from plexus.protocol.errors import Unavailable

log = logging.getLogger(__name__)

FLUSH_SECONDS = 10.0
_BATCH = 500


class _Note(NamedTuple):
    """``seen``: milliseconds since the epoch. Without an address or ``hidden`` those stay as they are."""

    seen: int
    address: str | None
    hidden: bool | None


class LastSeen:
    """A device is noted at most once in ``every_ms``, and each note is written within `FLUSH_SECONDS`.
    ``lane`` gives that of a user.
    """

    def __init__(self, db: Database, clock: Clock, every_ms: int, lane: Callable[[str], int]) -> None:
        self._db = db
        self._clock = clock
        self.every_ms = every_ms
        self._lane = lane
        self._noted: dict[tuple[int, str, str], _Note] = {}
        self._task: asyncio.Task[None] | None = None

    def due_after(self, seen_ts: int) -> int:
        return seen_ts + self.every_ms

    def note(self, requester: Requester, now: int, address: str | None) -> int:
        """Note a use; when the next one is due, in milliseconds since the epoch."""
        if requester.device_id is not None:
            key = (requester.lane, requester.user_id, requester.device_id)
            before = self._noted.get(key)
            self._noted[key] = _Note(now, address, None if before is None else before.hidden)
        return now + self.every_ms

    def mark(self, user_id: str, device_id: str, *, hidden: bool, is_news: bool) -> None:
        """Note whether a device is hidden. If that is no news it only goes along with a note that is to be
        written anyway: what the row says may be from long ago.
        """
        key = (self._lane(user_id), user_id, device_id)
        before = self._noted.get(key)
        if before is not None or is_news:
            address = None if before is None else before.address
            self._noted[key] = _Note(self._clock.now_ms(), address, hidden)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="last-seen")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._flush_or_keep()

    async def flush(self) -> int:
        """Write what is noted, a call a lane and batch; the number of devices."""
        noted, self._noted = self._noted, {}
        lanes: dict[int, list[tuple[str, str, int, str | None, bool | None]]] = defaultdict(list)
        for (lane, user_id, device_id), note in noted.items():
            lanes[lane].append((user_id, device_id, *note))
        try:
            for lane, rows in lanes.items():
                # In one order for all processes, so that two flushes wait for one another and do not
                # deadlock.
                rows.sort(key=lambda row: row[:2])
                for start in range(0, len(rows), _BATCH):
                    batch = rows[start : start + _BATCH]
                    await self._db.call(
                        "SELECT users.touch_devices(%s::smallint, %s::text[], %s::text[], %s::bigint[],"
                        " %s::text[], %s::boolean[])",
                        (lane, *([row[column] for row in batch] for column in range(5))),
                    )
        except BaseException:
            for key, note in self._noted.items():
                before = noted.get(key)
                if before is not None and note.hidden is None:
                    note = note._replace(hidden=before.hidden)
                noted[key] = note
            self._noted = noted
            raise
        return len(noted)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(on_the_beat(FLUSH_SECONDS))
            await self._flush_or_keep()

    async def _flush_or_keep(self) -> None:
        try:
            await self.flush()
        except Unavailable as error:
            log.warning("the devices' last use was not written, it will be later: %s", error)
        except Exception:
            log.exception("the devices' last use could not be written")

"""What waits for a worker: one statement for all parts of it that look in the same turn of the event loop."""

from __future__ import annotations

from dataclasses import dataclass

from plexus.platform.clock import Clock
from plexus.platform.lanes.shared_read import SharedRead
from plexus.platform.postgres import Database

_WAITING = "SELECT delayed_in, pushes FROM client_api.waiting(%s)"


@dataclass(frozen=True, slots=True)
class Work:
    """``delayed_in``: milliseconds until a delayed event is due, not above 0 if one is; None if there is
    none. ``pushes``: whether a push gateway is to be told something now.
    """

    delayed_in: int | None
    pushes: bool


class Waiting:
    """Never older than the question."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._shared = SharedRead(self._read)

    async def work(self) -> Work:
        return await self._shared.get()

    async def _read(self) -> Work:
        [(delayed_in, pushes)] = await self._db.call(_WAITING, (self._clock.now_ms(),), together=True)
        return Work(delayed_in, pushes)

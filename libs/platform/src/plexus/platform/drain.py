"""The signal that this process is leaving.

It is given once and never taken back. Readiness fails from then on, long polls answer with what they have,
and requests still under way are finished. See `plexus.platform.http.serve` for the order.
"""

from __future__ import annotations

import asyncio


class DrainSignal:
    __slots__ = ("_event", "draining")

    def __init__(self) -> None:
        self.draining = False
        self._event = asyncio.Event()

    def begin(self) -> None:
        """Start to drain; a second call changes nothing."""
        self.draining = True
        self._event.set()

    async def wait(self) -> None:
        """Return when draining has begun."""
        await self._event.wait()

"""Jobs that one process of the deployment does every so often: whoever holds their lease.

The lease lives for three rounds, so that the holder keeps it from round to round and another takes over soon
after it dies. A job must bear being cut off and being begun again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable

from plexus.platform.beat import on_the_beat
from plexus.platform.ports import Leadership, Lease
from plexus.protocol.errors import Unavailable

logger = logging.getLogger(__name__)


class PeriodicJob:
    """Runs ``work`` every ``every`` seconds, the first time at once. A round that fails is logged, not the
    end.
    """

    def __init__(
        self, leadership: Leadership, name: str, work: Callable[[], Awaitable[object]], *, every: float
    ) -> None:
        self._leadership = leadership
        self._name = name
        self._work = work
        self._every = every
        self._holder = holder_name()
        self._lease: Lease | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """End, and give the lease to whoever comes next."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        if self._lease is not None:
            try:
                await self._leadership.release(self._lease)
            except Unavailable:
                logger.info("The lease of %s runs out by itself: the database is away", self._name)

    async def round(self) -> bool:
        """One round; False if another process holds the lease."""
        ttl_ms = round(self._every * 3000)
        self._lease = await self._leadership.acquire(self._name, self._holder, ttl_ms=ttl_ms)
        if self._lease is None:
            return False
        await self._work()
        return True

    async def _run(self) -> None:
        while True:
            held = True
            try:
                held = await self.round()
            except Exception:
                logger.exception("A round of %s failed", self._name)
            if held:
                await asyncio.sleep(on_the_beat(self._every))
            else:
                await self._leadership.idle(self._name, self._every)


def holder_name() -> str:
    """Who this process is, for leases: unique among all replicas and restarts."""
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"

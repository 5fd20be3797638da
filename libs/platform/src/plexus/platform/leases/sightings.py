"""Since when each Lease has stood unchanged, by our own clock.

Clocks of machines differ, so the time that a holder writes into its Lease says nothing about now. A Lease has
expired when we have seen it unchanged for as long as it lives. Who sees one for the first time waits that
long, whatever its ``renewTime`` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from plexus.platform.leases.api import Seen


class Sightings:
    """To be used in the event loop."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._since: dict[str, tuple[Seen, float]] = {}
        self._freed: dict[str, asyncio.Event] = {}

    def note(self, seen: Seen) -> None:
        known = self._since.get(seen.name)
        if known is not None and known[0].version == seen.version:
            return
        self._since[seen.name] = (seen, self._clock())
        if not seen.holder:
            self._wake(seen.name)

    def forget(self, name: str) -> None:
        """There is no such Lease any more: whoever wants it may make it."""
        if self._since.pop(name, None) is not None:
            self._wake(name)

    def names(self) -> set[str]:
        return set(self._since)

    def free(self, seen: Seen) -> bool:
        """Whether it may be taken: given back, or expired."""
        self.note(seen)
        _, since = self._since[seen.name]
        return not seen.holder or self._clock() - since >= seen.ttl_ms / 1000

    async def wait(self, name: str, seconds: float) -> None:
        """For so long, or until the Lease becomes free before its time."""
        freed = self._freed.setdefault(name, asyncio.Event())
        freed.clear()
        try:
            async with asyncio.timeout(seconds):
                await freed.wait()
        except TimeoutError:
            return

    def _wake(self, name: str) -> None:
        freed = self._freed.get(name)
        if freed is not None:
            freed.set()

"""Held polls: one future each, and one timer for all.

A poll that waits is a `Poll` with a future; nothing else is made for it, no task and no timer. `Wheel` keeps
the polls by the tick in which their time is up and lets the loop call it at the end of the earliest.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from math import ceil, inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plexus.sync.replica.arrivals import Cause

TICK_SECONDS = 0.25
"""How late a poll whose time is up may be answered, at most."""


class Poll:
    """One held request: of which device, for what (``kind``: its filter), and as which of all requests it
    came. The future ends with the wait, for whatever reason.

    ``superseded``: a newer poll has taken over, this one has to end. ``woken``: when facts woke it, by the
    loop's clock, 0 if they did not; ``cause``: the traced ones among them.
    """

    __slots__ = ("arrival", "cause", "device_id", "future", "kind", "superseded", "tick", "woken")

    def __init__(
        self, device_id: str | None, future: asyncio.Future[None], kind: object = None, arrival: int = 0
    ) -> None:
        self.device_id = device_id
        self.kind = kind
        self.arrival = arrival
        self.future = future
        self.superseded = False
        self.woken = 0.0
        self.cause: Cause | None = None
        self.tick = 0

    def wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)

    def supersede(self) -> None:
        self.superseded = True
        self.wake()


class Wheel:
    """Wakes polls when their time is up, and all of them at once when asked."""

    __slots__ = ("_handle", "_loop", "_next", "_ticks", "held")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ticks: defaultdict[int, set[Poll]] = defaultdict(set)
        self._handle: asyncio.TimerHandle | None = None
        self._next: float = inf
        self.held = 0

    async def hold(self, poll: Poll, deadline: float) -> None:
        """Wait until the poll is woken or the loop's clock has reached ``deadline``, give or take a tick."""
        poll.tick = ceil(deadline / TICK_SECONDS)
        self._ticks[poll.tick].add(poll)
        self.held += 1
        if poll.tick < self._next:
            self._turn_at(poll.tick)
        try:
            await poll.future
        finally:
            self.held -= 1
            due = self._ticks.get(poll.tick)
            if due is not None:
                due.discard(poll)
                if not due:
                    del self._ticks[poll.tick]

    def wake_all(self) -> None:
        for polls in self._ticks.values():
            for poll in polls:
                poll.wake()

    def _turn_at(self, tick: float) -> None:
        """Turn next at the end of this tick. Mostly half a minute ahead: nothing turns while all is quiet."""
        if self._handle is not None:
            self._handle.cancel()
        self._next = tick
        self._handle = None if tick == inf else self._loop.call_at(tick * TICK_SECONDS, self._turn)

    def _turn(self) -> None:
        # A timer may be early by what the clock rounds; its own tick is due all the same.
        now = max(self._next, self._loop.time() / TICK_SECONDS)
        later = inf
        for tick, polls in self._ticks.items():
            if tick > now:
                later = min(later, tick)
                continue
            for poll in polls:
                poll.wake()
        self._turn_at(later)

"""What is noticed of PostgreSQL once a second: whether it answers at all, and calls that it has left without.

Seconds are counted in rounds of the watch. So a process that stood still itself finds, when it goes on, the
answers that came meanwhile, and gives nothing up.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from plexus.platform.beat import on_the_beat
from plexus.platform.postgres.errors import StoreUnavailable

log = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
LOOK_AFTER = 2
"""Rounds without an answer to anything until one is asked for: mostly the process asks for the heads."""
UNREADY_AFTER = 5
"""Rounds without an answer until the process is not ready. Twice as long as a caller waits for a connection,
and a lock.
"""


class Watched(Protocol):
    """A connection."""

    @property
    def awaited(self) -> object | None:
        """What is waited for; another object for each answer, None if for none."""
        ...

    def give_up(self, error: str) -> None:
        """End the connection: what is waited for fails, its outcome is unknown."""
        ...


class StoreWatch:
    """``connections`` are those that are open, ``answers`` how many answers have come, of any kind; ``look``
    asks for one. ``seconds``: how long an answer may take, 0 for ever.
    """

    def __init__(
        self,
        connections: Callable[[], Iterable[Watched]],
        answers: Callable[[], int],
        look: Callable[[], Awaitable[object]],
        *,
        seconds: float,
    ) -> None:
        self._connections = connections
        self._answers = answers
        self._ask = look
        self._most = math.ceil(seconds / ROUND_SECONDS)
        self._waiting: dict[Watched, tuple[object, int]] = {}
        self._answered = 0
        self._silent = 0
        self._looked = 0
        self._look: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="postgres.watch")

    async def stop(self) -> None:
        tasks = [task for task in (self._task, self._look) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def why_not_ready(self) -> str | None:
        """None while PostgreSQL answers."""
        if self._silent < UNREADY_AFTER:
            return None
        return f"PostgreSQL has not answered for {self._silent * ROUND_SECONDS:.0f} seconds"

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(on_the_beat(ROUND_SECONDS))
            try:
                self.round()
            except Exception:
                log.exception("A round of the watch over PostgreSQL failed")

    def round(self) -> None:
        """What is done once a second."""
        answered = self._answers() + self._looked
        self._silent = self._silent + 1 if answered == self._answered else 0
        self._answered = answered
        if self._silent >= LOOK_AFTER and (self._look is None or self._look.done()):
            self._look = asyncio.create_task(self._look_once(), name="postgres.look")
        if self._most:
            self._give_up_what_is_overdue()

    async def _look_once(self) -> None:
        try:
            await self._ask()
            self._looked += 1
        except StoreUnavailable:
            pass  # That it stays silent says enough.

    def _give_up_what_is_overdue(self) -> None:
        before, self._waiting = self._waiting, {}
        for connection in self._connections():
            awaited = connection.awaited
            if awaited is None:
                continue
            known, rounds = before.get(connection, (None, 0))
            rounds = rounds + 1 if known is awaited else 0
            if rounds < self._most:
                self._waiting[connection] = (awaited, rounds)
            else:
                error = f"PostgreSQL has not answered in {rounds * ROUND_SECONDS:.0f} seconds"
                log.warning("%s: a connection is given up", error)
                connection.give_up(error)

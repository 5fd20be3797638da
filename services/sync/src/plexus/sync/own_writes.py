"""Whether a replica has seen what somebody wrote who syncs there.

An answer tells what its user wrote before they asked. A poll that comes back from an answer finds nothing: it
is held, and tells nothing meanwhile. So its user's marks need not be known when it comes. The polls that a
message has woken come back one after the other, and are looked after together, a little later. Who is woken
before that, or turns out to have written what is not here yet, waits for it before the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from plexus.platform.marks import LaneKey, Marks
from plexus.sync.replica import Replica
from plexus.sync.replica.polls import Poll

GATHER_SECONDS = 0.1
"""From the first poll that is to be looked after to the look. Mostly Kafka has brought all long before."""


class OwnWrites:
    """Of one request: whether they are ``seen``. A poll that was held before that has been ``put_off``."""

    __slots__ = ("poll", "put_off", "seen", "user_id")

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.seen = False
        self.put_off = False
        self.poll: Poll | None = None


class Looks:
    """Looks at the marks for polls that are held."""

    def __init__(self, marks: Marks, replica: Replica) -> None:
        self._marks = marks
        self._replica = replica
        self._waiting: list[OwnWrites] = []
        self._timer: asyncio.TimerHandle | None = None
        self._looking: set[asyncio.Task[None]] = set()

    def put_off(self, own: OwnWrites, poll: Poll) -> None:
        """``poll`` is about to be held. It is woken if its user wrote what this replica has not seen yet."""
        own.put_off, own.poll = True, poll
        self._waiting.append(own)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._begin)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting = []
        for task in self._looking:
            task.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)

    def _begin(self) -> None:
        self._timer = None
        gathered, self._waiting = self._waiting, []
        if held := [own for own in gathered if own.poll is not None and not own.poll.future.done()]:
            task = asyncio.create_task(self._look(held), name="own writes")
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _look(self, held: list[OwnWrites]) -> None:
        found: Mapping[str, Mapping[LaneKey, int]] | None = None
        try:
            found = await self._marks.get_many({own.user_id for own in held})
        finally:
            for own in held:
                own.seen = found is not None and self._replica.has_seen(found[own.user_id])
                if not own.seen and own.poll is not None:
                    own.poll.wake()

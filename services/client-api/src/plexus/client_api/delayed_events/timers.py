"""The timers: what is due is sent, by whichever worker claims it first.

A worker sleeps until the next event is due, a second at the most, for others may be scheduled meanwhile by
any process. What was due while no worker was there is sent in the order in which it was due: within a room
one after the other, rooms side by side.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

import orjson
from plexus.client_api.delayed_events import queries
from plexus.client_api.delayed_events.models import DelayedEvent
from plexus.client_api.delayed_events.sending import send
from plexus.client_api.delayed_events.service import LEASE_MS
from plexus.client_api.deps import ClientApi
from plexus.client_api.waiting import Waiting
from plexus.platform.beat import on_the_beat
from plexus.platform.periodic import PeriodicJob
from plexus.protocol.errors import MatrixError, Unavailable

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks, at most: how late an event may be that was scheduled for sooner."""

_AT_ONCE = 50
_USERS_AT_ONCE = 500
_SHORTEST = 0.01
_SEND_SECONDS = LEASE_MS / 2000
"""Half a lease. What is not sent by then is left to who claims it next."""
_PAUSE_MS = 1000

KEPT_MS = 7 * 86_400_000
KEPT_OF_A_USER = 1000
"""How long and how many finalised events are kept: what MSC4140 recommends."""


class Timers:
    """Of one worker; any number of them may run."""

    def __init__(self, api: ClientApi, waiting: Waiting) -> None:
        self._api = api
        self._waiting = waiting
        self._db = api.platform.db
        self._looking: asyncio.Task[None] | None = None
        self._forgetting = PeriodicJob(
            api.platform.leadership, "delayed_events.forget", self.forget, every=600
        )

    async def start(self) -> None:
        self._looking = asyncio.create_task(self._look(), name="delayed-events")
        await self._forgetting.start()

    async def drain(self) -> None:
        """Begin nothing more. What is cut off is tried again by another when its lease is over, and is sent
        once.
        """
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
        await self._forgetting.stop()

    async def send_due(self) -> float:
        """Send what is due; seconds until it is worth looking again."""
        wait_ms = (await self._waiting.work()).delayed_in
        if wait_ms is None:
            return on_the_beat(LOOK_EVERY)
        if wait_ms > 0:
            return min(LOOK_EVERY, max(wait_ms / 1000, _SHORTEST))
        until = asyncio.get_running_loop().time() + _SEND_SECONDS
        by_room: defaultdict[str, list[DelayedEvent]] = defaultdict(list)
        for event in await queries.claim_due(self._db, LEASE_MS, _AT_ONCE):
            by_room[event.room_id].append(event)
        await asyncio.gather(*(self._send_all(events, until) for events in by_room.values()))
        return _SHORTEST

    async def _send_all(self, events: Sequence[DelayedEvent], until: float) -> None:
        for at, event in enumerate(events):
            if not await self._send(event, until):
                # Those behind it wait with it.
                for later in events[at + 1 :]:
                    await queries.release(self._db, later.delay_id)
                return

    async def _send(self, event: DelayedEvent, until: float) -> bool:
        """False if it is to be sent later."""
        try:
            async with asyncio.timeout_at(until):
                event_id = await send(self._api, event)
        except (Unavailable, TimeoutError) as error:
            log.warning("a delayed event is sent later: %s", error)
            await queries.release(self._db, event.delay_id, _PAUSE_MS)
            return False
        except MatrixError as error:
            await queries.finalise(self._db, event.delay_id, None, orjson.dumps(error.body()))
        except Exception:
            # The others are not to wait for this one; its lease runs out, and it is tried again.
            log.exception("a delayed event could not be sent")
        else:
            await queries.finalise(self._db, event.delay_id, event_id, None)
        return True

    async def _look(self) -> None:
        while True:
            wait = LOOK_EVERY
            try:
                wait = await self.send_due()
            except Unavailable as error:
                log.warning("no look for delayed events: %s", error)
            except Exception:
                # Whatever it was, the events must not wait for the next start of this process.
                log.exception("the look for delayed events failed")
            await asyncio.sleep(wait)

    async def forget(self) -> None:
        """Forget what has been kept long enough, and all that accounts have left which are closed."""
        await queries.forget(self._db, KEPT_MS, KEPT_OF_A_USER)
        users = await queries.users(self._db, "", _USERS_AT_ONCE)
        while users:
            open_ones = await self._api.users.profiles(users)
            closed = [user_id for user_id in users if user_id not in open_ones]
            if closed:
                await queries.forget_users(self._db, closed)
            users = await queries.users(self._db, users[-1], _USERS_AT_ONCE)

"""Sending what is due. Any number of workers do so: a row is claimed for a while by one of them.

A worker sends what is for one pusher one after the other, for different ones side by side. After a failure
everything of that pusher waits, twice as long each time; a gateway that was away is not asked for each of a
thousand notifications. What has not been told within a day is not told any more.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum

import orjson
from plexus.client_api.pushing import queries
from plexus.client_api.pushing.payload import badge, payload
from plexus.client_api.pushing.queries import Push
from plexus.client_api.waiting import Waiting
from plexus.platform.beat import on_the_beat
from plexus.platform.context import Platform
from plexus.protocol.errors import Unavailable
from plexus.rooms import Rooms
from plexus.users import Pusher, Users
from plexus.wire import AddressRefused, OutboundClient, RequestFailed

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds between two looks, unless there is known to be something."""
LEASE_MS = 60_000
KEPT_MS = 86_400_000
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 2_000, 3_600_000
_AT_ONCE = 100
_SIDE_BY_SIDE = 20
_SECONDS = 10.0


class _Told(Enum):
    """What became of an attempt. ``TAKEN``: there is no more to do."""

    TAKEN = 0
    FAILED = 1
    REJECTED = 2


class Delivery:
    """Of one worker. ``look_every`` in seconds."""

    def __init__(
        self,
        platform: Platform,
        rooms: Rooms,
        users: Users,
        client: OutboundClient,
        waiting: Waiting,
        *,
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._platform = platform
        self._db = platform.db
        self._rooms = rooms
        self._users = users
        self._client = client
        self._waiting = waiting
        self._every = look_every
        self._slots = asyncio.Semaphore(_SIDE_BY_SIDE)
        self._task: asyncio.Task[None] | None = None
        self._queued = asyncio.Event()
        metrics = platform.telemetry.metrics
        self._sent = metrics.counter(
            "plexus.push.sent", "1", "Notifications that push gateways took."
        ).labels()
        self._failed = metrics.counter(
            "plexus.push.failed", "1", "Attempts to tell a push gateway that failed."
        ).labels()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._look(), name="push")

    def wake(self) -> None:
        """Something has been queued."""
        self._queued.set()

    async def drain(self) -> None:
        """Begin nothing more. What is cut off is told by another when its lease is over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def send_due(self) -> int:
        """Send what is due; how many there were."""
        if not (await self._waiting.work()).pushes:
            return 0
        now = self._platform.clock.now_ms()
        claimed = await queries.claim(self._db, now, LEASE_MS, _AT_ONCE)
        by_pusher: defaultdict[tuple[str, str, str], list[Push]] = defaultdict(list)
        for push in claimed:
            by_pusher[push.pusher].append(push)
        # Half a lease: what is not begun by then is left to whoever claims it next.
        until = asyncio.get_running_loop().time() + LEASE_MS / 2000
        await asyncio.gather(*(self._send_all(pushes, until) for pushes in by_pusher.values()))
        return len(claimed)

    async def _send_all(self, pushes: Sequence[Push], until: float) -> None:
        async with self._slots:
            user_id, app_id, pushkey = pushes[0].pusher
            pusher = await self._users.pusher(user_id, app_id, pushkey)
            if pusher is None:
                await queries.drop(self._db, pushes[0].pusher)
                return
            for at, push in enumerate(pushes):
                if asyncio.get_running_loop().time() > until:
                    return
                told, unread = await self._tell(push, pusher)
                if told is _Told.FAILED:
                    self._failed.add()
                    now = self._platform.clock.now_ms()
                    pause = min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS << min(push.attempts - 1, 20))
                    await queries.retry(self._db, pushes[at:], now, now + pause)
                    return
                if told is _Told.REJECTED:
                    # "Homeservers must cease sending notification requests for these pushkeys and remove the
                    # associated pushers."
                    await self._users.delete_pusher(*push.pusher)
                    await queries.drop(self._db, push.pusher)
                    return
                await queries.done(self._db, push, unread, self._platform.clock.now_ms())

    async def _tell(self, push: Push, pusher: Pusher) -> tuple[_Told, int | None]:
        """And the number of unread messages that was told, if one was."""
        if push.created_ts + KEPT_MS < self._platform.clock.now_ms():
            return _Told.TAKEN, None
        if push.is_badge:
            known = await queries.told_unread(self._db, push.pusher)
            made = await badge(self._rooms, push, pusher, known)
        else:
            made = await payload(self._rooms, push, pusher)
        if made is None:
            return _Told.TAKEN, None
        rejected = await self._notify(pusher, made.body)
        if rejected is None:
            return _Told.FAILED, None
        self._sent.add()
        return _Told.REJECTED if pusher.pushkey in rejected else _Told.TAKEN, made.unread

    async def _notify(self, pusher: Pusher, body: bytes) -> Sequence[object] | None:
        """The pushkeys that the gateway rejects; None if it has not taken the notification."""
        try:
            reply = await self._client.request(
                "POST",
                pusher.data["url"],
                body=body,
                headers={"content-type": "application/json"},
                timeout=_SECONDS,
                plain_http=self._platform.settings.push.plain_http,
            )
            answer = orjson.loads(reply.body) if 200 <= reply.status < 300 else None
        except (AddressRefused, RequestFailed, orjson.JSONDecodeError):
            return None
        rejected = answer.get("rejected", []) if isinstance(answer, dict) else None
        return rejected if isinstance(rejected, list) else None

    async def _look(self) -> None:
        while True:
            found = 0
            self._queued.clear()
            try:
                found = await self.send_due()
            except Unavailable as error:
                log.warning("no look for what push gateways are to be told: %s", error)
            except Exception:
                log.exception("telling push gateways failed, and is tried again")
            if found < _AT_ONCE:
                # Not `wait_for`, which may take being cancelled for having been woken: the task would go on.
                with suppress(TimeoutError):
                    async with asyncio.timeout(on_the_beat(self._every)):
                        await self._queued.wait()

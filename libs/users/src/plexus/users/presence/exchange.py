"""Presence between processes: what this one has to say, in batches, and what it hears of others."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

import orjson
from plexus.platform.clock import Clock
from plexus.platform.ports import Ephemeral, Subscription
from plexus.platform.postgres import Database
from plexus.platform.settings import PresenceSettings
from plexus.protocol.errors import Unavailable
from plexus.users.last_seen import LastSeen
from plexus.users.presence.book import MOST_PERSONS, OFFLINE, ONLINE, PresenceBook, Shown

log = logging.getLogger(__name__)

CHANNEL = "presence"
ASK = b"?"

SET_SECONDS = 300.0
"""How long a presence that was set holds without a sync."""
ACTIVE_SECONDS = 30.0
"""An activity so soon after another is not worth a note."""
GATHER_SECONDS = 0.2
TELL_SECONDS = 1.0
"""Who asks so soon after another is answered together with the next: all do when Redis is back."""
_TICK_SECONDS = 0.5
_SPARE = 1 / 6
"""So much of the grace a lease is longer: a sync so soon after another prolongs nothing."""
_RECENT_MS = 3_600_000
_MOST_RECENT = 50_000
_MOST_IN_MESSAGE = 1_000
_MOST_HIDDEN = 100_000

_SEEN = """
SELECT user_id, max(last_seen_ts) FILTER (WHERE NOT hidden), array_agg(device_id) FILTER (WHERE hidden)
  FROM users.device WHERE last_seen_ts > %s GROUP BY user_id ORDER BY max(last_seen_ts) DESC LIMIT %s
"""

_Key = tuple[str, str]

_NO_DEVICE = "\0"
_HIDES = -1
"""Instead of the milliseconds of a lease: the device asks to be hidden. What leases it has go on."""
_STATUS = "\0\0"

_Status = tuple[str | None, int]
"""A status message, and when it was set, in milliseconds since the epoch."""


@dataclass(slots=True)
class _Mine:
    """A lease of this process until then, and until when others believe in it."""

    until: float
    told_until: float


class Presence:
    """What this process knows of presence. Switched off, nobody is ever there."""

    def __init__(
        self,
        ephemeral: Ephemeral,
        db: Database,
        clock: Clock,
        settings: PresenceSettings,
        last_seen: LastSeen,
    ) -> None:
        self.enabled = settings.enabled
        self._ephemeral = ephemeral
        self._db = db
        self._clock = clock
        self._last_seen = last_seen
        self._idle = settings.idle_seconds
        self._active_every = min(ACTIVE_SECONDS, settings.idle_seconds / 2)
        self._grace = settings.grace_seconds
        self._spare = settings.grace_seconds * _SPARE
        # So much longer a lease is for other processes: one that goes on is told once in this time.
        self._further = 2 * settings.grace_seconds
        self._process = secrets.token_hex(6)
        self._book = PresenceBook(settings.idle_seconds, self._changed, self._ended)
        self._watchers: list[Callable[[str], None]] = []
        self._mine: dict[_Key, _Mine] = {}
        # The devices that said ``offline`` when they last said anything.
        self._hidden: dict[_Key, None] = {}
        # Whose status was set here: the others may not have heard of it.
        self._statuses: dict[str, None] = {}
        self._outgoing: dict[_Key, list[Any]] = {}
        self._asks = False
        self._tells: asyncio.TimerHandle | None = None
        self._told = -inf
        self._subscription: Subscription | None = None
        self._sending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf
        self._started = False

    async def start(self) -> None:
        """Listen, and find out who is there. Starting it again changes nothing."""
        if self._started or not self.enabled:
            return
        self._started = True
        self._subscription = await self._ephemeral.subscribe(CHANNEL, self._hear, self._ask)
        try:
            await self._presume()
        except Unavailable as error:
            log.warning("who was there before is not known: %s", error)
        await self._ephemeral.publish(CHANNEL, ASK)

    async def stop(self) -> None:
        """Say no more. The leases stay with the others: who was here comes to one of them."""
        if self._subscription is not None:
            self._subscription.close()
        for timer in (self._timer, self._tells):
            if timer is not None:
                timer.cancel()
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        self._started = False

    def watch(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call back with the user whenever somebody is shown otherwise than before; call the answer to
        end it.
        """
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    # --- what users do

    def note_sync(self, user_id: str, device_id: str | None, state: int, seconds: float) -> None:
        """A sync that may be held for so long. One that asks to be ``offline`` holds no lease: it says that
        nobody is to be taken to be there because of it.
        """
        if not self._started:
            return
        device = device_id or ""
        key = (user_id, device)
        if state == OFFLINE:
            if device and key not in self._hidden:
                self._hide(user_id, device)
            return
        seconds += self._grace
        mine = self._mine.get(key)
        state, is_same = self._book.meant(user_id, device, state)
        if is_same and mine is not None and self._clock.monotonic() + seconds <= mine.until:
            return
        self._lease(user_id, device, state, seconds + self._spare)

    def note_active(self, user_id: str) -> None:
        """The user has done something, on whichever device: who is idle is online again. It holds no lease:
        who is not there otherwise stays offline.
        """
        if not self._started:
            return
        now = self._clock.monotonic()
        if self._book.is_active(user_id, now - self._active_every):
            return
        self._book.act(user_id, now, now)
        self._plan()
        self._say(user_id, _NO_DEVICE, [user_id, "", None, 0, 0, None])

    def set(self, user_id: str, device_id: str | None, state: int, status_msg: str | None) -> None:
        """``setPresence``. Without a status message the one before is gone."""
        if not self._started:
            return
        now = self._clock.monotonic()
        device = device_id or ""
        # After the one that it replaces, also if that is from a clock which is ahead.
        status = status_msg, max(self._clock.now_ms(), self._book.status(user_id)[1] + 1)
        self._book.set_status(user_id, *status, now)
        self._statuses[user_id] = None
        if len(self._statuses) > MOST_PERSONS:
            del self._statuses[next(iter(self._statuses))]
        if state == ONLINE:
            self._book.active(user_id, now, now)
        self._lease(user_id, device, state, SET_SECONDS, status)

    # --- what others see

    def shown(self, user_id: str) -> Shown:
        return self._book.shown(user_id)

    def last_active_ago(self, user_id: str) -> int | None:
        """Milliseconds; None if it is not known."""
        last = self._book.last_active(user_id)
        return None if last is None else max(0, int((self._clock.monotonic() - last) * 1000))

    def present(self) -> Iterator[str]:
        """The users who are not offline."""
        return self._book.present()

    def known(self) -> Iterator[str]:
        """All users of whom anything is known: who was there within the last hour is among them."""
        return self._book.known()

    def knows(self, user_id: str) -> bool:
        """Whether they are among those."""
        return user_id in self._book

    # --- leases of this process

    def _lease(
        self, user_id: str, device: str, state: int, seconds: float, status: _Status | None = None
    ) -> None:
        now = self._clock.monotonic()
        until = now + seconds
        key = (user_id, device)
        mine = self._mine.get(key)
        if self._remember(key, hidden=state == OFFLINE):
            self._mark(user_id, device, is_news=True)
        elif mine is None:
            self._mark(user_id, device, is_news=False)
        is_news = self._book.device_state(user_id, device) != state or status is not None
        if mine is not None:
            mine.until = until
        if mine is None or is_news or until > mine.told_until:
            told_until = max(until + self._further, 0 if mine is None else mine.told_until)
            self._mine[key] = _Mine(until, told_until)
            active = self._book.last_active(user_id)
            ago = -1 if active is None or state != ONLINE else int((now - active) * 1000)
            if is_news and state == ONLINE:
                ago = 0
            self._say(*key, [user_id, device, state, int((told_until - now) * 1000), ago, status])
        self._book.lease(user_id, device, self._process, state, until, now)
        self._plan()

    def _hide(self, user_id: str, device: str) -> None:
        """A device says ``offline`` that did not before."""
        self._remember((user_id, device), hidden=True)
        self._mark(user_id, device, is_news=True)
        self._book.presume_no_more(user_id, self._clock.monotonic())
        self._say_hidden(user_id, device)

    def _say_hidden(self, user_id: str, device: str) -> None:
        # Beside what is said of its leases, not instead of that.
        self._say(user_id, _NO_DEVICE + device, [user_id, device, OFFLINE, _HIDES, -1, None])

    def _remember(self, key: _Key, *, hidden: bool) -> bool:
        """Whether a device is hidden; False if that is no news."""
        if hidden == (key in self._hidden):
            return False
        if (mine := self._mine.get(key)) is not None:
            # What it says next is news, also if its lease is long enough.
            mine.until = -inf
        if not hidden:
            del self._hidden[key]
            return True
        self._hidden[key] = None
        if len(self._hidden) > _MOST_HIDDEN:
            del self._hidden[next(iter(self._hidden))]
        return True

    def _mark(self, user_id: str, device: str, *, is_news: bool) -> None:
        """For those who begin after this process. Written on the edge only, with many others."""
        if device:
            hidden = (user_id, device) in self._hidden
            self._last_seen.mark(user_id, device, hidden=hidden, is_news=is_news)

    def _ended(self, user_id: str, device: str, process: str) -> None:
        if process == self._process and self._mine.pop((user_id, device), None) is not None:
            self._say(user_id, device, [user_id, device, OFFLINE, 0, -1, None])

    def _changed(self, user_id: str) -> None:
        for callback in tuple(self._watchers):
            callback(user_id)

    def _plan(self) -> None:
        """Turn the book when the next thing in it is due."""
        due = self._book.next_due
        if due >= self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        delay = max(0.0, due - self._clock.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay + _TICK_SECONDS, self._turn)

    def _turn(self) -> None:
        self._timer = None
        self._due = inf
        self._book.turn(self._clock.monotonic())
        self._plan()

    async def _presume(self) -> None:
        """Who was seen within the last hour is known; who was seen just now is taken to be there still. Of a
        device that is hidden nothing is told: neither that it is there, nor when it was.
        """
        now_ms, now = self._clock.now_ms(), self._clock.monotonic()
        async with self._db.read() as session:
            rows = await session.fetch(_SEEN, (now_ms - _RECENT_MS, _MOST_RECENT))
        for user_id, seen, hidden in rows:
            for device in hidden or ():
                self._remember((user_id, device), hidden=True)
            if seen is None:
                self._book.presume(user_id, self._process, now, -inf, now)
                continue
            ago_ms = max(0, now_ms - seen)
            is_there = ago_ms <= self._last_seen.every_ms + 1000 * (self._grace + self._further)
            until = now + self._grace + self._further if is_there else now
            # When they were last active is known within some minutes only: they are not idle at once.
            ago = min(ago_ms / 1000, self._idle / 2) if is_there else ago_ms / 1000
            self._book.presume(user_id, self._process, until, now - ago, now)
        self._plan()

    # --- the channel

    def _say(self, user_id: str, device: str, entry: list[Any]) -> None:
        """To the others, with the next batch. Of a device only the last counts; a status is not forgotten."""
        # The last of all: what is said of a device may depend on what was said of the user before.
        before = self._outgoing.pop((user_id, device), None)
        if before is not None and entry[5] is None:
            entry[5] = before[5]
        self._outgoing[user_id, device] = entry
        self._begin_sending()

    def _ask(self) -> None:
        """Let everybody say what they have, this process too: something of it may have been lost."""
        self._asks = True
        self._begin_sending()

    def _begin_sending(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        while self._outgoing or self._asks:
            await asyncio.sleep(GATHER_SECONDS)
            messages = [ASK] if self._asks else []
            self._asks = False
            entries = list(self._outgoing.values())
            self._outgoing.clear()
            for start in range(0, len(entries), _MOST_IN_MESSAGE):
                messages.append(orjson.dumps([self._process, entries[start : start + _MOST_IN_MESSAGE]]))
            for message in messages:
                try:
                    await self._ephemeral.publish(CHANNEL, message)
                except Exception:
                    # Said again when the lease goes on.
                    log.exception("presence was not published")

    def _hear(self, payload: bytes) -> None:
        if payload == ASK:
            if self._tells is None:
                delay = max(0.0, self._told + TELL_SECONDS - self._clock.monotonic())
                self._tells = asyncio.get_running_loop().call_later(delay, self._tell_all)
            return
        try:
            process, entries = orjson.loads(payload)
            if process != self._process:
                for entry in entries:
                    self._take(process, *entry)
        except (ValueError, TypeError):
            log.warning("what was published about presence is not understood")
        self._plan()

    def _take(
        self,
        process: str,
        user_id: str,
        device: str,
        state: int | None,
        lease_ms: int,
        ago_ms: int,
        status: list[Any] | None,
    ) -> None:
        now = self._clock.monotonic()
        if status is not None:
            # A process of an older version does not say when it was set.
            status_msg, ts = (*status, self._clock.now_ms())[:2]
            self._book.set_status(user_id, status_msg, ts, now)
        if state is not None and lease_ms > 0:
            self._remember((user_id, device), hidden=state == OFFLINE)
            self._book.lease(user_id, device, process, state, now + lease_ms / 1000, now)
        elif lease_ms == _HIDES:
            self._remember((user_id, device), hidden=True)
            self._book.presume_no_more(user_id, now)
        elif state is not None:
            self._book.end(user_id, device, process, now)
        if ago_ms >= 0:
            happened = self._book.act if state is None else self._book.active
            happened(user_id, now - ago_ms / 1000, now)

    def _tell_all(self) -> None:
        """Somebody has begun and knows nothing, or has missed something."""
        now = self._told = self._clock.monotonic()
        self._tells = None
        for user_id in tuple(self._statuses):
            if user_id in self._book:
                self._say(user_id, _STATUS, [user_id, "", None, 0, -1, self._book.status(user_id)])
            else:
                del self._statuses[user_id]
        for (user_id, device), mine in self._mine.items():
            status = self._book.status(user_id)
            ago = self.last_active_ago(user_id)
            self._say(
                user_id,
                device,
                [
                    user_id,
                    device,
                    self._book.device_state(user_id, device),
                    max(1, int((mine.told_until - now) * 1000)),
                    -1 if ago is None else ago,
                    status if status[1] else None,
                ],
            )
            if (user_id, device) in self._hidden:
                self._say_hidden(user_id, device)

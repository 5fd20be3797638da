"""Who is typing in which room, as this replica has heard it.

Edge-triggered: a user who goes on typing changes nothing, their time is only prolonged. When it is up, or
they leave the room, they have stopped, whether somebody says so or not.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping

from plexus.platform.ports import Ephemeral, Subscription
from plexus.rooms.typing import ASK, TYPING_CHANNEL, Typing, decode_typing, encode_typing
from plexus.sync.ephemeral.moments import Moments

log = logging.getLogger(__name__)

MOST_CHANGES = 50_000
"""Rooms whose last change is remembered. Tokens from before those that were forgotten are told all anew."""


class TypingBook:
    """``on_change`` is told of a room whose typists are others than before."""

    def __init__(self, moments: Moments, on_change: Callable[[str], None]) -> None:
        self._moments = moments
        self._on_change = on_change
        self._until: dict[str, dict[str, float]] = {}
        self._changed: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0
        self._queue: list[tuple[float, str, str]] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def rooms(self) -> Mapping[str, Collection[str]]:
        """The rooms in which somebody is typing, and who."""
        return self._until

    def who(self, room_id: str) -> list[str]:
        return sorted(self._until.get(room_id, ()))

    def take(self, typing: Typing) -> None:
        """Somebody types for so long from now on, or has stopped."""
        room_id, user_id, timeout_ms = typing
        if timeout_ms <= 0:
            self.stop(room_id, user_id)
            return
        until = asyncio.get_running_loop().time() + timeout_ms / 1000
        typists = self._until.setdefault(room_id, {})
        starts = user_id not in typists
        typists[user_id] = until
        heapq.heappush(self._queue, (until, room_id, user_id))
        if self._queue[0][0] == until:
            self._turn_at(until)
        if starts:
            self._note(room_id)

    def stop(self, room_id: str, user_id: str) -> None:
        typists = self._until.get(room_id)
        if typists is None or user_id not in typists:
            return
        del typists[user_id]
        if not typists:
            del self._until[room_id]
        self._note(room_id)

    def changed_since(self, epoch: int, moment: int) -> list[str] | None:
        """The rooms whose typists have changed since a moment of some replica; None if nobody knows."""
        after = self._moments.after(epoch, moment)
        if after is None or after < self._forgotten:
            return None
        found = []
        for room_id, changed in reversed(self._changed.items()):
            if changed <= after:
                break
            found.append(room_id)
        return found

    def everything(self) -> list[Typing]:
        """All typists, with the time they have left."""
        now = asyncio.get_running_loop().time()
        return [
            Typing(room_id, user_id, max(1, int((until - now) * 1000)))
            for room_id, typists in self._until.items()
            for user_id, until in typists.items()
        ]

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _note(self, room_id: str) -> None:
        self._changed[room_id] = self._moments.next()
        self._changed.move_to_end(room_id)
        if len(self._changed) > MOST_CHANGES:
            self._forgotten = self._changed.popitem(last=False)[1]
        self._on_change(room_id)

    def _turn_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._turn)

    def _turn(self) -> None:
        # A timer may be early by what the clock rounds; its own entry is due all the same.
        now = max(asyncio.get_running_loop().time(), self._queue[0][0] if self._queue else 0)
        while self._queue and self._queue[0][0] <= now:
            until, room_id, user_id = heapq.heappop(self._queue)
            if self._until.get(room_id, {}).get(user_id) == until:
                self.stop(room_id, user_id)
        self._timer = None
        if self._queue:
            self._turn_at(self._queue[0][0])


class TypingChannel:
    """Between the channel and the book of a replica."""

    def __init__(self, ephemeral: Ephemeral, book: TypingBook) -> None:
        self._ephemeral = ephemeral
        self._book = book
        self._subscription: Subscription | None = None
        self._answering: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._asked = False

    async def start(self) -> None:
        """Listen, and ask the others for what was said before."""
        self._subscription = await self._ephemeral.subscribe(TYPING_CHANNEL, self._hear, self._ask_again)
        await self._ask()

    async def stop(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
        tasks = [task for task in (self._answering, self._asking) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        self._book.close()

    async def _ask(self) -> None:
        await self._ephemeral.publish(TYPING_CHANNEL, ASK)

    def _ask_again(self) -> None:
        """Something may have been lost: let everybody say what they know, this replica too."""
        self._asking = asyncio.create_task(self._ask())

    def _hear(self, payload: bytes) -> None:
        if payload == ASK:
            self._asked = True
            if self._answering is None or self._answering.done():
                self._answering = asyncio.create_task(self._answer())
            return
        try:
            found = decode_typing(payload)
        except ValueError:
            log.warning("what was published about typing is not understood")
            return
        for typing in found:
            self._book.take(typing)

    async def _answer(self) -> None:
        """Say what is known. Who asks meanwhile may have begun to listen after it was said: then again."""
        while self._asked:
            self._asked = False
            known = self._book.everything()
            if known:
                await self._ephemeral.publish(TYPING_CHANNEL, encode_typing(known))

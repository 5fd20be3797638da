"""The lane fan-out: committed groups to whoever follows the lanes.

It may repeat, reorder and lose groups without harm: a `Follower` puts them in order and reads what is missing
from PostgreSQL. So an adapter needs neither acknowledgements nor storage.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from plexus.platform.lanes.facts import Group

log = logging.getLogger(__name__)


class Subscription(Protocol):
    def close(self) -> None: ...


class LaneFanout(Protocol):
    def publish(self, group: Group) -> None:
        """Hand on a committed group. Never blocks, never raises; calls no subscriber before it returns."""
        ...

    def subscribe(self, families: Sequence[str], callback: Callable[[Group], None]) -> Subscription:
        """Call ``callback`` in the event loop for each group of these families published from now on."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class MemoryFanout:
    """The embedded adapter: one process, one event loop.

    Groups published in one turn of the loop are handed on together in the next, so a subscriber never runs
    within the call of a writer.
    """

    def __init__(self) -> None:
        self._subscriptions: list[_MemorySubscription] = []
        self._waiting: list[Group] = []

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        self._subscriptions.clear()
        self._waiting.clear()

    def publish(self, group: Group) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._hand_on)
        self._waiting.append(group)

    def subscribe(self, families: Sequence[str], callback: Callable[[Group], None]) -> Subscription:
        subscription = _MemorySubscription(self, frozenset(families), callback)
        self._subscriptions.append(subscription)
        return subscription

    def _hand_on(self) -> None:
        groups, self._waiting = self._waiting, []
        for subscription in tuple(self._subscriptions):
            for group in groups:
                if group.family in subscription.families and not subscription.closed:
                    try:
                        subscription.callback(group)
                    except Exception:
                        # One bad subscriber must not keep the facts from the others; it reads what it missed.
                        log.exception("a lane subscriber failed")

    def _remove(self, subscription: _MemorySubscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)


class _MemorySubscription:
    def __init__(
        self, fanout: MemoryFanout, families: frozenset[str], callback: Callable[[Group], None]
    ) -> None:
        self._fanout = fanout
        self.families = families
        self.callback = callback
        self.closed = False

    def close(self) -> None:
        self.closed = True
        self._fanout._remove(self)

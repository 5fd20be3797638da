"""A fan-out as bad as a fan-out may be, around one that works: for tests only.

``PLEXUS_TEST_TORTURE=SEED`` puts it around the fan-out of every process that `open_platform` composes. A
setting it is not: no deployment has a use for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from plexus.platform.lanes.facts import Group
from plexus.platform.lanes.fanout import LaneFanout, Subscription

log = logging.getLogger(__name__)

VARIABLE = "PLEXUS_TEST_TORTURE"


@dataclass(frozen=True, slots=True)
class Shares:
    """Of the groups that arrive; ``late`` ones are overtaken by others, by up to ``latest`` seconds."""

    dropped: float = 0.2
    repeated: float = 0.2
    late: float = 0.2
    latest: float = 0.5


class TortureFanout:
    """Loses, repeats and delays what ``inner`` brings, for each subscription differently. The same seed and
    the same order of arrival give the same.
    """

    def __init__(self, inner: LaneFanout, seed: int, shares: Shares | None = None) -> None:
        self._inner = inner
        self._random = random.Random(seed)
        self._shares = shares or Shares()
        log.warning("torture: the fan-out loses, repeats and delays on purpose; seed %d", seed)

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    def publish(self, group: Group) -> None:
        self._inner.publish(group)

    def subscribe(self, families: Sequence[str], callback: Callable[[Group], None]) -> Subscription:
        subscription = _Tortured(self._random, self._shares, callback)
        subscription.inner = self._inner.subscribe(families, subscription.arrived)
        return subscription


class _Tortured:
    inner: Subscription

    def __init__(self, dice: random.Random, shares: Shares, callback: Callable[[Group], None]) -> None:
        self._dice = dice
        self._shares = shares
        self._callback = callback
        self._closed = False

    def close(self) -> None:
        self._closed = True
        self.inner.close()

    def arrived(self, group: Group) -> None:
        for _ in range(2 if self._dice.random() < self._shares.repeated else 1):
            if self._dice.random() < self._shares.dropped:
                continue
            if self._dice.random() < self._shares.late:
                delay = self._dice.random() * self._shares.latest
                asyncio.get_running_loop().call_later(delay, self._pass_on, group)
            else:
                self._pass_on(group)

    def _pass_on(self, group: Group) -> None:
        if not self._closed:
            self._callback(group)


def tortured(fanout: LaneFanout) -> LaneFanout:
    """``fanout``, tortured if the environment says so."""
    seed = os.environ.get(VARIABLE)
    return TortureFanout(fanout, int(seed)) if seed else fanout

"""A load that goes on while parts of a server are killed or frozen under it, and what it must never see.

async with storm(base_url) as load:
    print(await load.strike("kill -9 redis", redis.kill))
# leaving: what had no answer is sent again, and everything answered is with everybody, once, in order
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tests.support.senders import Ledger, check, make_ledgers
from tests.support.watchers import Watcher, check_told, make_watchers

SENDERS = 16
MEMBERS = 50
PAUSE = 0.2
"""Seconds that a sender rests between two sends: the load shares the cores with what it loads."""


@dataclass(frozen=True)
class Recovery:
    """``sends``: seconds from the strike until every sender had an answer to a send begun after it;
    ``syncs``: until every member had been told all that was answered by then.
    """

    what: str
    sends: float
    syncs: float

    def __str__(self) -> str:
        return f"{self.what:28s} sends again after {self.sends:5.2f} s, syncs after {self.syncs:5.2f} s"


class Load:
    def __init__(self, ledgers: list[Ledger], watchers: list[Watcher]) -> None:
        self.ledgers = ledgers
        self.watchers = watchers
        self.recoveries: list[Recovery] = []

    @property
    def answered(self) -> int:
        return sum(len(ledger.answered) for ledger in self.ledgers)

    @property
    def failures(self) -> int:
        """Requests that had no answer or 5xx: sends that were not answered, and syncs."""
        return sum(watcher.failures for watcher in self.watchers) + sum(
            ledger.failures for ledger in self.ledgers
        )

    @property
    def complaints(self) -> dict[str, int]:
        """What syncs failed with, and how often."""
        return dict(Counter(f"{type(w).__name__}: {why}" for w in self.watchers for why in w.failed))

    async def strike(
        self,
        what: str,
        action: Callable[[], object],
        heal: Callable[[], object] | None = None,
        *,
        after: float = 0,
        patience: float = 60,
    ) -> Recovery:
        """Do ``action``, after some seconds ``heal``, and wait until all goes on.

        The clock runs from the action, or from ``heal`` if there is one. `AssertionError` after ``patience``.
        """
        seen = {ledger.client.user_id: len(ledger.answered) for ledger in self.ledgers}
        began = time.monotonic()
        await asyncio.to_thread(action)
        if heal is not None:
            await asyncio.sleep(after)
            began = time.monotonic()
            await asyncio.to_thread(heal)
        struck = time.monotonic()
        await self._until(
            lambda: all(ledger.answered_at >= struck for ledger in self.ledgers),
            began + patience,
            lambda: f"{what}: {sum(x.answered_at < struck for x in self.ledgers)} senders have no answer",
        )
        sends = time.monotonic() - began
        goal: dict[str, list[str]] = defaultdict(list)
        for ledger in self.ledgers:
            goal[ledger.room_id] += list(ledger.answered.values())[seen[ledger.client.user_id] :]
        owed = [
            (watcher, {event for room_id in watcher.last for event in goal.get(room_id, ())})
            for watcher in self.watchers
        ]
        await self._until(
            lambda: all(watcher.heard_at.keys() >= events for watcher, events in owed),
            began + patience,
            lambda: f"{what}: {sum(not w.heard_at.keys() >= e for w, e in owed)} members lack events",
        )
        recovery = Recovery(what, sends, time.monotonic() - began)
        self.recoveries.append(recovery)
        print(recovery, flush=True)
        return recovery

    @staticmethod
    async def _until(met: Callable[[], bool], deadline: float, complaint: Callable[[], str]) -> None:
        while not met():
            assert time.monotonic() < deadline, complaint()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def storm(
    base_url: str,
    *,
    senders: int = SENDERS,
    members: int = MEMBERS,
    pause: float = PAUSE,
    patience: float = 30,
) -> AsyncIterator[Load]:
    """The load, from its first send to the proof that nothing was lost, doubled or told out of order."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        ledgers = await make_ledgers(session, base_url, senders)
        watchers = await make_watchers(session, base_url, ledgers, members)
        async with going_on(ledgers, watchers, pause, patience) as load:
            yield load


@asynccontextmanager
async def going_on(
    ledgers: list[Ledger], watchers: list[Watcher], pause: float, patience: float
) -> AsyncIterator[Load]:
    """The load of these senders and watchers, who have begun, and the proof at its end."""
    load = Load(ledgers, watchers)
    stop_sends, stop_syncs = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        sending = [group.create_task(ledger.send_until(stop_sends, "storm", pause)) for ledger in ledgers]
        for watcher in watchers:
            group.create_task(watcher.run(stop_syncs))
        try:
            await asyncio.sleep(1)
            yield load
            stop_sends.set()
            await asyncio.gather(*sending)
            for ledger in ledgers:
                await ledger.retry_all()
            deliveries = await check_told(ledgers, watchers, patience)
        finally:
            # The polls that are held end by a last message to everybody.
            stop_sends.set()
            stop_syncs.set()
            for room_id in dict.fromkeys(ledger.room_id for ledger in ledgers):
                sender = next(ledger for ledger in ledgers if ledger.room_id == room_id)
                await sender.send("the end")
    await check(ledgers)
    print(
        f"{load.answered} sends answered, {deliveries} deliveries, each once and in order; "
        f"{load.failures} requests failed on the way",
        flush=True,
    )

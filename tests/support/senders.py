"""Senders that keep going while a server dies under them, and remember what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from tests.support.matrix import Client, Json, MatrixError


@dataclass
class Ledger:
    """What one sender did in one room: answers by transaction id, and what was not answered."""

    client: Client
    room_id: str
    answered: dict[str, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    answered_at: float = 0
    """When the last send that was answered had begun, by the monotonic clock."""
    failures: int = 0

    def body(self, txn_id: str) -> str:
        return f"{self.client.user_id} {txn_id}"

    async def send(self, txn_id: str) -> None:
        """Send once; note the answer, or that there was none (a refusal to write, 5xx, counts as none)."""
        began = time.monotonic()
        try:
            event_id = await self.client.send(self.room_id, self.body(txn_id), txn_id, timeout=20)
        except (aiohttp.ClientError, TimeoutError):
            self.failures += 1
            self.unanswered.add(txn_id)
        except MatrixError as error:
            if error.status < 500:
                raise
            self.failures += 1
            self.unanswered.add(txn_id)
        else:
            before = self.answered.setdefault(txn_id, event_id)
            assert before == event_id, f"{txn_id} was answered {before}, then {event_id}"
            self.unanswered.discard(txn_id)
            self.answered_at = max(self.answered_at, began)

    async def send_until(self, stop: asyncio.Event, prefix: str, pause: float = 0) -> None:
        """Send until told to stop, with ``pause`` seconds in between."""
        number = 0
        while not stop.is_set():
            number += 1
            txn_id = f"{prefix}-{number}"
            await self.send(txn_id)
            # A server that is gone is not to be asked in a spin.
            rest = max(pause, 0.05) if txn_id in self.unanswered else pause
            if rest:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), rest)

    async def retry_all(self) -> None:
        """Send again what had no answer, and the last ten that had one."""
        for txn_id in [*self.unanswered, *list(self.answered)[-10:]]:
            await self.send(txn_id)
        assert not self.unanswered, "a retry on a healthy server was not answered"


async def make_ledgers(session: aiohttp.ClientSession, base_url: str, count: int) -> list[Ledger]:
    """`count` senders: the even ones share one room, each odd one has a room of its own."""
    run = secrets.token_hex(3)
    clients = [await Client(session, base_url).register(f"sender{number}-{run}") for number in range(count)]
    shared = await clients[0].create_room(preset="public_chat")
    ledgers = []
    for number, client in enumerate(clients):
        if number % 2:
            ledgers.append(Ledger(client, await client.create_room(preset="public_chat")))
        else:
            if number:
                await client.join(shared)
            ledgers.append(Ledger(client, shared))
    return ledgers


async def check(ledgers: list[Ledger]) -> int:
    """Every answered event is in its room's history once, with what was sent; and nothing came twice.

    :returns: the number of messages found.
    """
    found = 0
    histories: dict[str, list[Json]] = {}
    for ledger in ledgers:
        if ledger.room_id not in histories:
            histories[ledger.room_id] = await ledger.client.history(ledger.room_id)
        messages = [event for event in histories[ledger.room_id] if event["type"] == "m.room.message"]
        mine = {event["event_id"]: event["content"]["body"] for event in messages}
        twice = [body for body, times in Counter(e["content"]["body"] for e in messages).items() if times > 1]
        assert not twice, f"sent once, there twice: {twice[:5]}"
        missing = {
            txn_id: event_id
            for txn_id, event_id in ledger.answered.items()
            if mine.get(event_id) != ledger.body(txn_id)
        }
        assert not missing, f"answered and gone: {missing}"
        found += len(ledger.answered)
    return found

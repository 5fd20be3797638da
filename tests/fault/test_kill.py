"""kill -9 under load: what was answered is there, once; and a retry makes no second event."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable

import aiohttp
import psutil
import pytest

from tests.support.backends import backends
from tests.support.matrix import Client
from tests.support.senders import Ledger, check, make_ledgers
from tests.support.server import PlexusServer

SENDERS = 16


async def under_load(ledgers: list[Ledger], prefix: str, seconds: float, strike: Callable[[], None]) -> None:
    """Let all send for some seconds, strike, and let them run into it for a moment."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(ledger.send_until(stop, prefix)) for ledger in ledgers]
    await asyncio.sleep(seconds)
    await asyncio.to_thread(strike)
    await asyncio.sleep(0.5)
    stop.set()
    await asyncio.gather(*tasks)


async def healthy_again(server: PlexusServer, ledger: Ledger, patience: float = 60) -> None:
    """Wait until a write is answered; a server that has ended itself is started again, as an init would."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not server.running:
            await asyncio.to_thread(server.start)
        await ledger.send("after-recovery")
        if "after-recovery" in ledger.answered:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(f"no write was answered for {patience} s:\n{server.tail()}")


@pytest.mark.timeout(240)
async def test_kill_9_of_the_server(fresh_plexus: PlexusServer) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        ledgers = await make_ledgers(session, fresh_plexus.base_url, SENDERS)
        for number in range(3):
            before = sum(len(ledger.answered) for ledger in ledgers)
            await under_load(ledgers, f"round{number}", random.uniform(1, 2), fresh_plexus.kill)
            assert sum(len(ledger.answered) for ledger in ledgers) > before + SENDERS, (
                "hardly anything was sent"
            )
            assert any(ledger.unanswered for ledger in ledgers), "nobody noticed the kill"
            await asyncio.to_thread(fresh_plexus.start)
            await check(ledgers)
            for ledger in ledgers:
                await ledger.retry_all()
            await check(ledgers)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("whom", ["postmaster", "backend"])
async def test_kill_9_of_postgresql(fresh_plexus: PlexusServer, whom: str) -> None:
    """The postmaster dies, or one backend does and PostgreSQL throws all connections out and recovers."""

    struck: list[psutil.Process] = []

    def strike() -> None:
        postmaster = fresh_plexus.postgres_pid()
        assert postmaster is not None
        struck[:] = backends(postmaster)
        if whom == "postmaster":
            os.kill(postmaster, signal.SIGKILL)
        else:
            random.choice(struck).kill()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        ledgers = await make_ledgers(session, fresh_plexus.base_url, SENDERS)
        before = fresh_plexus.postgres_pid()
        await under_load(ledgers, "load", 2, strike)
        # A send that waits for its connection may be answered late and not refused. Then another postmaster
        # shows the kill of one, and that every backend is another the kill of one of these.
        noticed = any(ledger.unanswered for ledger in ledgers)
        if whom == "postmaster":
            noticed |= fresh_plexus.postgres_pid() != before
        else:
            noticed |= not any(backend.is_running() for backend in struck)
        assert struck and noticed, "nobody noticed the kill"
        await healthy_again(fresh_plexus, ledgers[0])
        await check(ledgers)
        for ledger in ledgers:
            await ledger.retry_all()
        await check(ledgers)


@pytest.mark.timeout(240)
async def test_kill_9_while_setting_up(fresh_plexus: PlexusServer) -> None:
    """A first start that is cut off anywhere is finished by the next."""
    fresh_plexus.stop()
    for delay in (0.8, 1.6, 2.6):
        other = PlexusServer(fresh_plexus.data.with_name(f"cut-{delay}"))
        process = await asyncio.create_subprocess_exec(
            *other.command(), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await asyncio.sleep(delay)
        process.kill()
        await process.wait()
        with other:
            async with aiohttp.ClientSession() as session:
                alice = await Client(session, other.base_url).register("alice")
                room_id = await alice.create_room()
                assert await alice.send(room_id, "up and well") in [
                    event["event_id"] for event in await alice.history(room_id)
                ]

"""Held polls: woken, timed out, ended."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

import pytest
from plexus.sync.replica.polls import TICK_SECONDS, Poll, Wheel


def poll() -> Poll:
    return Poll("DEVICE", asyncio.get_running_loop().create_future())


async def test_a_poll_ends_at_its_deadline_and_not_before() -> None:
    wheel, loop = Wheel(), asyncio.get_running_loop()
    began = loop.time()
    await wheel.hold(poll(), began + 0.4)
    assert 0.4 <= loop.time() - began < 0.4 + 3 * TICK_SECONDS
    assert wheel.held == 0


async def test_a_woken_poll_leaves_nothing_behind() -> None:
    wheel = Wheel()
    held = poll()
    waiting = asyncio.create_task(wheel.hold(held, asyncio.get_running_loop().time() + 30))
    await asyncio.sleep(0)
    assert wheel.held == 1
    held.wake()
    held.wake()
    await waiting
    assert wheel.held == 0
    assert not wheel._ticks


async def test_all_polls_can_be_woken_at_once() -> None:
    wheel, loop = Wheel(), asyncio.get_running_loop()
    waiting = [asyncio.create_task(wheel.hold(poll(), loop.time() + 10 + n)) for n in range(50)]
    await asyncio.sleep(0)
    assert wheel.held == 50
    wheel.wake_all()
    await asyncio.wait_for(asyncio.gather(*waiting), 1)
    assert wheel.held == 0


async def test_a_cancelled_poll_is_forgotten() -> None:
    wheel = Wheel()
    waiting = asyncio.create_task(wheel.hold(poll(), asyncio.get_running_loop().time() + 30))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert wheel.held == 0 and not wheel._ticks


async def test_a_poll_costs_less_than_a_kilobyte_besides_its_task() -> None:
    wheel, loop = Wheel(), asyncio.get_running_loop()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    holds = [wheel.hold(poll(), loop.time() + 30) for _ in range(2_000)]
    for hold in holds:
        hold.send(None)
    each = (tracemalloc.get_traced_memory()[0] - before) / 2_000
    tracemalloc.stop()
    for hold in holds:
        hold.close()
    assert each < 1_000

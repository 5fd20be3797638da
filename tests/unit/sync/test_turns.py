"""Those who come at once are looked into a few at a time, in the order in which they came."""

from __future__ import annotations

import asyncio

from plexus.sync.turns import Turns


async def test_a_few_at_a_time_in_the_order_in_which_they_came() -> None:
    turns = Turns(3)
    going_on = asyncio.Event()
    within, most, order = 0, 0, []

    async def come(number: int) -> None:
        nonlocal within, most
        async with turns:
            within += 1
            most = max(most, within)
            order.append(number)
            await going_on.wait()
            await asyncio.sleep(0)
            within -= 1

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(come(number))
        await asyncio.sleep(0.01)
        assert turns.waiting == 7
        going_on.set()
    assert most == 3
    assert order == list(range(10))
    assert turns.waiting == 0


async def test_who_leaves_while_waiting_takes_nobodys_turn() -> None:
    turns = Turns(1)
    async with turns:
        leaving = asyncio.create_task(turns.__aenter__())
        await asyncio.sleep(0)
        assert turns.waiting == 1
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert turns.waiting == 0
    async with asyncio.timeout(1), turns:
        pass

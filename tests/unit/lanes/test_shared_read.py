from __future__ import annotations

import asyncio

import pytest
from plexus.platform.lanes.shared_read import SharedRead


class Source:
    """Reads that begin and end when the test says so."""

    def __init__(self) -> None:
        self.value = 0
        self.began = 0
        self.may_end = asyncio.Event()

    async def read(self) -> int:
        self.began += 1
        found = self.value
        await self.may_end.wait()
        if found < 0:
            raise ConnectionError("gone")
        return found


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_asks_during_a_read_shares_the_next_one() -> None:
    source = Source()
    shared = SharedRead(source.read)
    first = [asyncio.create_task(shared.get()) for _ in range(3)]
    await settled()
    assert source.began == 1
    source.value = 1
    second = [asyncio.create_task(shared.get()) for _ in range(3)]
    await settled()
    # One of those who wait goes; the others do not mind.
    second[0].cancel()
    await settled()
    assert source.began == 1
    source.may_end.set()
    assert await asyncio.gather(*first, *second[1:]) == [0, 0, 0, 1, 1]
    assert source.began == 2
    source.value = 2
    assert await shared.get() == 2


async def test_a_read_that_fails_fails_for_those_who_shared_it() -> None:
    source = Source()
    shared = SharedRead(source.read)
    source.value = -1
    failing = [asyncio.create_task(shared.get()) for _ in range(2)]
    await settled()
    source.value = 5
    later = asyncio.create_task(shared.get())
    source.may_end.set()
    for task in failing:
        with pytest.raises(ConnectionError):
            await task
    assert await later == 5

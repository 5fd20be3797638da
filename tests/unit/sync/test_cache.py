"""What is kept of fragments: by room, within a bound, made once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from plexus.sync.fragments.cache import RoomCache


@dataclass
class Value:
    size: int


def test_what_was_used_least_recently_goes_first() -> None:
    cache: RoomCache[Value] = RoomCache(100)
    for name in "abcdefghij":
        cache.put(("!r", name), Value(10))
    assert cache.get(("!r", "a")) is not None
    cache.put(("!r", "k"), Value(10))
    assert cache.get(("!r", "b")) is None
    assert cache.get(("!r", "a")) is not None
    assert cache.bytes == 100


def test_a_value_that_would_crowd_out_the_others_is_not_kept() -> None:
    cache: RoomCache[Value] = RoomCache(100)
    cache.put(("!r", 1), Value(13))
    assert len(cache) == 0


def test_a_room_is_forgotten_at_once() -> None:
    cache: RoomCache[Value] = RoomCache(100)
    cache.put(("!r", 1), Value(5))
    cache.put(("!r", 2), Value(5))
    cache.put(("!s", 1), Value(5))
    cache.forget("!r")
    assert cache.bytes == 5 and len(cache) == 1
    cache.forget("!unknown")


async def test_the_first_makes_it_and_the_others_wait() -> None:
    cache: RoomCache[Value] = RoomCache(100)
    made = 0

    async def build() -> Value:
        nonlocal made
        made += 1
        await asyncio.sleep(0.01)
        return Value(5)

    values = await asyncio.gather(*(cache.get_or_build(("!r", 1), build) for _ in range(10)))
    assert made == 1
    assert all(value is values[0] for value in values)


async def test_when_the_first_fails_the_next_one_tries() -> None:
    cache: RoomCache[Value] = RoomCache(100)
    tries = 0

    async def build() -> Value:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0)
        if tries == 1:
            raise RuntimeError("the database went away")
        return Value(5)

    results = await asyncio.gather(
        *(cache.get_or_build(("!r", 1), build) for _ in range(3)), return_exceptions=True
    )
    assert [isinstance(result, RuntimeError) for result in results] == [True, False, False]
    assert tries == 2


async def test_what_is_forgotten_while_it_is_made_is_not_kept() -> None:
    cache: RoomCache[Value] = RoomCache(100)
    gate = asyncio.Event()

    async def build() -> Value:
        await gate.wait()
        return Value(5)

    making = asyncio.create_task(cache.get_or_build(("!r", 1), build))
    await asyncio.sleep(0)
    cache.forget("!r")
    gate.set()
    await making
    assert cache.get(("!r", 1)) is None


async def test_who_waits_is_not_harmed_by_a_cancelled_maker() -> None:
    cache: RoomCache[Value] = RoomCache(100)

    async def build() -> Value:
        await asyncio.sleep(0.01)
        return Value(5)

    first = asyncio.create_task(cache.get_or_build(("!r", 1), build))
    await asyncio.sleep(0)
    second = asyncio.create_task(cache.get_or_build(("!r", 1), build))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await second).size == 5

"""What `Marks` promises, of each adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from plexus.platform.clock import ManualClock
from plexus.platform.marks import TTL_SECONDS, Marks, MemoryMarks, NoMarks
from plexus.platform.redis import RedisConnection, RedisMarks

from tests.support.redis import Place

ALICE, BOB = "@alice:x", "@bob:x"


@dataclass
class Subject:
    """``other`` is of another replica, if the adapter has such."""

    marks: Marks
    other: Marks
    age: Callable[[float], None]


@pytest.fixture(params=["memory", "redis"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        clock = ManualClock()
        marks = MemoryMarks(clock)
        yield Subject(marks, marks, clock.advance)
        return
    place: Place = request.getfixturevalue("redis")
    connections = [RedisConnection(place.settings()) for _ in range(2)]
    for connection in connections:
        await connection.start()
    one, other = (RedisMarks(connection) for connection in connections)
    # An empty Redis may have been another one a moment ago.
    assert await one.get(ALICE) is None
    place.age(TTL_SECONDS)
    yield Subject(one, other, place.age)
    for connection in connections:
        await connection.close()


async def test_who_has_written_nothing_has_no_marks(subject: Subject) -> None:
    assert await subject.marks.get(ALICE) == {}
    assert await subject.other.get(ALICE) == {}


async def test_marks_merge_by_maximum(subject: Subject) -> None:
    await subject.marks.set(ALICE, {("r", 1): 5, ("u", 2): 7})
    await subject.other.set(ALICE, {("r", 1): 3, ("r", 63): 2**62})
    for marks in (subject.marks, subject.other):
        assert await marks.get(ALICE) == {("r", 1): 5, ("u", 2): 7, ("r", 63): 2**62}
        assert await marks.get(BOB) == {}
    await subject.marks.set(ALICE, {("r", 63): 2**62 + 1, ("r", 1): 10})
    assert await subject.other.get(ALICE) == {("r", 1): 10, ("u", 2): 7, ("r", 63): 2**62 + 1}


async def test_marks_of_many_at_once(subject: Subject) -> None:
    await asyncio.gather(
        *(
            marks.set(ALICE, {("r", lane): position})
            for position in range(1, 20)
            for lane in range(3)
            for marks in (subject.marks, subject.other)
        )
    )
    assert await subject.marks.get(ALICE) == {("r", 0): 19, ("r", 1): 19, ("r", 2): 19}


async def test_marks_expire_after_the_last_one(subject: Subject) -> None:
    marks = subject.marks
    await marks.set(ALICE, {("r", 1): 5})
    subject.age(TTL_SECONDS - 10)
    await marks.set(ALICE, {("r", 2): 6})
    subject.age(TTL_SECONDS - 10)
    assert await marks.get(ALICE) == {("r", 1): 5, ("r", 2): 6}
    subject.age(10)
    assert await marks.get(ALICE) == {}
    await marks.set(ALICE, {("r", 1): 1})
    assert await marks.get(ALICE) == {("r", 1): 1}


async def test_memory_is_bounded_and_says_what_it_does_not_know() -> None:
    clock = ManualClock()
    marks = MemoryMarks(clock, users=3)
    for n in range(5):
        await marks.set(f"@{n}:x", {("r", 1): 1})
    assert [await marks.get(f"@{n}:x") for n in range(5)] == [None, None, *[{("r", 1): 1}] * 3]
    assert await marks.get("@nobody:x") is None
    clock.advance(TTL_SECONDS)
    assert await marks.get("@nobody:x") == {}


async def test_who_shares_none_knows_nothing() -> None:
    marks: Marks = NoMarks()
    await marks.set(ALICE, {("r", 1): 5})
    assert await marks.get(ALICE) is None
    assert await marks.get_many([ALICE, BOB]) is None
    assert not marks.at_hand

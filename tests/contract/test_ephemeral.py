"""What `Ephemeral` promises, of each adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from plexus.platform.clock import ManualClock
from plexus.platform.ephemeral import MemoryEphemeral
from plexus.platform.limits import RateLimiter
from plexus.platform.ports import Ephemeral
from plexus.platform.redis import RedisConnection, RedisEphemeral
from plexus.platform.settings import RateLimits
from plexus.protocol.errors import LimitExceeded

from tests.support.redis import Place


@dataclass
class Subject:
    store: Ephemeral
    age: Callable[[float], None]

    async def pass_time(self, seconds: float) -> None:
        """By the clock of the adapter, whatever that is."""
        self.age(seconds)

    async def hears(self, heard: list[bytes], *expected: bytes) -> None:
        """Wait for what is to arrive; a moment more shows that nothing else does."""
        async with asyncio.timeout(5):
            while len(heard) < len(expected):
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.02)
        assert heard == list(expected)


@pytest.fixture(params=["memory", "redis"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    clock = ManualClock()
    if request.param == "memory":
        made = Subject(MemoryEphemeral(clock), clock.advance)
        yield made
        await made.store.close()
        return
    place: Place = request.getfixturevalue("redis")
    connection = RedisConnection(place.settings())
    await connection.start()
    made = Subject(RedisEphemeral(connection, clock), place.age)
    yield made
    await made.store.close()
    await connection.close()


async def test_values_until_they_expire(subject: Subject) -> None:
    store = subject.store
    assert await store.get("k") is None
    await store.set("k", b"\0v", ttl_ms=100_000)
    assert await store.get("k") == b"\0v"
    await subject.pass_time(50)
    await store.set("k", b"w", ttl_ms=100_000)
    await subject.pass_time(70)
    assert await store.get("k") == b"w"
    await subject.pass_time(40)
    assert await store.get("k") is None
    await store.set("k", b"x", ttl_ms=100_000)
    await store.delete("k")
    await store.delete("k")
    assert await store.get("k") is None


async def test_counters_live_as_long_as_their_first_increment_said(subject: Subject) -> None:
    store = subject.store
    assert await store.increment("n", ttl_ms=100_000) == 1
    await subject.pass_time(60)
    assert await store.increment("n", 4, ttl_ms=100_000) == 5
    await subject.pass_time(60)
    assert await store.increment("n", ttl_ms=100_000) == 1


async def test_increments_of_many_are_all_counted(subject: Subject) -> None:
    await asyncio.gather(*(subject.store.increment("n", ttl_ms=60_000) for _ in range(50)))
    assert await subject.store.increment("n", ttl_ms=60_000) == 51


async def test_a_key_is_of_one_kind(subject: Subject) -> None:
    store = subject.store
    await store.set("bytes", b"x", ttl_ms=60_000)
    await store.merge_max("numbers", {"a": 1}, ttl_ms=60_000)
    with pytest.raises(TypeError, match="holds no number"):
        await store.increment("bytes", ttl_ms=60_000)
    with pytest.raises(TypeError, match="holds no numbers"):
        await store.merge_max("bytes", {"a": 1}, ttl_ms=60_000)
    with pytest.raises(TypeError, match="holds no numbers"):
        await store.numbers("bytes")
    with pytest.raises(TypeError, match="holds no bytes"):
        await store.get("numbers")


async def test_any_text_is_a_key(subject: Subject) -> None:
    # As a client may send it: half of a pair is valid JSON.
    await subject.store.set("\ud800 ü\n", b"x", ttl_ms=60_000)
    assert await subject.store.get("\ud800 ü\n") == b"x"
    assert await subject.store.take("\ud800", per_second=1, burst=1) == 0


async def test_numbers_merge_by_maximum(subject: Subject) -> None:
    store = subject.store
    assert await store.numbers("m") == {}
    await store.merge_max("m", {"r1": 5, "r2": -2}, ttl_ms=100_000)
    await store.merge_max("m", {"r1": 3, "r2": -1, "u1": 2**62}, ttl_ms=100_000)
    assert await store.numbers("m") == {"r1": 5, "r2": -1, "u1": 2**62}
    await subject.pass_time(90)
    await store.merge_max("m", {}, ttl_ms=100_000)
    await subject.pass_time(90)
    assert len(await store.numbers("m")) == 3
    await subject.pass_time(20)
    assert await store.numbers("m") == {}


async def test_a_bucket(subject: Subject) -> None:
    take = subject.store.take
    waits = [await take("b", per_second=0.02, burst=3) for _ in range(4)]
    assert waits[:3] == [0, 0, 0]
    # Rates so low that the time a real server needs is nothing beside them.
    assert waits[3] == pytest.approx(50, abs=5)
    # A refusal has cost nothing.
    await subject.pass_time(50)
    assert await take("b", per_second=0.02, burst=3, cost=0) == 0
    assert await take("b", per_second=0.02, burst=3) == 0
    assert await take("b", per_second=0.02, burst=3, cost=0) > 0
    assert await take("b", per_second=0.02, burst=3, cost=3) == pytest.approx(150, abs=5)
    # It fills no further than to the brim.
    await subject.pass_time(10_000)
    assert await take("b", per_second=0.02, burst=3, cost=3) == 0
    assert await take("b", per_second=0.02, burst=3) > 0
    assert await take("other", per_second=0.02, burst=3) == 0


async def test_what_is_published_reaches_all_who_subscribed(subject: Subject) -> None:
    store = subject.store
    await store.publish("c", b"before")
    first: list[bytes] = []
    second: list[bytes] = []
    one = await store.subscribe("c", first.append)
    two = await store.subscribe("c", second.append)
    await store.publish("c", b"1")
    await store.publish("d", b"elsewhere")
    await subject.hears(first, b"1")
    one.close()
    one.close()
    await store.publish("c", b"2")
    await subject.hears(second, b"1", b"2")
    two.close()
    assert first == [b"1"]
    # Once nobody is left, and then somebody again.
    again: list[bytes] = []
    await store.subscribe("c", again.append)
    await store.publish("c", b"3")
    await subject.hears(again, b"3")
    assert (first, second) == ([b"1"], [b"1", b"2"])


async def test_a_subscriber_that_fails_is_alone_in_it(subject: Subject) -> None:
    def fail(_: bytes) -> None:
        raise RuntimeError("mine")

    heard: list[bytes] = []
    await subject.store.subscribe("c", fail)
    await subject.store.subscribe("c", heard.append)
    await subject.store.publish("c", b"1")
    await subject.hears(heard, b"1")


async def test_rate_limits_stand_on_it(subject: Subject) -> None:
    limits = RateLimiter(
        subject.store,
        RateLimits.model_validate(
            {"message": {"per_second": 0.005, "burst": 2}, "login_account": {"per_second": 0.001, "burst": 1}}
        ),
    )
    await limits.check("message", "@a")
    await limits.check("message", "@a")
    with pytest.raises(LimitExceeded) as caught:
        await limits.check("message", "@a")
    assert 190_000 <= caught.value.retry_after_ms <= 200_001
    await limits.check("message", "@b")
    await subject.pass_time(caught.value.retry_after_ms / 1000)
    await limits.check("message", "@a")
    # Failed logins: asking is free, each failure pays.
    for _ in range(3):
        await limits.check("login_account", "@a", cost=0)
    await limits.pay("login_account", "@a")
    await limits.pay("login_account", "@a")
    with pytest.raises(LimitExceeded):
        await limits.check("login_account", "@a", cost=0)
    with pytest.raises(KeyError):
        await limits.check("massage", "@a")
    off = RateLimiter(subject.store, RateLimits(enabled=False))
    for _ in range(100):
        await off.check("login_account", "@a")


async def test_what_nobody_asks_for_does_not_pile_up() -> None:
    clock = ManualClock()
    store = MemoryEphemeral(clock)
    for number in range(1_000):
        await store.set(f"k{number}", b"", ttl_ms=10)
        await store.take(f"b{number}", per_second=100, burst=2)
        clock.advance(0.01)
    assert len(store) < 50

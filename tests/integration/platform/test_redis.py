"""Redis killed, frozen, emptied, full: what goes on without, how fast, and what is known to be missing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from plexus.platform.cache import REMEMBERED_SECONDS
from plexus.platform.clock import ManualClock
from plexus.platform.marks import TTL_SECONDS
from plexus.platform.redis import RedisAway, RedisCache, RedisConnection, RedisEphemeral, RedisMarks
from plexus.platform.settings import RedisSettings, SettingsError
from plexus.platform.telemetry import Counter, Gauge, Metrics
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.support.redis import Place, own_redis, redis

__all__ = ["own_redis", "redis"]

ALICE = "@alice:x"
TTL = 60_000


@dataclass
class Process:
    """What one process has of Redis."""

    connection: RedisConnection
    ephemeral: RedisEphemeral
    cache: RedisCache
    marks: RedisMarks
    clock: ManualClock
    metrics: Metrics

    async def until(self, up: bool, patience: float = 20) -> None:
        async with asyncio.timeout(patience):
            while self.connection.up is not up:
                await asyncio.sleep(0.01)

    def measured(self, name: str) -> float:
        [found] = [instrument for instrument in self.metrics.all() if instrument.name == name]
        if isinstance(found, Gauge):
            return sum(value for _, value in found.readings())
        assert isinstance(found, Counter)
        return sum(cell.value for _, cell in found.series())


@asynccontextmanager
async def process(place: Place, **settings: float) -> AsyncIterator[Process]:
    metrics, clock = Metrics(), ManualClock()
    connection = RedisConnection(place.settings(**settings), metrics)  # type: ignore[arg-type]  # ms are whole
    made = Process(
        connection,
        RedisEphemeral(connection, clock),
        RedisCache(connection),
        RedisMarks(connection),
        clock,
        metrics,
    )
    await connection.start()
    yield made
    await made.ephemeral.close()
    await connection.close()


async def within(seconds: float, call: Callable[[], object]) -> None:
    began = time.monotonic()
    await call()  # type: ignore[misc]  # whatever it answers
    assert time.monotonic() - began < seconds


async def settle(one: Process, place: Place) -> None:
    """An empty Redis that has been empty for long enough to be believed."""
    await one.marks.get(ALICE)
    await one.cache.put("k", b"", generation=1, position=1, ttl_ms=TTL)
    place.age(max(TTL_SECONDS, REMEMBERED_SECONDS))
    assert await one.marks.get(ALICE) == {}


async def test_real_times_to_live(redis: Place) -> None:
    async with process(redis) as one:
        await settle(one, redis)
        await one.ephemeral.set("k", b"x", ttl_ms=50)
        await one.ephemeral.increment("n", ttl_ms=50)
        await one.cache.put("c", b"x", generation=1, position=1, ttl_ms=50)
        assert await one.ephemeral.take("b", per_second=2, burst=1) == 0
        assert 0 < await one.ephemeral.take("b", per_second=2, burst=1) <= 0.5
        await asyncio.sleep(0.6)
        assert await one.ephemeral.get("k") is None
        assert await one.ephemeral.increment("n", ttl_ms=50) == 1
        assert await one.cache.get("c", generation=1) is None
        assert await one.ephemeral.take("b", per_second=2, burst=1) == 0


async def test_nothing_is_kept_for_ever(redis: Place) -> None:
    async with process(redis) as one:
        await settle(one, redis)
        await one.ephemeral.set("k", b"x", ttl_ms=TTL)
        await one.ephemeral.increment("n", ttl_ms=TTL)
        await one.ephemeral.merge_max("m", {"a": 1}, ttl_ms=TTL)
        await one.ephemeral.take("b", per_second=1, burst=10)
        await one.marks.set(ALICE, {("r", 1): 1})
        await one.cache.put("c", b"x", generation=1, position=1, ttl_ms=TTL)
        await one.cache.invalidate("d", generation=1, position=1)
        assert len(redis.names()) > 8
        redis.age(3_600)
        assert redis.names() <= {"marks:kept", "cache:era", "check"}


async def test_replicas_share_what_they_have(redis: Place) -> None:
    async with process(redis) as one, process(redis) as two:
        heard: list[bytes] = []
        await two.ephemeral.subscribe("c", heard.append)
        await one.ephemeral.publish("c", b"1")
        await one.ephemeral.set("k", b"x", ttl_ms=TTL)
        assert await two.ephemeral.get("k") == b"x"
        takes = [await one.ephemeral.take("b", per_second=0.1, burst=2) for one in (one, two, one)]
        assert takes[:2] == [0, 0] and takes[2] > 0
        async with asyncio.timeout(5):
            while heard != [b"1"]:
                await asyncio.sleep(0.01)


async def test_calls_travel_together_and_each_gets_its_own_answer(redis: Place) -> None:
    async with process(redis) as one:
        numbers = await asyncio.gather(
            *(one.ephemeral.increment(f"n{i % 7}", i, ttl_ms=TTL) for i in range(500)),
            return_exceptions=True,
        )
        assert all(isinstance(number, int) for number in numbers)
        # A wrong call among good ones, and one that its caller gives up, are nobody else's trouble.
        given_up = asyncio.create_task(one.ephemeral.get("k"))
        wrong = asyncio.create_task(one.connection.ask("NONSENSE"))
        right = asyncio.create_task(one.ephemeral.increment("n", ttl_ms=TTL))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await right == 1
        with pytest.raises(ResponseError):
            await wrong
        with pytest.raises(UnicodeEncodeError):
            await one.connection.ask("GET", "\ud800")
        assert one.connection.up and one.connection.outages == 0


async def test_killed_and_started_again_empty(own_redis: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "plexus.platform.redis.connection")
    async with process(own_redis) as one:
        await settle(one, own_redis)
        heard: list[bytes] = []
        await one.ephemeral.subscribe("c", heard.append)
        await one.marks.set(ALICE, {("r", 1): 5})
        await one.ephemeral.increment("n", 41, ttl_ms=TTL)
        own_redis.server.kill()

        # Nobody waits, nobody is refused, and what cannot be known is not made up.
        await within(1, lambda: one.ephemeral.get("k"))
        assert await one.ephemeral.get("k") is None
        assert await one.ephemeral.numbers("m") == {}
        await one.ephemeral.merge_max("m", {"a": 1}, ttl_ms=TTL)
        await one.ephemeral.publish("c", b"lost")
        await one.marks.set(ALICE, {("r", 1): 6})
        assert await one.marks.get(ALICE) is None
        assert not await one.cache.put("k", b"v", generation=1, position=1, ttl_ms=TTL)
        await one.cache.invalidate("k", generation=1, position=2)
        assert await one.cache.get("k", generation=1) is None
        assert [await one.ephemeral.increment("n", ttl_ms=TTL) for _ in range(2)] == [1, 2]
        waits = [await one.ephemeral.take("b", per_second=2, burst=2) for _ in range(3)]
        assert waits == [0, 0, 0.5]
        one.clock.advance(0.5)
        assert await one.ephemeral.take("b", per_second=2, burst=2) == 0
        with pytest.raises(RedisAway):
            await one.connection.ask("PING")
        assert one.measured("plexus.redis.up") == 0
        assert one.measured("plexus.redis.without") >= 14

        own_redis.server.start()
        await one.until(up=True)
        assert one.measured("plexus.redis.up") == 1
        assert one.measured("plexus.redis.outages") == 1
        # The scripts are sent anew, the channels subscribed to again.
        assert await one.ephemeral.increment("n", ttl_ms=TTL) == 1
        async with asyncio.timeout(10):
            while not heard:
                await one.ephemeral.publish("c", b"again")
                await asyncio.sleep(0.05)
        assert b"lost" not in heard
        assert await one.marks.get(ALICE) is None
    said = [record.message for record in caplog.records]
    assert [line.split(",")[0].split(" after")[0] for line in said] == ["Redis is away", "Redis is back"]


async def test_a_start_without_redis(own_redis: Place) -> None:
    own_redis.server.kill()
    async with process(own_redis) as one:
        assert not one.connection.up
        heard: list[bytes] = []
        await within(1, lambda: one.ephemeral.subscribe("c", heard.append))
        assert await one.ephemeral.increment("n", ttl_ms=TTL) == 1
        own_redis.server.start()
        await one.until(up=True)
        async with asyncio.timeout(10):
            while not heard:
                await one.ephemeral.publish("c", b"x")
                await asyncio.sleep(0.05)
        # Marks may have been left and lost before this process was there to see.
        assert await one.marks.get(ALICE) is None


async def test_subscribers_are_told_when_something_may_have_been_lost(own_redis: Place) -> None:
    async with process(own_redis, timeout_ms=300) as one:
        told: list[bool] = []

        async def subscribe(channel: str) -> None:
            await one.ephemeral.subscribe(channel, lambda _: None, lambda: told.append(one.connection.up))

        async def is_told() -> None:
            async with asyncio.timeout(10):
                while True not in told:
                    await asyncio.sleep(0.01)
            told.clear()

        await subscribe("c")
        await asyncio.sleep(0.1)
        assert told == []
        # The connection for subscriptions does not break, but what was published meanwhile is lost.
        own_redis.server.freeze()
        assert await one.ephemeral.get("k") is None and not one.connection.up
        own_redis.server.thaw()
        await is_told()
        # Both break; and somebody begins to listen meanwhile.
        own_redis.server.kill()
        await one.until(up=False)
        await subscribe("d")
        own_redis.server.start()
        await is_told()
        await asyncio.sleep(0.5)
        told.clear()
        # Only that for subscriptions breaks.
        async with Redis.from_url(own_redis.server.url) as admin:
            await admin.client_kill_filter(_type="pubsub")
        await is_told()


async def test_frozen_it_costs_one_timeout_and_not_one_each(own_redis: Place) -> None:
    async with process(own_redis, timeout_ms=300, retry_seconds=0.5) as one:
        await settle(one, own_redis)
        await one.ephemeral.set("k", b"old", ttl_ms=TTL)
        own_redis.server.freeze()
        began = time.monotonic()
        found = await asyncio.gather(*(one.ephemeral.get("k") for _ in range(200)))
        await asyncio.gather(*(one.ephemeral.take(f"b{n}", per_second=1, burst=1) for n in range(200)))
        await one.marks.set(ALICE, {("r", 1): 5})
        assert time.monotonic() - began < 2
        assert not one.connection.up
        # Now nobody waits at all, though it is tried all the time.
        took: list[float] = []
        until = time.monotonic() + 2
        while time.monotonic() < until:
            asked = time.monotonic()
            assert await one.ephemeral.get("k") is None
            assert await one.marks.get(ALICE) is None
            took.append(time.monotonic() - asked)
            await asyncio.sleep(0.02)
        # The machine may stand still for once; who waited for Redis would wait each time.
        assert sorted(took)[-3] < 0.25
        assert one.connection.outages == 1
        own_redis.server.thaw()
        await one.until(up=True)
        assert set(found) <= {None, b"old"}
        assert await one.ephemeral.get("k") == b"old"


async def test_an_idle_process_finds_out_by_itself(own_redis: Place) -> None:
    async with process(own_redis, timeout_ms=100) as one:
        own_redis.server.freeze()
        await one.until(up=False)
        own_redis.server.thaw()
        await one.until(up=True)


async def test_a_process_that_stood_still_does_not_blame_redis(redis: Place) -> None:
    async with process(redis, timeout_ms=500) as one:
        for _ in range(3):
            asking = asyncio.create_task(one.ephemeral.increment("n", ttl_ms=TTL))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            time.sleep(1)
            await asking
        assert one.connection.outages == 0


async def test_what_was_replaced_during_an_outage_does_not_come_back(own_redis: Place) -> None:
    async with process(own_redis, timeout_ms=500) as one, process(own_redis) as two:
        for key in ("set", "deleted", "kept"):
            await one.ephemeral.set(key, b"old", ttl_ms=TTL)
        own_redis.server.freeze()
        await one.ephemeral.set("set", b"new", ttl_ms=TTL)
        await one.ephemeral.delete("deleted")
        await one.until(up=False)
        await one.ephemeral.set("set", b"newer", ttl_ms=TTL)
        own_redis.server.thaw()
        await one.until(up=True)
        assert await one.ephemeral.get("kept") == b"old"
        for process_ in (one, two):
            assert await process_.ephemeral.get("set") in (None, b"new")
            assert await process_.ephemeral.get("deleted") is None
        # What is written now stays.
        await one.ephemeral.set("set", b"newest", ttl_ms=TTL)
        await one.connection.ask("PING")
        assert await two.ephemeral.get("set") == b"newest"
        assert one.connection.owed == 0


async def test_marks_that_one_replica_could_not_leave_are_unknown_to_all(own_redis: Place) -> None:
    async with process(own_redis, timeout_ms=100) as writer, process(own_redis, timeout_ms=60_000) as reader:
        await settle(reader, own_redis)
        own_redis.server.freeze()
        await writer.marks.set(ALICE, {("r", 1): 5})
        own_redis.server.thaw()
        await writer.until(up=True)
        # This one has seen no outage, and is told.
        assert await reader.marks.get(ALICE) is None
        assert reader.connection.outages == 0
        own_redis.age(TTL_SECONDS)
        assert await reader.marks.get("@bob:x") == {}
        # The writer has seen one, and goes by its own clock.
        assert await writer.marks.get("@bob:x") is None


async def test_an_emptied_redis_is_not_believed(redis: Place) -> None:
    async with process(redis) as one:
        await settle(one, redis)
        await one.marks.set(ALICE, {("r", 1): 5})
        async with Redis.from_url(redis.server.url) as client:
            await client.delete(*(redis.prefix + key for key in redis.names()))
        assert await one.marks.get(ALICE) is None
        assert await one.marks.get(ALICE) is None
        await one.marks.set(ALICE, {("r", 1): 6})
        redis.age(TTL_SECONDS - 10)
        assert await one.marks.get(ALICE) is None
        redis.age(10)
        assert await one.marks.get(ALICE) == {}


async def test_a_lost_invalidation_is_not_served_afterwards(own_redis: Place) -> None:
    async with process(own_redis, timeout_ms=500) as one, process(own_redis, timeout_ms=60_000) as two:
        await settle(one, own_redis)
        assert await one.cache.put("k", b"old", generation=1, position=5, ttl_ms=TTL)
        assert await two.cache.get("k", generation=1) == b"old"
        own_redis.server.freeze()
        await one.until(up=False)
        await one.cache.invalidate("k", generation=1, position=8)
        own_redis.server.thaw()
        await one.until(up=True)
        assert await one.cache.get("k", generation=1) is None
        assert await two.cache.get("k", generation=1) is None
        # Nor can one that read before put it back.
        assert not await two.cache.put("k", b"old", generation=1, position=7, ttl_ms=TTL)
        own_redis.age(REMEMBERED_SECONDS)
        assert await two.cache.put("k", b"new", generation=1, position=9, ttl_ms=TTL)
        assert await one.cache.get("k", generation=1) == b"new"


async def test_replicas_in_different_generations_do_not_meet(redis: Place) -> None:
    async with process(redis) as ahead, process(redis) as behind:
        await settle(ahead, redis)
        assert await ahead.cache.put("k", b"new", generation=2, position=3, ttl_ms=TTL)
        assert await behind.cache.put("k", b"lost", generation=1, position=900, ttl_ms=TTL)
        await behind.cache.invalidate("k", generation=1, position=950)
        assert await ahead.cache.get("k", generation=2) == b"new"
        assert await behind.cache.get("k", generation=2) == b"new"
        assert await behind.cache.put("k", b"newer", generation=2, position=4, ttl_ms=TTL)
        assert await ahead.cache.get("k", generation=2) == b"newer"
        assert not await behind.cache.put("k", b"lost", generation=1, position=999, ttl_ms=TTL)


async def test_a_redis_that_takes_no_writes_is_away(own_redis: Place) -> None:
    async with process(own_redis) as one, Redis.from_url(own_redis.server.url) as client:
        await settle(one, own_redis)
        await client.config_set("maxmemory", "1")
        await one.marks.set(ALICE, {("r", 1): 5})
        assert await one.marks.get(ALICE) is None
        await one.until(up=False)
        await asyncio.sleep(0.3)
        assert not one.connection.up and one.connection.outages == 1
        await client.config_set("maxmemory", "0")
        await one.until(up=True)


@pytest.mark.parametrize("url", ["http://example.org", "redis", "redis://host:port"])
def test_the_address_is_checked(url: str) -> None:
    with pytest.raises(SettingsError, match=r"redis\.url"):
        RedisConnection(RedisSettings(url=SecretStr(url)))


async def test_those_who_ask_for_marks_together_share_questions(redis: Place) -> None:
    users = [f"@user{number}:x" for number in range(1_200)]
    async with process(redis) as one, process(redis) as other:
        await settle(one, redis)
        await asyncio.gather(*(other.marks.set(user, {("r", 3): 7}) for user in users))
        async with Redis.from_url(redis.server.url) as client:
            before = (await client.info("commandstats"))["cmdstat_evalsha"]["calls"]
            first = asyncio.create_task(one.marks.get(users[0]))
            await asyncio.sleep(0)
            found = await asyncio.gather(*(one.marks.get(user) for user in users))
            assert (await client.info("commandstats"))["cmdstat_evalsha"]["calls"] - before <= 1 + 3
        assert await first == {("r", 3): 7}
        assert found == [{("r", 3): 7}] * len(users)


async def test_a_mark_left_while_others_are_read_is_found_by_who_asks_then(redis: Place) -> None:
    async with process(redis) as one:
        await settle(one, redis)
        for position in range(1, 200):
            under_way = asyncio.create_task(one.marks.get("@bob:x"))
            await one.marks.set(ALICE, {("r", 1): position})
            assert await one.marks.get(ALICE) == {("r", 1): position}
            await under_way


async def test_who_stops_waiting_for_marks_leaves_the_others_theirs(redis: Place) -> None:
    async with process(redis) as one:
        await settle(one, redis)
        await one.marks.set(ALICE, {("u", 2): 5})
        gone, stays = (asyncio.create_task(one.marks.get(ALICE)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == {("u", 2): 5}

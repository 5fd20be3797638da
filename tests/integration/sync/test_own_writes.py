"""Reading one's own writes through another replica, whose fan-out brings nothing: with Redis, and without.

Two buildings on one PostgreSQL are two processes: neither hears what the other publishes, and a follower that
hears nothing looks once a second. A sync that does not wait tells what was written a moment ago only if
something made it look.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from plexus.platform.http import Requester
from plexus.platform.lanes import Heads
from plexus.platform.marks import TTL_SECONDS, MemoryMarks
from plexus.platform.redis import RedisMarks
from plexus.platform.settings import KafkaSettings, RedisSettings

from tests.integration.sync.building import Building, SyncPerson, open_building
from tests.integration.sync.test_sync import ids, joined
from tests.support.postgres import TestDatabase
from tests.support.redis import Place, own_redis

__all__ = ["own_redis"]

TIMEOUT_MS = 1_000
"""Long enough that a busy machine is not taken for an outage: a writer that alone sees one leaves no mark,
and the other replica cannot know.
"""


@dataclass
class Two:
    here: Building
    there: Building
    alice: SyncPerson
    room_id: str
    since: str

    @property
    def alice_there(self) -> SyncPerson:
        return self.alice.at(self.there.replicas[0])

    async def write_and_look(self, count: int = 5) -> float:
        """Write here and sync there at once, several times; the longest that one of both took."""
        slowest = 0.0
        for number in range(count):
            began = time.monotonic()
            sent = await self.alice.send(self.room_id, f"{number} of {began}")
            written = time.monotonic()
            answer = await self.alice_there.sync(self.since, timeout=0)
            slowest = max(slowest, written - began, time.monotonic() - written)
            assert ids(joined(answer, self.room_id))[-1] == sent
            self.since = answer["next_batch"]
        return slowest

    def unmarked(self) -> float:
        """How many syncs there have asked for the heads."""
        return self.there.replicas[0].sync.metrics.unmarked.value


@asynccontextmanager
async def two(database: TestDatabase, folder: Path, place: Place | None, name: str) -> AsyncIterator[Two]:
    redis = RedisSettings() if place is None else place.settings(timeout_ms=TIMEOUT_MS, retry_seconds=0.2)
    # That somebody comes online would wake who is held.
    settings = {"redis": redis, "kafka": KafkaSettings(), "presence": {"enabled": False}}
    async with (
        open_building(database, folder / "here", alone=False, **settings) as here,
        open_building(database, folder / "there", alone=False, **settings) as there,
    ):
        alice = await here.person(name)
        room_id = await alice.create_room()
        found = Two(here, there, alice, room_id, (await alice.sync())["next_batch"])
        await found.alice_there.sync(found.since, timeout=0)
        if place is not None:
            place.age(TTL_SECONDS)
        yield found


async def test_marks_are_seen_by_the_other_replica(
    database: TestDatabase, tmp_path: Path, own_redis: Place
) -> None:
    async with two(database, tmp_path, own_redis, "redis") as both:
        await both.write_and_look()
        unmarked = both.unmarked()
        await both.write_and_look()
        assert both.unmarked() == unmarked == 1


async def test_without_redis_the_heads_are_asked_for(database: TestDatabase, tmp_path: Path) -> None:
    async with two(database, tmp_path, None, "none") as both:
        await both.write_and_look()
        assert both.unmarked() > 5


async def test_a_poll_that_is_held_ends_with_what_its_user_wrote_before(
    database: TestDatabase, tmp_path: Path, own_redis: Place
) -> None:
    """Though nothing tells the replica of it: by itself it looks at the heads once a second or less."""
    async with two(database, tmp_path, own_redis, "held") as both:
        took: list[float] = []
        for number in range(5):
            # Until it looks once a second again, and not ten times.
            await asyncio.sleep(1.3)
            sent = await both.alice.send(both.room_id, str(number))
            began = time.monotonic()
            answer = await both.alice_there.sync(both.since, timeout=20_000)
            took.append(time.monotonic() - began)
            assert ids(joined(answer, both.room_id)) == [sent]
            both.since = answer["next_batch"]
        # An eighth of a second of it is waiting; until the next look at the heads it would be two thirds.
        assert statistics.median(took) < 0.5


async def test_a_poll_that_is_woken_at_once_tells_what_its_user_wrote_before(
    database: TestDatabase, tmp_path: Path, own_redis: Place
) -> None:
    async with two(database, tmp_path, own_redis, "woken") as both:
        bob = await both.there.person("bob-of-woken")
        bobs_room = await bob.create_room(invite=[both.alice.user_id])
        await both.alice_there.join(bobs_room)
        both.since = (await both.alice_there.sync(both.since, timeout=0))["next_batch"]
        for number in range(5):
            sent = await both.alice.send(both.room_id, str(number))
            poll = asyncio.create_task(both.alice_there.sync(both.since, timeout=20_000))
            # What was written may be known here by now; then the poll has ended without being held.
            while not both.there.replicas[0].sync.replica.held and not poll.done():
                await asyncio.sleep(0)
            await bob.send(bobs_room, "wake up")
            answer = await poll
            assert ids(joined(answer, both.room_id)) == [sent]
            both.since = (await both.alice_there.sync(answer["next_batch"], timeout=0))["next_batch"]


async def test_nothing_is_passed_over_when_a_look_ends_while_the_token_is_read(
    database: TestDatabase, tmp_path: Path, own_redis: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message wakes a poll whose user's marks are being looked at; they are known before its token is."""
    async with two(database, tmp_path, own_redis, "slow-token") as both:
        bob = await both.there.person("bob-of-slow-token")
        bobs_room = await bob.create_room(invite=[both.alice.user_id])
        await both.alice_there.join(bobs_room)
        since = (await both.alice_there.sync(both.since, timeout=0))["next_batch"]
        users, marks = both.there.users, both.there.platform.marks
        authenticate, get_many = users.authenticate, marks.get_many
        looking, looked = asyncio.Event(), asyncio.Event()
        told: list[str] = []

        async def look(user_ids: Collection[str]) -> object:
            looking.set()
            await asyncio.sleep(0.2)
            found = await get_many(user_ids)
            asyncio.get_running_loop().call_later(0.1, looked.set)
            return found

        async def reading(token: str, address: str | None = None) -> Requester:
            if told and token == both.alice.token:
                await looked.wait()
            return await authenticate(token, address)

        monkeypatch.setattr(users, "authenticate", reading)
        monkeypatch.setattr(marks, "get_many", look)
        poll = asyncio.create_task(both.alice_there.sync(since, timeout=20_000))
        await asyncio.wait_for(looking.wait(), 5)
        told.append("soon")
        sent = await bob.send(bobs_room, "wake up")
        answer = await asyncio.wait_for(poll, 10)
        assert ids(joined(answer, bobs_room)) == [sent]


async def test_polls_that_come_back_together_ask_redis_once(
    database: TestDatabase, tmp_path: Path, own_redis: Place
) -> None:
    async with two(database, tmp_path, own_redis, "together") as both:
        redis = cast(RedisMarks, both.there.platform.marks)
        asked: list[int] = []
        ask = redis._ask

        async def counted(users: Sequence[str]) -> object:
            asked.append(len(users))
            return await ask(users)

        redis._ask = counted  # type: ignore[method-assign,assignment]  # counts
        people = [both.alice_there, *[await both.there.person(f"{n}-of-together") for n in range(5)]]
        tokens = [(await person.sync())["next_batch"] for person in people]
        held = both.there.replicas[0].sync.replica
        asked.clear()
        polls = [
            asyncio.create_task(person.sync(token, timeout=20_000))
            for person, token in zip(people, tokens, strict=True)
        ]
        async with asyncio.timeout(10):
            while held.held < len(people) or not asked:
                await asyncio.sleep(0.01)
        assert asked == [len(people)]
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)


async def test_without_marks_the_other_replica_is_behind(database: TestDatabase, tmp_path: Path) -> None:
    """What the others test could not fail if this did not."""
    async with two(database, tmp_path, None, "nothing") as both:
        both.there.platform.marks = MemoryMarks()
        with pytest.raises((AssertionError, KeyError)):
            await both.write_and_look(20)


async def test_killed(database: TestDatabase, tmp_path: Path, own_redis: Place) -> None:
    async with two(database, tmp_path, own_redis, "killed") as both:
        await both.write_and_look(2)
        own_redis.server.kill()
        unmarked = both.unmarked()
        assert await both.write_and_look() < 2
        assert both.unmarked() == unmarked + 5
        # Back, and empty: what was left in it is gone, and that is known.
        sent = await both.alice.send(both.room_id, "before it comes back")
        own_redis.server.start()
        async with asyncio.timeout(10):
            while await both.here.platform.ephemeral.get("up") is None:
                await both.here.platform.ephemeral.set("up", b"1", ttl_ms=60_000)
                await asyncio.sleep(0.02)
        answer = await both.alice_there.sync(both.since, timeout=0)
        assert ids(joined(answer, both.room_id))[-1] == sent
        both.since = answer["next_batch"]
        await both.write_and_look()


async def test_frozen(database: TestDatabase, tmp_path: Path, own_redis: Place) -> None:
    async with two(database, tmp_path, own_redis, "frozen") as both:
        await both.write_and_look(2)
        own_redis.server.freeze()
        # The first one of each replica pays the timeout, if the replica has not found out by itself.
        assert await both.write_and_look(1) < 3
        assert await both.write_and_look(10) < 2
        own_redis.server.thaw()
        await both.write_and_look(10)


async def test_all_who_ask_at_once_share_a_read(database: TestDatabase, tmp_path: Path) -> None:
    async with two(database, tmp_path, None, "shared") as both:
        reads = 0
        shared = both.there.platform.log._primary_heads
        read = shared._read

        async def counted() -> Heads:
            nonlocal reads
            reads += 1
            return await read()

        shared._read = counted
        sent = await both.alice.send(both.room_id, "once")
        answers = await asyncio.gather(
            *(both.alice_there.sync(both.since, timeout=0, filter={"n": n}) for n in range(20))
        )
        assert all(ids(joined(answer, both.room_id))[-1] == sent for answer in answers)
        assert 1 <= reads <= 5

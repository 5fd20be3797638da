"""A token that becomes void while its request waits: nothing more is told, and the request ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from plexus.platform.http import Requester
from plexus.platform.lanes import USER, Group, UserFact
from plexus.protocol.errors import UnknownToken
from plexus.sync.answer import Pieces
from plexus.sync.models import SyncRequest
from plexus.users import Users
from plexus.users.token_cache import Watch
from plexus.users.users import CONFIRM_SECONDS

from tests.integration.sync.building import SOON, SYNC, Building, Replica, SyncPerson, open_building
from tests.support.house import V3
from tests.support.http import Answer
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDED = (401, "M_UNKNOWN_TOKEN")
WITHIN = CONFIRM_SECONDS + 1.0
"""Seconds until a poll is over whose end nobody publishes here: the next look at the heads, and the read."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def elsewhere(
    building: Building, database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Building]:
    """Another process on the same database; nothing that it publishes arrives in the first one."""
    async with open_building(database, tmp_path_factory.mktemp("elsewhere")) as opened:
        yield opened


async def poll(person: SyncPerson) -> asyncio.Task[Answer]:
    """A held poll."""
    since = (await person.sync())["next_batch"]
    held = asyncio.create_task(person.get(SYNC, since=since, timeout=20_000))
    await asyncio.sleep(0.1)
    assert not held.done()
    return held


async def revoke(building: Building, person: SyncPerson) -> None:
    assert await building.users.delete_devices(person.user_id, [person.device_id]) == [person.device_id]


async def test_a_logout_elsewhere_ends_a_held_poll_within_a_second(
    building: Building, elsewhere: Building, alice: SyncPerson
) -> None:
    for _ in range(3):
        person = await building.device(alice)
        held = await poll(person)
        # Long enough that the token is good only because it is confirmed, which goes on though nobody asks.
        await asyncio.sleep(1)
        assert [building.users.tokens.in_use() for _ in range(2)] == [True, True]
        began = time.monotonic()
        await revoke(elsewhere, person)
        assert (await asyncio.wait_for(held, 5)).error() == ENDED
        assert time.monotonic() - began < WITHIN


async def test_a_poll_ends_also_when_sync_hears_of_the_logout_before_the_token_cache(
    building: Building, elsewhere: Building, alice: SyncPerson
) -> None:
    # The cache looks at the heads all the time, so now and then it is first all the same.
    assert any([await sync_hears_first(building, elsewhere, alice) for _ in range(6)])


async def sync_hears_first(building: Building, elsewhere: Building, alice: SyncPerson) -> bool:
    """Whether sync heard of the logout first; if so it has ended the poll."""
    person = await building.device(alice)
    held = await poll(person)
    told: list[tuple[str, str]] = []
    unwatch = building.users.tokens.watch(Watch(lambda *device: told.append(device), lambda: False))
    log = elsewhere.platform.log
    lane = elsewhere.users.lane(person.user_id)
    before = (await log.heads(primary=True)).users[lane]
    # Taken off the fan-out, the follower of the users has to find out from the database.
    subscription = building.users._follower._subscription
    assert subscription is not None
    subscription.close()
    try:
        began = time.monotonic()
        await revoke(elsewhere, person)
        facts = tuple(await log.facts(USER, lane, before))
        assert UserFact.REVOKED in {fact.kind for fact in facts}
        building.platform.fanout.publish(Group(log.generation(), USER, lane, facts))
        while building.replicas[0].sync.replica.cut().users[lane] < facts[-1].position:
            await asyncio.sleep(0.001)
        sync_was_first = (person.user_id, person.device_id) not in told
        assert (await asyncio.wait_for(held, 5)).error() == ENDED
        assert time.monotonic() - began < max(SOON, WITHIN)
        return sync_was_first
    finally:
        unwatch()
        follower = building.users._follower
        follower._subscription = building.platform.fanout.subscribe((USER,), follower._on_group)


async def test_a_message_a_second_after_the_logout_is_not_told(
    building: Building, elsewhere: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    person = await building.device(bob)
    held = await poll(person)
    # Even when nobody tells this process of revocations: the token cache does not trust itself then.
    watches, building.users.tokens._watches = building.users.tokens._watches, []
    task = building.users._confirming
    assert task is not None
    task.cancel()
    try:
        await asyncio.gather(task, return_exceptions=True)
        await revoke(elsewhere, person)
        await asyncio.sleep(1)
        await alice.send(room_id, "not for who has logged out")
        assert (await asyncio.wait_for(held, 5)).error() == ENDED
    finally:
        building.users.tokens._watches = watches
        building.users._confirming = asyncio.create_task(building.users._confirm_tokens())


class Turnstile:
    """Lets a token in, and logs its device out right after it was looked up for the nth time."""

    def __init__(self, users: Users, person: SyncPerson, last: int) -> None:
        self._users = users
        self._person = person
        self._left = last

    async def __call__(self) -> Requester:
        requester = await self._users.authenticate(self._person.token or "")
        self._left -= 1
        if self._left == 0:
            await self._users.delete_devices(self._person.user_id, [self._person.device_id])
        return requester


def made(building: Building) -> float:
    """How many initial syncs the first replica has begun to make."""
    return building.replicas[0].sync.metrics.initial.value


class Sink:
    """Keeps what a response was when it was last shown. None is so large here that it would be sent while it
    is made.
    """

    def __init__(self) -> None:
        self.shown: list[Pieces] = []
        self.whole = b""

    async def progress(self, response: Pieces) -> None:
        self.shown.append(response)

    async def finish(self, response: Pieces) -> None:
        self.whole = response.take()


@pytest.mark.parametrize("looked_up", [1, 2])
@pytest.mark.parametrize("cold", [True, False])
async def test_a_logout_while_the_poll_is_not_held_yet_ends_it(
    building: Building, alice: SyncPerson, looked_up: int, cold: bool
) -> None:
    person = await building.device(alice)
    request = SyncRequest.parse({"since": (await person.sync())["next_batch"], "timeout": "20000"}, 60)
    replica: Replica = await building.replica() if cold else building.replicas[0]
    await asyncio.sleep(0.1)
    answer = replica.sync.sync(Turnstile(building.users, person, looked_up), request, Sink())
    with pytest.raises(UnknownToken):
        await asyncio.wait_for(answer, SOON + 2)


async def test_who_logs_out_while_waiting_for_an_initial_sync_gets_none(
    building: Building, alice: SyncPerson
) -> None:
    person = await building.device(alice)
    began = made(building)
    sync = building.replicas[0].sync
    places = building.platform.settings.sync.initial_concurrency
    async with AsyncExitStack() as others:
        for number in range(places):
            await others.enter_async_context(sync.admission.place(f"@other{number}:x", None, None))
        waiting = asyncio.create_task(person.get(SYNC))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        (await person.post(f"{V3}/logout")).ok()
    assert (await asyncio.wait_for(waiting, 5)).error() == ENDED
    assert made(building) == began


async def test_a_logout_during_an_initial_sync_ends_it(building: Building, alice: SyncPerson) -> None:
    person = await building.device(alice)
    await alice.create_room()
    # The first look-up at the request, the second in its turn; from the third on it is void.
    began = made(building)
    sink = Sink()
    answer = building.replicas[0].sync.sync(
        Turnstile(building.users, person, 2), SyncRequest.parse({}, 60), sink
    )
    with pytest.raises(UnknownToken):
        await asyncio.wait_for(answer, 5)
    assert made(building) == began + 1
    assert not sink.shown and not sink.whole


async def test_a_token_that_expires_while_its_poll_is_held_gets_no_answer(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    person = await building.device(bob)
    since = (await bob.sync())["next_batch"]
    async with building.platform.db.write() as write:
        await write.execute(
            "UPDATE users.token SET expires_ts = %s WHERE user_id = %s AND device_id = %s",
            (building.platform.clock.now_ms() + 2_000, person.user_id, person.device_id),
        )
    held = asyncio.create_task(person.get(SYNC, since=since, timeout=20_000))
    await asyncio.sleep(2.2)
    assert not held.done()
    await alice.send(room_id, "too late")
    answer = await asyncio.wait_for(held, 5)
    assert answer.error() == ENDED
    assert answer.json["soft_logout"] is True


async def test_an_end_tells_only_the_device_that_it_is_about(building: Building, alice: SyncPerson) -> None:
    gone, stays = await building.device(alice), await building.device(alice)
    ends, remains = await poll(gone), await poll(stays)
    await revoke(building, gone)
    assert (await asyncio.wait_for(ends, 1)).error() == ENDED
    await asyncio.sleep(0.2)
    assert not remains.done()
    await building.users.logout_all(alice.user_id)
    assert (await asyncio.wait_for(remains, 1)).error() == ENDED


async def test_a_poll_whose_view_made_room_for_others_is_told_all_the_same(
    building: Building, alice: SyncPerson
) -> None:
    replica = await building.replica()
    request = SyncRequest.parse({"since": (await alice.sync())["next_batch"], "timeout": "20000"}, 60)
    looked_up = 0

    async def authenticate() -> Requester:
        nonlocal looked_up
        looked_up += 1
        if looked_up == 2:
            replica.sync.replica.interest.drop(replica.sync.replica.interest.views[alice.user_id])
        return await building.users.authenticate(alice.token or "")

    sink = Sink()
    held = asyncio.create_task(replica.sync.sync(authenticate, request, sink))
    await asyncio.sleep(0.2)
    assert not held.done()
    room_id = await alice.create_room()
    await asyncio.wait_for(held, SOON + 2)
    assert room_id.encode() in sink.whole


async def test_a_lock_elsewhere_ends_a_held_poll_within_a_second_and_is_lifted_everywhere(
    building: Building, elsewhere: Building, alice: SyncPerson
) -> None:
    held = await poll(alice)
    began = time.monotonic()
    assert await elsewhere.users.moderate(alice.user_id, locked=True)
    answer = await asyncio.wait_for(held, 5)
    assert time.monotonic() - began < WITHIN
    assert answer.error() == (401, "M_USER_LOCKED")
    assert answer.json["soft_logout"] is True
    assert (await alice.get(SYNC)).error() == (401, "M_USER_LOCKED")
    assert await elsewhere.users.moderate(alice.user_id, locked=False)
    while (again := await alice.get(SYNC)).status != 200:
        assert again.error() == (401, "M_USER_LOCKED")
        assert time.monotonic() - began < 5
        await asyncio.sleep(0.05)


async def test_a_suspension_leaves_a_held_poll_and_what_it_is_told(
    building: Building, elsewhere: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    held = await poll(bob)
    assert await elsewhere.users.moderate(bob.user_id, suspended=True)
    await asyncio.sleep(1)
    await alice.send(room_id, "who is suspended still reads")
    assert (await asyncio.wait_for(held, 5)).status == 200
    refused = await bob.put(f"{bob.room(room_id)}/send/m.room.message/1", {"body": "x"})
    assert refused.error() == (403, "M_USER_SUSPENDED")

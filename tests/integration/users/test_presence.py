"""Presence between processes. Two `Presence` over one ephemeral port are two processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest_asyncio
from plexus.platform.clock import ManualClock
from plexus.platform.redis import RedisConnection, RedisEphemeral
from plexus.platform.settings import PresenceSettings
from plexus.users import NewDevice, Session, Users
from plexus.users.presence import OFFLINE, ONLINE, UNAVAILABLE, Presence

from tests.integration.users.conftest import NewUser
from tests.support.redis import Place, own_redis

__all__ = ["own_redis"]

USER = "@somebody:here.example.org"
SETTINGS = PresenceSettings(idle_seconds=60, grace_seconds=1)


@asynccontextmanager
async def process(users: Users) -> AsyncIterator[Presence]:
    platform = users.platform
    presence = Presence(platform.ephemeral, platform.db, platform.clock, SETTINGS, users.last_seen)
    await presence.start()
    try:
        yield presence
    finally:
        await presence.stop()


@pytest_asyncio.fixture
async def here(users: Users) -> AsyncIterator[Presence]:
    async with process(users) as opened:
        yield opened


@pytest_asyncio.fixture
async def there(users: Users) -> AsyncIterator[Presence]:
    async with process(users) as opened:
        yield opened


async def comes_true(claim: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not claim():
            await asyncio.sleep(0.02)


async def test_what_one_process_knows_the_others_do(here: Presence, there: Presence) -> None:
    changes: list[int] = []
    there.watch(lambda user_id: changes.append(there.shown(user_id).state))
    here.note_sync(USER, "PHONE", ONLINE, 0)
    assert here.shown(USER).state == ONLINE
    await comes_true(lambda: there.shown(USER).state == ONLINE)
    # The others need not wait until their longer lease is over.
    await comes_true(lambda: there.shown(USER).state == OFFLINE, 3.0)
    assert changes == [ONLINE, OFFLINE]
    assert there.last_active_ago(USER) is not None


async def test_a_device_is_in_the_state_that_was_said_last_in_any_process(
    here: Presence, there: Presence
) -> None:
    here.note_sync(USER, "PHONE", ONLINE, 30)
    await comes_true(lambda: there.shown(USER).state == ONLINE)
    there.set(USER, "PHONE", UNAVAILABLE, "at lunch")
    await comes_true(lambda: here.shown(USER) == (UNAVAILABLE, "at lunch"))
    here.note_sync(USER, "PHONE", ONLINE, 30)
    await comes_true(lambda: there.shown(USER) == (ONLINE, "at lunch"))


async def test_a_device_that_comes_to_another_process_stays(here: Presence, there: Presence) -> None:
    here.note_sync(USER, "PHONE", ONLINE, 0)
    await comes_true(lambda: there.shown(USER).state == ONLINE)
    there.note_sync(USER, "PHONE", ONLINE, 30)
    changes: list[str] = []
    for presence in (here, there):
        presence.watch(changes.append)
    await asyncio.sleep(2.5)
    assert changes == []
    assert here.shown(USER).state == there.shown(USER).state == ONLINE


async def test_a_device_is_there_for_the_whole_grace_after_its_last_sync(users: Users) -> None:
    clock, platform = ManualClock(), users.platform
    presence = Presence(platform.ephemeral, platform.db, clock, SETTINGS, users.last_seen)
    await presence.start()
    try:
        presence.note_sync(USER, "PHONE", ONLINE, 30)
        clock.advance(0.1)
        presence.note_sync(USER, "PHONE", ONLINE, 30)
        # 30.95 of 31 seconds after the last, 31.05 after the first; an activity looks who is there.
        clock.advance(30.95)
        presence.note_active(USER)
        assert presence.shown(USER).state == ONLINE
        clock.advance(31)
        presence.note_active(USER)
        assert presence.shown(USER).state == OFFLINE
    finally:
        await presence.stop()


async def test_who_was_in_a_process_that_dies_is_gone_when_nobody_says_otherwise(
    users: Users, there: Presence
) -> None:
    async with process(users) as doomed:
        doomed.note_sync(USER, "PHONE", ONLINE, 0)
        await comes_true(lambda: there.shown(USER).state == ONLINE)
    await asyncio.sleep(1)
    assert there.shown(USER).state == ONLINE
    await comes_true(lambda: there.shown(USER).state == OFFLINE, 4)


async def test_a_process_that_begins_asks_the_others(users: Users, here: Presence) -> None:
    here.set(USER, "PHONE", ONLINE, "here all the time")
    async with process(users) as late:
        await comes_true(lambda: late.shown(USER) == (ONLINE, "here all the time"))


async def test_an_activity_is_told(here: Presence, there: Presence) -> None:
    here.note_sync(USER, "PHONE", UNAVAILABLE, 30)
    await comes_true(lambda: there.shown(USER).state == UNAVAILABLE)
    # "Any activity will cause the server to automatically set their presence to online."
    there.note_active(USER)
    await comes_true(lambda: here.shown(USER).state == ONLINE)
    ago = here.last_active_ago(USER)
    assert ago is not None and ago < 5_000


async def test_an_activity_ends_idleness_on_all_devices_however_soon_after_another(
    here: Presence, there: Presence
) -> None:
    """It may be on one that is not there itself."""
    for _ in range(2):
        here.set(USER, "PHONE", UNAVAILABLE, None)
        await comes_true(lambda: there.shown(USER).state == UNAVAILABLE)
        there.note_active(USER)
        assert there.shown(USER).state == ONLINE
        await comes_true(lambda: here.shown(USER).state == ONLINE)
    # The phone goes on, at either process.
    for presence in (here, there):
        presence.note_sync(USER, "PHONE", UNAVAILABLE, 30)
    await asyncio.sleep(0.5)
    assert here.shown(USER).state == there.shown(USER).state == ONLINE


async def test_an_activity_changes_nothing_about_how_long_a_device_is_there(users: Users) -> None:
    clock, platform = ManualClock(), users.platform
    presence = Presence(platform.ephemeral, platform.db, clock, SETTINGS, users.last_seen)
    await presence.start()
    try:
        presence.note_sync(USER, "PHONE", UNAVAILABLE, 30)
        clock.advance(1)
        presence.note_active(USER)
        assert presence.shown(USER).state == ONLINE
        clock.advance(29)
        presence._turn()
        assert presence.shown(USER).state == ONLINE
        clock.advance(2)
        presence._turn()
        assert presence.shown(USER).state == OFFLINE
        # Nor does it make anybody be there.
        presence.note_active(USER)
        assert presence.shown(USER).state == OFFLINE
    finally:
        await presence.stop()


async def test_what_is_not_understood_is_passed_over(users: Users, here: Presence, there: Presence) -> None:
    for payload in (b"{", b"7", b'["x",[[1]]]', b"[]"):
        await users.platform.ephemeral.publish("presence", payload)
    here.note_sync(USER, "PHONE", ONLINE, 30)
    await comes_true(lambda: there.shown(USER).state == ONLINE)


async def used(users: Users, *sessions: Session) -> None:
    """These devices have just been used, and that is written."""
    for session in sessions:
        await users.authenticate(session.access_token, None)
    await users.last_seen.flush()


async def test_who_asks_to_be_hidden_is_not_taken_to_be_there_by_who_begins(
    users: Users, new_user: NewUser
) -> None:
    hidden, set_offline, seen = [await new_user() for _ in range(3)]
    async with process(users) as before:
        before.note_sync(hidden.user_id, hidden.device_id, OFFLINE, 30)
        before.set(set_offline.user_id, set_offline.device_id, OFFLINE, None)
        before.note_sync(seen.user_id, seen.device_id, ONLINE, 30)
        await used(users, hidden, set_offline, seen)
    async with process(users) as after:
        assert after.shown(seen.user_id).state == ONLINE
        for session in (hidden, set_offline):
            assert after.shown(session.user_id).state == OFFLINE
            # They are known, so that who was told that they are online is told otherwise; not since when.
            assert after.knows(session.user_id)
            assert after.last_active_ago(session.user_id) is None
        # Who asks for it no more is presumed again.
        after.note_sync(hidden.user_id, hidden.device_id, ONLINE, 30)
        assert after.shown(hidden.user_id).state == ONLINE
        await users.last_seen.flush()
    async with process(users) as later:
        assert later.shown(hidden.user_id).state == ONLINE


async def test_a_hidden_device_takes_nothing_from_another_of_its_user(
    users: Users, new_user: NewUser
) -> None:
    phone = await new_user()
    laptop = await users.open_session(phone.user_id, NewDevice())
    async with process(users) as before:
        before.note_sync(phone.user_id, phone.device_id, OFFLINE, 30)
        before.note_sync(laptop.user_id, laptop.device_id, ONLINE, 30)
        await used(users, phone, laptop)
    async with process(users) as after:
        after.note_sync(phone.user_id, phone.device_id, OFFLINE, 30)
        assert after.shown(phone.user_id).state == ONLINE


async def test_the_first_sync_that_asks_to_be_hidden_ends_what_was_presumed(
    users: Users, new_user: NewUser
) -> None:
    """In every process: the mark of the device may have been lost."""
    session = await new_user()
    await used(users, session)
    async with process(users) as here, process(users) as there:
        assert here.shown(session.user_id).state == there.shown(session.user_id).state == ONLINE
        here.note_sync(session.user_id, session.device_id, OFFLINE, 30)
        assert here.shown(session.user_id).state == OFFLINE
        await comes_true(lambda: there.shown(session.user_id).state == OFFLINE)


async def test_a_device_is_marked_when_it_becomes_hidden_and_not_again(
    users: Users, new_user: NewUser
) -> None:
    session = await new_user()
    await used(users, session)
    user_id, device_id = session.user_id, session.device_id
    async with process(users) as here, process(users) as there:
        for state in (OFFLINE, ONLINE, OFFLINE):
            here.note_sync(user_id, device_id, state, 30)
            assert await users.last_seen.flush() == 1
            await asyncio.sleep(0.4)
            for presence in (here, there, here):
                presence.note_sync(user_id, device_id, state, 30)
            assert await users.last_seen.flush() == 0
            await asyncio.sleep(0.4)
    async with process(users) as again:
        # Its lease goes on; all the same it is another thing that it says.
        again.set(user_id, device_id, ONLINE, None)
        again.note_sync(user_id, device_id, OFFLINE, 30)
        again.note_sync(user_id, device_id, ONLINE, 30)
        assert await users.last_seen.flush() == 1
        [row] = await users.db.call("SELECT hidden FROM users.device WHERE device_id = %s", (device_id,))
        assert row == (False,)
        again.note_sync(user_id, device_id, OFFLINE, 30)
        assert await users.last_seen.flush() == 1
    async with process(users) as again:
        again.note_sync(user_id, device_id, OFFLINE, 30)
        assert await users.last_seen.flush() == 0


async def test_what_was_said_while_redis_was_away_is_said_when_it_is_back(
    users: Users, own_redis: Place
) -> None:
    """The latest, whoever is asked first: the others hold the user too, with the older status."""
    opened: list[tuple[RedisConnection, RedisEphemeral, Presence]] = []
    for _ in range(3):
        connection = RedisConnection(own_redis.settings(timeout_ms=300))
        await connection.start()
        ephemeral = RedisEphemeral(connection, users.clock)
        presence = Presence(ephemeral, users.db, users.clock, SETTINGS, users.last_seen)
        await presence.start()
        opened.append((connection, ephemeral, presence))
    everywhere = [presence for _, _, presence in opened]
    here = everywhere[0]
    try:
        here.set(USER, "PHONE", UNAVAILABLE, "before")
        for presence in everywhere:
            presence.note_sync(USER, "PHONE", UNAVAILABLE, 600)
        await comes_true(lambda: {p.shown(USER) for p in everywhere} == {(UNAVAILABLE, "before")})
        await asyncio.sleep(0.5)
        own_redis.server.freeze()
        here.set(USER, "LAPTOP", ONLINE, "meanwhile")
        here.set("@other:here.example.org", "X", ONLINE, None)
        async with asyncio.timeout(10):
            while any(connection.up for connection, _, _ in opened):
                await asyncio.gather(*(ephemeral.get("k") for _, ephemeral, _ in opened))
        await asyncio.sleep(0.5)
        own_redis.server.thaw()
        await comes_true(lambda: {p.shown(USER) for p in everywhere} == {(ONLINE, "meanwhile")})
        await comes_true(lambda: {p.shown("@other:here.example.org").state for p in everywhere} == {ONLINE})
        await asyncio.sleep(2)
        assert {p.shown(USER) for p in everywhere} == {(ONLINE, "meanwhile")}
    finally:
        for connection, ephemeral, presence in opened:
            await presence.stop()
            await ephemeral.close()
            await connection.close()

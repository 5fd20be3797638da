"""Presence between processes. Two `Presence` over one ephemeral port are two processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest_asyncio
from plexus.platform.clock import ManualClock
from plexus.platform.settings import PresenceSettings
from plexus.users import Users
from plexus.users.presence import OFFLINE, ONLINE, UNAVAILABLE, Presence

USER = "@somebody:here.example.org"
SETTINGS = PresenceSettings(idle_seconds=60, grace_seconds=1)


@asynccontextmanager
async def process(users: Users) -> AsyncIterator[Presence]:
    platform = users.platform
    presence = Presence(platform.ephemeral, platform.db, platform.clock, SETTINGS, 300_000)
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
    presence = Presence(platform.ephemeral, platform.db, clock, SETTINGS, 300_000)
    await presence.start()
    try:
        presence.note_sync(USER, "PHONE", ONLINE, 30)
        clock.advance(0.1)
        presence.note_sync(USER, "PHONE", ONLINE, 30)
        # 30.95 of 31 seconds after the last, 31.05 after the first; an activity looks who is there.
        clock.advance(30.95)
        presence.note_active(USER, "PHONE")
        assert presence.shown(USER).state == ONLINE
        clock.advance(31)
        presence.note_active(USER, "PHONE")
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
    there.note_active(USER, "PHONE")
    await comes_true(lambda: here.shown(USER).state == ONLINE)
    ago = here.last_active_ago(USER)
    assert ago is not None and ago < 5_000


async def test_what_is_not_understood_is_passed_over(users: Users, here: Presence, there: Presence) -> None:
    for payload in (b"{", b"7", b'["x",[[1]]]', b"[]"):
        await users.platform.ephemeral.publish("presence", payload)
    here.note_sync(USER, "PHONE", ONLINE, 30)
    await comes_true(lambda: there.shown(USER).state == ONLINE)

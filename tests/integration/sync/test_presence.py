"""Presence: who is shown as what, to whom, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from plexus.wire import Wire

from tests.integration.sync.building import SYNC, Building, SyncPerson, open_building
from tests.support.house import V3, House
from tests.support.http import Answer, Json, seg
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = (403, "M_FORBIDDEN")
ROOMLESS: Json = {"room": {"rooms": []}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def building(
    database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Building]:
    """In which time is short."""
    presence = {"idle_seconds": 3, "grace_seconds": 2}
    async with open_building(database, tmp_path_factory.mktemp("presence"), presence=presence) as opened:
        yield opened


def status(person: SyncPerson) -> str:
    return f"{V3}/presence/{seg(person.user_id)}/status"


async def shown(person: SyncPerson, other: SyncPerson) -> Json:
    return (await person.get(status(other))).ok()


async def say(person: SyncPerson, presence: str, **body: Any) -> Answer:
    return await person.put(status(person), {"presence": presence, **body})


async def share(alice: SyncPerson, *others: SyncPerson) -> str:
    room_id = await alice.create_room(preset="public_chat")
    for other in others:
        await other.join(room_id)
        await other.hear()
    return room_id


def told(answer: Json, other: SyncPerson) -> list[Json]:
    """What an answer says of somebody's presence."""
    events = answer.get("presence", {}).get("events", [])
    for event in events:
        assert set(event) == {"type", "sender", "content"} and event["type"] == "m.presence"
    return [event["content"] for event in events if event["sender"] == other.user_id]


async def invisible(person: SyncPerson, since: str | None = None, **query: Any) -> Json:
    """A sync that does not make its user present."""
    return await person.sync(since, set_presence="offline", **query)


async def until(person: SyncPerson, since: str, other: SyncPerson, state: str) -> tuple[str, Json]:
    """Sync until told that somebody is shown so; the next token and what was told."""
    async with asyncio.timeout(8):
        while True:
            answer = await invisible(person, since, filter=ROOMLESS, timeout=5_000)
            since = answer["next_batch"]
            for content in told(answer, other):
                if content["presence"] == state:
                    return since, content


async def test_a_sync_makes_online_and_its_end_offline(alice: SyncPerson, bob: SyncPerson) -> None:
    await share(alice, bob)
    since = (await invisible(alice))["next_batch"]
    assert (await shown(alice, bob))["presence"] == "offline"
    await bob.sync()
    since, content = await until(alice, since, bob, "online")
    assert content["currently_active"] is True
    assert 0 <= content["last_active_ago"] < 5_000
    assert (await shown(alice, bob))["presence"] == "online"
    # Those who look without wanting to be seen are not.
    assert (await shown(bob, alice))["presence"] == "offline"
    await until(alice, since, bob, "offline")
    found = await shown(alice, bob)
    assert found["presence"] == "offline" and "currently_active" not in found


async def test_who_goes_on_is_told_once(alice: SyncPerson, bob: SyncPerson) -> None:
    await share(alice, bob)
    since = (await invisible(alice))["next_batch"]
    await bob.sync()
    since, _ = await until(alice, since, bob, "online")
    ends = asyncio.get_running_loop().time() + 2
    while asyncio.get_running_loop().time() < ends:
        await bob.sync(filter=ROOMLESS)
        answer = await invisible(alice, since, filter=ROOMLESS, timeout=200)
        assert told(answer, bob) == []
        since = answer["next_batch"]


async def test_who_does_nothing_is_unavailable_and_a_message_brings_them_back(
    alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await share(alice, bob)
    since = (await invisible(alice))["next_batch"]

    async def stay() -> None:
        token = (await bob.sync(filter=ROOMLESS))["next_batch"]
        while True:
            token = (await bob.sync(token, filter=ROOMLESS, timeout=500))["next_batch"]
            await asyncio.sleep(0.1)

    staying = asyncio.create_task(stay())
    try:
        since, _ = await until(alice, since, bob, "online")
        since, content = await until(alice, since, bob, "unavailable")
        assert content["last_active_ago"] >= 3_000
        assert "currently_active" not in content
        await bob.send(room_id, "I am back")
        since, content = await until(alice, since, bob, "online")
        assert content["last_active_ago"] < 2_000
    finally:
        staying.cancel()
        await asyncio.gather(staying, return_exceptions=True)


async def test_what_counts_as_an_activity(alice: SyncPerson, bob: SyncPerson) -> None:
    """Each soon after another, and each ends what was set."""
    room_id = await share(alice, bob)
    event_id = await bob.send(room_id, "first")
    state = {"membership": "join", "displayname": "Bob"}
    for method, path, body in (
        ("PUT", f"send/m.room.message/{event_id}", {"msgtype": "m.text", "body": "second"}),
        ("PUT", f"state/m.room.member/{seg(bob.user_id)}", state),
        ("PUT", f"redact/{seg(event_id)}/txn", {}),
        ("PUT", f"typing/{seg(bob.user_id)}", {"typing": True}),
        ("POST", f"receipt/m.read/{seg(event_id)}", {}),
        ("POST", "read_markers", {"m.read": event_id}),
    ):
        (await say(bob, "unavailable")).ok()
        assert (await shown(alice, bob))["presence"] == "unavailable"
        call = bob.put if method == "PUT" else bob.post
        (await call(f"{bob.room(room_id)}/{path}", body)).ok()
        assert (await shown(alice, bob))["presence"] == "online", path
    await say(bob, "offline")


async def test_what_is_set_is_shown_with_its_message(alice: SyncPerson, bob: SyncPerson) -> None:
    await share(alice, bob)
    since = (await invisible(alice))["next_batch"]
    (await say(bob, "unavailable", status_msg="at lunch")).ok()
    since, content = await until(alice, since, bob, "unavailable")
    assert content["status_msg"] == "at lunch"
    assert (await shown(alice, bob))["status_msg"] == "at lunch"
    (await say(bob, "online", status_msg="back")).ok()
    since, content = await until(alice, since, bob, "online")
    assert content["status_msg"] == "back" and content["currently_active"] is True
    # "The presence state to set" of this device; without a message there is none.
    (await say(bob, "offline")).ok()
    since, content = await until(alice, since, bob, "offline")
    assert "status_msg" not in content
    # "The client is automatically marked as online when it uses this API."
    await bob.sync(filter=ROOMLESS)
    since, _ = await until(alice, since, bob, "online")
    # "When set to unavailable, the client is marked as being idle."
    await bob.sync(filter=ROOMLESS, set_presence="unavailable")
    await until(alice, since, bob, "unavailable")
    await say(bob, "offline")


async def test_the_most_present_device_counts(building: Building, alice: SyncPerson, bob: SyncPerson) -> None:
    await share(alice, bob)
    phone = await building.device(bob)
    since = (await invisible(alice))["next_batch"]
    (await say(bob, "online")).ok()
    since, _ = await until(alice, since, bob, "online")
    (await say(phone, "unavailable")).ok()
    (await say(bob, "offline")).ok()
    since, _ = await until(alice, since, bob, "unavailable")
    (await say(phone, "offline")).ok()
    await until(alice, since, bob, "offline")


async def test_only_who_shares_a_room_is_told(alice: SyncPerson, bob: SyncPerson, carol: SyncPerson) -> None:
    await share(alice, bob)
    carols, alices = await carol.now(), await alice.now()
    (await say(bob, "online", status_msg="not for Carol")).ok()
    await until(alice, alices, bob, "online")
    assert told(await invisible(carol, carols, timeout=300), bob) == []
    assert told(await invisible(carol), bob) == []
    assert (await carol.get(status(bob))).error() == FORBIDDEN
    assert (await carol.get(f"{V3}/presence/@nobody:elsewhere.org/status")).error() == FORBIDDEN
    # One's own presence may be asked for, and is not told in one's own sync.
    assert (await shown(bob, bob))["status_msg"] == "not for Carol"
    assert told(await invisible(bob), bob) == []
    # In a room with him she is told, and he of her.
    room_id = await share(alice, carol)
    (await say(carol, "online")).ok()
    bobs = await bob.now()
    await bob.join(room_id)
    await carol.hear()
    assert told(await invisible(carol, carols), bob)[0]["status_msg"] == "not for Carol"
    assert told(await invisible(bob, bobs), carol)[0]["presence"] == "online"
    for person in (bob, carol):
        await say(person, "offline")


@pytest.mark.parametrize("is_away", ["alice", "bob"])
async def test_who_went_offline_out_of_sight_is_told_so_on_coming_back(
    alice: SyncPerson, bob: SyncPerson, is_away: str
) -> None:
    """Whether they come into a room again or the user does. Else they would be shown as they were."""
    room_id = await share(alice, bob)
    since = (await invisible(alice))["next_batch"]
    (await say(bob, "online")).ok()
    since, _ = await until(alice, since, bob, "online")
    away = alice if is_away == "alice" else bob
    await away.act(room_id, "leave")
    (await say(bob, "offline")).ok()
    async with asyncio.timeout(3):
        while (await shown(bob, bob))["presence"] != "offline":
            await asyncio.sleep(0.05)
    await alice.hear()
    # For longer than changes are gathered before they are told.
    answer = await invisible(alice, since, filter=ROOMLESS, timeout=500)
    assert told(answer, bob) == []
    await away.join(room_id)
    await alice.hear()
    assert told(await invisible(alice, answer["next_batch"]), bob)[0]["presence"] == "offline"


async def test_who_has_left_is_not_shown_to_who_begins(alice: SyncPerson, bob: SyncPerson) -> None:
    """Also if they do not sync here, so that nothing but their presence is known of them."""
    room_id = await share(alice, bob)
    since = (await invisible(alice))["next_batch"]
    (await say(bob, "online")).ok()
    await until(alice, since, bob, "online")
    assert told(await invisible(alice), bob) != []
    await bob.act(room_id, "leave")
    await alice.hear()
    assert told(await invisible(alice), bob) == []
    await say(bob, "offline")


@pytest.mark.parametrize(
    ("presence", "is_told"),
    [
        ({}, True),
        ({"types": ["m.presence"]}, True),
        ({"types": []}, False),
        ({"not_types": ["m.*"]}, False),
        ({"senders": ["@somebody:else.org"]}, False),
        ({"not_senders": ["BOB"]}, False),
    ],
)
async def test_filters(alice: SyncPerson, bob: SyncPerson, presence: Json, is_told: bool) -> None:
    await share(alice, bob)
    if "not_senders" in presence:
        presence = {"not_senders": [bob.user_id]}
    since = (await invisible(alice))["next_batch"]
    (await say(bob, "online")).ok()
    await until(alice, since, bob, "online")
    wanted = {"presence": presence}
    for place in (since, None):
        assert bool(told(await invisible(alice, place, filter=wanted), bob)) == is_told
    await say(bob, "offline")


async def test_a_restart_changes_nobodys_presence_and_leaves_nobody_online(
    building: Building,
    alice: SyncPerson,
    bob: SyncPerson,
    database: TestDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Of two who were there one comes again after a restart, and the other does not."""
    carol = await building.person("carol-of-the-restart")
    await share(alice, bob, carol)
    since = (await invisible(alice))["next_batch"]
    for person in (bob, carol):
        await person.sync(filter=ROOMLESS)
        since, _ = await until(alice, since, person, "online")
    await building.users.last_seen.flush()
    presence = {"idle_seconds": 60, "grace_seconds": 1}
    folder = tmp_path_factory.mktemp("again")
    async with open_building(database, folder, presence=presence) as again:
        fresh = again.replicas[0]
        answer = await invisible(alice.at(fresh), since, filter=ROOMLESS)
        states = [content["presence"] for person in (bob, carol) for content in told(answer, person)]
        assert states == ["online", "online"]
        since = answer["next_batch"]

        async def stay() -> None:
            while True:
                await bob.at(fresh).sync(filter=ROOMLESS)
                await asyncio.sleep(0.3)

        staying = asyncio.create_task(stay())
        try:
            async with asyncio.timeout(8):
                while True:
                    answer = await invisible(alice.at(fresh), since, filter=ROOMLESS, timeout=5_000)
                    since = answer["next_batch"]
                    assert told(answer, bob) == []
                    if told(answer, carol):
                        assert told(answer, carol)[0]["presence"] == "offline"
                        break
        finally:
            staying.cancel()
            await asyncio.gather(staying, return_exceptions=True)


async def test_no_sync_writes_because_of_presence(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    await share(alice, bob)
    await bob.sync()
    wire = Wire(building.platform)
    house = House(building.platform, building.rooms, building.users, bob.replica.gateway, wire)
    before = await house.count("lanes.fact")
    for state in ("online", "unavailable", "online"):
        await bob.sync(set_presence=state)
        (await say(bob, state)).ok()
    await asyncio.sleep(0.3)
    assert await house.count("lanes.fact") == before


async def test_bad_requests(alice: SyncPerson, bob: SyncPerson) -> None:
    await share(alice, bob)
    assert (await bob.put(status(alice), {"presence": "online"})).error() == FORBIDDEN
    assert (await alice.put(status(alice), {})).error() == (400, "M_MISSING_PARAM")
    assert (await say(alice, "busy")).status == 400
    assert (await say(alice, "online", status_msg=7)).status == 400
    assert (await say(alice, "online", status_msg="x" * 1001)).status == 400
    assert (await alice.get(f"{V3}/presence/alice/status")).error() == (400, "M_INVALID_PARAM")
    assert (await alice.get(SYNC, set_presence="busy")).error() == (400, "M_INVALID_PARAM")


async def test_presence_can_be_switched_off(
    database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> None:
    off = {"enabled": False}
    async with open_building(database, tmp_path_factory.mktemp("off"), presence=off) as building:
        alice, bob = [await building.person(f"{name}-without-presence") for name in ("alice", "bob")]
        await share(alice, bob)
        since = (await alice.sync())["next_batch"]
        (await say(bob, "online", status_msg="unseen")).ok()
        await bob.sync()
        assert await shown(alice, bob) == {"presence": "offline"}
        assert told(await alice.sync(since, timeout=300), bob) == []
        assert told(await alice.sync(), bob) == []

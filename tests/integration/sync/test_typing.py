"""m.typing: who is told that somebody writes, and that they do not any more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from plexus.rooms.typing import TYPING_CHANNEL

from tests.integration.sync.building import SOON, Building, SyncPerson
from tests.support.house import V3
from tests.support.http import Answer, Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = 30_000


async def type_in(person: SyncPerson, room_id: str, timeout: int = LONG, **body: Any) -> Answer:
    path = f"{person.room(room_id)}/typing/{seg(person.user_id)}"
    return await person.put(path, {"typing": True, "timeout": timeout, **body})


async def stop(person: SyncPerson, room_id: str) -> None:
    path = f"{person.room(room_id)}/typing/{seg(person.user_id)}"
    (await person.put(path, {"typing": False})).ok()


def typists(answer: Json, room_id: str) -> list[str] | None:
    """Who types in a room, by this answer; None if it says nothing."""
    section = answer["rooms"]["join"].get(room_id, {})
    found = [
        event["content"]["user_ids"]
        for event in section.get("ephemeral", {}).get("events", ())
        if event["type"] == "m.typing"
    ]
    assert len(found) <= 1
    return found[0] if found else None


async def shared_room(alice: SyncPerson, *others: SyncPerson) -> str:
    room_id = await alice.create_room(preset="public_chat")
    for other in others:
        await other.join(room_id)
        await other.hear()
    return room_id


async def until(person: SyncPerson, since: str, room_id: str, expected: list[str]) -> str:
    """Sync until told that these users type, and nothing else of typing meanwhile; the next token."""
    async with asyncio.timeout(5):
        while True:
            answer = await person.sync(since, timeout=5_000)
            since = answer["next_batch"]
            found = typists(answer, room_id)
            if found is not None:
                assert found == sorted(expected)
                return since


async def test_starting_and_stopping_wakes_the_others(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await shared_room(alice, bob)
    since = (await alice.sync())["next_batch"]
    waiting = asyncio.create_task(alice.sync(since, timeout=20_000))
    await asyncio.sleep(0.05)
    (await type_in(bob, room_id)).ok()
    async with asyncio.timeout(SOON):
        answer = await waiting
    assert typists(answer, room_id) == [bob.user_id]
    assert set(answer["rooms"]["join"][room_id]) == {"ephemeral"}
    since = answer["next_batch"]
    # Going on is nothing new.
    (await type_in(bob, room_id)).ok()
    assert (await alice.sync(since, timeout=300))["rooms"]["join"] == {}
    (await type_in(alice, room_id)).ok()
    since = await until(alice, since, room_id, [alice.user_id, bob.user_id])
    await stop(bob, room_id)
    since = await until(alice, since, room_id, [alice.user_id])
    # An initial sync has who is typing now, and is not told twice.
    answer = await bob.sync()
    assert typists(answer, room_id) == [alice.user_id]
    assert (await bob.sync(answer["next_batch"]))["rooms"]["join"] == {}
    await stop(alice, room_id)
    await until(alice, since, room_id, [])
    assert typists(await bob.sync(), room_id) is None


async def test_the_time_is_up(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await shared_room(alice, bob)
    since = await alice.now()
    (await type_in(bob, room_id)).ok()  # for half a minute
    since = await until(alice, since, room_id, [bob.user_id])
    # Each request replaces the one before.
    (await type_in(bob, room_id, 300)).ok()
    await until(alice, since, room_id, [])


async def test_who_leaves_types_no_more(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await shared_room(alice, bob)
    since = await alice.now()
    (await type_in(bob, room_id)).ok()
    since = await until(alice, since, room_id, [bob.user_id])
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    await until(alice, since, room_id, [])


async def test_who_leaves_types_no_more_where_nobody_syncs(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob)
    since = await alice.now()
    idle = await building.replica()
    (await type_in(bob, room_id)).ok()
    since = await until(alice, since, room_id, [bob.user_id])
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    await until(alice, since, room_id, [])
    await alice.at(idle).hear()
    assert typists(await alice.at(idle).sync(), room_id) is None
    await idle.end()


async def test_who_sends_what_they_typed_types_no_more(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await shared_room(alice, bob)
    since = await alice.now()
    (await type_in(bob, room_id)).ok()
    since = await until(alice, since, room_id, [bob.user_id])
    # What is sent beside it leaves the client's typing alone.
    (await bob.put(f"{bob.room(room_id)}/send/m.reaction/1", {})).ok()
    await alice.hear()
    answer = await alice.sync(since)
    assert typists(answer, room_id) is None
    await bob.send(room_id, "done")
    await alice.hear()
    answer = await alice.sync(answer["next_batch"], timeout=5_000)
    assert [event["content"]["body"] for event in answer["rooms"]["join"][room_id]["timeline"]["events"]] == [
        "done"
    ]
    if not alice.is_tortured:
        # A fact that comes without its event does not say whose it is: then the time-out ends it.
        assert typists(answer, room_id) == []


async def test_who_comes_is_told_and_who_is_outside_is_not(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob)
    alices, carols = await alice.now(), await carol.now()
    (await type_in(bob, room_id)).ok()
    await until(alice, alices, room_id, [bob.user_id])
    assert (await carol.sync(carols, timeout=100))["rooms"]["join"] == {}
    await carol.join(room_id)
    await carol.hear()
    assert typists(await carol.sync(carols), room_id) == [bob.user_id]
    await stop(bob, room_id)


@pytest.mark.parametrize(
    ("ephemeral", "is_told"),
    [({"types": ["m.typing"]}, True), ({"types": ["m.receipt"]}, False), ({"not_types": ["*"]}, False)],
)
async def test_filters(alice: SyncPerson, bob: SyncPerson, ephemeral: Json, is_told: bool) -> None:
    room_id = await shared_room(alice, bob)
    since = await alice.now()
    (await type_in(bob, room_id)).ok()
    await until(alice, since, room_id, [bob.user_id])
    wanted = {"room": {"ephemeral": ephemeral}}
    for place in (None, since):
        assert (typists(await alice.sync(place, filter=wanted), room_id) is not None) == is_told
        other = {"room": {"not_rooms": [room_id], "ephemeral": ephemeral}}
        assert typists(await alice.sync(place, filter=other), room_id) is None
    await stop(bob, room_id)


async def test_a_client_that_moves_between_replicas_is_told_what_it_is_not_yet(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob)
    other = await building.replica()
    here, there = alice, alice.at(other)
    since = await here.now()
    (await type_in(bob, room_id)).ok()
    since = await until(there, since, room_id, [bob.user_id])
    # What both have heard some time ago may be told again once, but not each time.
    await asyncio.sleep(1.2)
    answer = await here.sync(since)
    assert typists(answer, room_id) in (None, [bob.user_id])
    for place in (there, here, there):
        answer = await place.sync(answer["next_batch"], timeout=50)
        assert answer["rooms"]["join"] == {}
    since = answer["next_batch"]
    await stop(bob, room_id)
    since = await until(there, since, room_id, [])
    await other.end()


async def test_a_replica_that_begins_asks_the_others(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob)
    since = await alice.now()
    (await type_in(bob, room_id)).ok()
    since = await until(alice, since, room_id, [bob.user_id])
    fresh = await building.replica()
    there = alice.at(fresh)
    # The others have answered when this is there.
    async with asyncio.timeout(5):
        while typists(await there.sync(), room_id) != [bob.user_id]:
            await asyncio.sleep(0.02)
    await stop(bob, room_id)
    await until(there, since, room_id, [])
    await fresh.end()


async def test_nobody_is_left_typing_by_a_restart(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    """The replica that knew of it is gone, and with it whoever could say that it is over."""
    room_id = await shared_room(alice, bob)
    lonely = await building.replica()
    there = alice.at(lonely)
    mine, since = await alice.now(), await there.now()
    (await type_in(bob, room_id)).ok()
    mine = await until(alice, mine, room_id, [bob.user_id])
    shown = await until(there, since, room_id, [bob.user_id])
    await lonely.end()
    await stop(bob, room_id)
    # A replica that is left has heard of it, and so will not tell the new one otherwise.
    await until(alice, mine, room_id, [])
    fresh = await building.replica()
    there = alice.at(fresh)
    answer = await there.sync(shown)
    assert typists(answer, room_id) == []
    # Once; and who was not told of it is told nothing.
    assert (await there.sync(answer["next_batch"], timeout=50))["rooms"]["join"] == {}
    assert (await there.sync(since, timeout=50))["rooms"]["join"] == {}
    await fresh.end()


async def test_what_is_not_understood_is_passed_over(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob)
    since = await alice.now()
    for payload in (b"{", b"7", b"[[1]]", b"null"):
        await building.platform.ephemeral.publish(TYPING_CHANNEL, payload)
    (await type_in(bob, room_id)).ok()
    await until(alice, since, room_id, [bob.user_id])
    await stop(bob, room_id)


async def test_bad_requests(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room()
    assert (await type_in(bob, room_id)).error() == (403, "M_FORBIDDEN")
    assert (await type_in(alice, "!no:where.org")).error() == (403, "M_FORBIDDEN")
    path = f"{alice.room(room_id)}/typing/{seg(alice.user_id)}"
    assert (await bob.put(path, {"typing": True})).error() == (403, "M_FORBIDDEN")
    assert (await alice.put(path, {})).error() == (400, "M_MISSING_PARAM")
    assert (await alice.put(path, b"{")).error() == (400, "M_NOT_JSON")
    assert (await alice.put(path, {"typing": "yes"})).error() == (400, "M_INVALID_PARAM")
    for timeout in (-1, "5", 1.5, True, None):
        body = {"typing": True, "timeout": timeout}
        assert (await alice.put(path, body)).error() == (400, "M_INVALID_PARAM")
    assert (await alice.put(f"{V3}/rooms/x/typing/{seg(alice.user_id)}", {"typing": True})).status == 400
    assert typists(await alice.sync(), room_id) is None
    (await alice.put(path, {"typing": True})).ok()
    await stop(alice, room_id)

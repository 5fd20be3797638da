"""Whom a user does not want to hear from. Client-Server API, "Ignoring Users" and "Invite permission"."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.sync.building import Building, SyncPerson
from tests.support.house import V3
from tests.support.http import Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def set_data(person: SyncPerson, type: str, content: Json) -> None:
    (await person.put(f"{V3}/user/{seg(person.user_id)}/account_data/{type}", content)).ok()


async def ignore(person: SyncPerson, *others: SyncPerson) -> None:
    users: Json = {other.user_id: {} for other in others}
    await set_data(person, "m.ignored_user_list", {"ignored_users": users})


def timeline(answer: Json, room_id: str) -> list[Any]:
    room = answer["rooms"]["join"].get(room_id, {})
    events = room.get("timeline", {}).get("events", [])
    return [event["content"].get("body", event["type"]) for event in events]


async def shared_room(*people: SyncPerson) -> str:
    room_id = await people[0].create_room(preset="public_chat")
    for other in people[1:]:
        await other.join(room_id)
    return room_id


async def test_of_an_ignored_user_only_state_is_told(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(bob, alice, carol)
    await alice.hear()
    since = (await alice.sync())["next_batch"]
    await ignore(alice, bob)
    since = (await alice.sync(since))["next_batch"]
    await bob.send(room_id, "unheard")
    await carol.send(room_id, "heard")
    await bob.set_state(room_id, "m.room.topic", {"topic": "by bob"})
    await bob.send(room_id, "unheard too")
    await alice.hear()
    answer = await alice.sync(since)
    assert timeline(answer, room_id) == ["heard", "m.room.topic"]
    assert answer["rooms"]["join"][room_id]["timeline"]["limited"] is False
    # Others hear him.
    assert timeline(await carol.sync(), room_id)[-4:] == ["unheard", "heard", "m.room.topic", "unheard too"]


async def test_a_held_poll_is_not_ended_by_an_ignored_user(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await shared_room(alice, bob)
    await ignore(alice, bob)
    await alice.hear()
    since = (await alice.sync())["next_batch"]
    waiting = asyncio.create_task(alice.sync(since, timeout=20_000))
    await asyncio.sleep(0.1)
    await bob.send(room_id, "unheard")
    await asyncio.sleep(0.3)
    assert alice.is_tortured or not waiting.done()
    await bob.act(room_id, "leave")
    answer = await asyncio.wait_for(waiting, 5)
    while alice.is_tortured and not timeline(answer, room_id):
        # What was lost on the way has to be looked up, and counts that may have changed are told anyway.
        answer = await asyncio.wait_for(alice.sync(answer["next_batch"], timeout=20_000), 5)
    assert timeline(answer, room_id) == ["m.room.member"]


async def test_it_holds_at_once_for_every_device_on_every_replica(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob)
    other = (await building.device(alice)).at(await building.replica())
    await alice.hear()
    since = (await other.sync())["next_batch"]
    for number in range(3):
        await ignore(alice, bob)
        await bob.send(room_id, f"unheard {number}")
        await alice.hear()
        await other.hear()
        assert timeline(await other.sync(since), room_id) == []
        assert timeline(await alice.sync(since), room_id) == []
        since = (await other.sync(since))["next_batch"]
        await ignore(alice)
        # What was missed meanwhile is not told with the same token; a fresh sync has it.
        await bob.send(room_id, f"heard {number}")
        await other.hear()
        assert timeline(await other.sync(since), room_id) == [f"heard {number}"]
        await alice.hear()
        assert timeline(await alice.sync(), room_id)[-2:] == [f"unheard {number}", f"heard {number}"]
        since = (await other.sync(since))["next_batch"]


async def test_an_initial_sync_has_as_many_events_of_others(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob, carol)
    for number in range(4):
        await carol.send(room_id, f"carol {number}")
        await bob.send(room_id, f"bob {number}")
    await ignore(alice, bob)
    await alice.hear()
    answer = await alice.sync(filter={"room": {"timeline": {"limit": 3}}})
    assert timeline(answer, room_id) == ["carol 1", "carol 2", "carol 3"]
    assert answer["rooms"]["join"][room_id]["timeline"]["limited"] is True


async def test_invites_of_ignored_users_are_not_told(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    since = await alice.now()
    await ignore(alice, bob)
    hidden = await bob.create_room(invite=[alice.user_id])
    shown = await carol.create_room(invite=[alice.user_id])
    await alice.hear()
    for answer in (await alice.sync(since), await alice.sync()):
        assert set(answer["rooms"]["invite"]) == {shown}
    await ignore(alice)
    assert set((await alice.sync())["rooms"]["invite"]) == {shown, hidden}


async def test_who_blocks_invites_is_told_of_none(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await bob.create_room(invite=[alice.user_id])
    await alice.hear()
    assert set((await alice.sync())["rooms"]["invite"]) == {room_id}
    await set_data(alice, "m.invite_permission_config", {"default_action": "block"})
    assert "invite" not in (await alice.sync())["rooms"]
    await set_data(alice, "m.invite_permission_config", {})
    assert set((await alice.sync())["rooms"]["invite"]) == {room_id}


@pytest.mark.parametrize("content", [{}, {"ignored_users": ["@x:y"]}, {"ignored_users": None}])
async def test_a_list_of_another_form_ignores_nobody(
    alice: SyncPerson, bob: SyncPerson, content: Json
) -> None:
    room_id = await shared_room(alice, bob)
    await ignore(alice, bob)
    await set_data(alice, "m.ignored_user_list", content)
    await alice.hear()
    since = await alice.now()
    await bob.send(room_id, "heard")
    await alice.hear()
    assert timeline(await alice.sync(since), room_id) == ["heard"]


async def test_nobody_ignores_themselves(alice: SyncPerson) -> None:
    room_id = await alice.create_room()
    await ignore(alice, alice)
    since = await alice.now()
    await alice.send(room_id, "my own")
    assert timeline(await alice.sync(since), room_id) == ["my own"]

"""m.receipt in /sync: who is told of whose receipts, once each, whichever replica and whatever was read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.sync.building import SOON, Building, SyncPerson
from tests.support.house import V3
from tests.support.http import Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


Told = dict[tuple[str, str, str | None], str]
"""(user, type, thread) to the event."""


def told(answer: Json, room_id: str) -> Told:
    """The receipts of a room in an answer; the same one twice is an error."""
    section = answer["rooms"]["join"].get(room_id, {})
    found: Told = {}
    for event in section.get("ephemeral", {}).get("events", ()):
        if event["type"] != "m.receipt":
            continue
        assert set(event) == {"type", "content"}
        for event_id, by_type in event["content"].items():
            for type_, by_user in by_type.items():
                for user_id, said in by_user.items():
                    assert said["ts"] > 1_600_000_000_000
                    key = (user_id, type_, said.get("thread_id"))
                    assert key not in found
                    found[key] = event_id
    return found


async def read(
    person: SyncPerson, room_id: str, event_id: str, type: str = "m.read", thread: str | None = None
) -> None:
    body = {} if thread is None else {"thread_id": thread}
    (await person.post(f"{person.room(room_id)}/receipt/{type}/{seg(event_id)}", body)).ok()


async def shared_room(alice: SyncPerson, *others: SyncPerson) -> str:
    room_id = await alice.create_room(preset="public_chat")
    for other in others:
        await other.join(room_id)
    return room_id


async def test_a_receipt_wakes_the_others_and_is_told_once(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await shared_room(alice, bob)
    event_id = await alice.send(room_id, "read me")
    since = (await alice.sync())["next_batch"]
    waiting = asyncio.create_task(alice.sync(since, timeout=20_000))
    await asyncio.sleep(0.05)
    await read(bob, room_id, event_id)
    async with asyncio.timeout(SOON):
        answer = await waiting
    assert told(answer, room_id) == {(bob.user_id, "m.read", None): event_id}
    # Nothing else has happened in the room. (Counts may be told again when the fact was read.)
    assert set(answer["rooms"]["join"][room_id]) <= {"ephemeral", "unread_notifications"}
    again = await alice.sync(answer["next_batch"])
    assert again["rooms"]["join"] == {}
    # One's own receipt comes too: for one's other devices.
    assert (bob.user_id, "m.read", None) in told(await bob.sync(), room_id)


async def test_a_private_receipt_is_told_to_nobody_else(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob)
    event_id = await alice.send(room_id, "read me quietly")
    phone = await building.device(bob)
    alices, bobs = await alice.now(), await phone.now()
    waiting = asyncio.create_task(alice.sync(alices, timeout=600))
    await asyncio.sleep(0.05)
    await read(bob, room_id, event_id, "m.read.private")
    answer = await waiting
    await phone.hear()
    assert told(answer, room_id) == {} and answer["rooms"]["join"] == {}
    mine = {(bob.user_id, "m.read.private", None): event_id}
    assert told(await phone.sync(bobs), room_id) == mine
    assert told(await phone.sync(), room_id) == mine
    assert told(await alice.sync(), room_id) == {}
    # With a public one in the same moment, everybody is told of that one only.
    other = await alice.send(room_id, "and this")
    alices, bobs = await alice.now(), await phone.now()
    path = f"{V3}/rooms/{seg(room_id)}/read_markers"
    (await bob.post(path, {"m.read": event_id, "m.read.private": other})).ok()
    await alice.hear()
    public = {(bob.user_id, "m.read", None): event_id}
    assert told(await alice.sync(alices), room_id) == public
    assert told(await phone.sync(bobs), room_id) == public | {(bob.user_id, "m.read.private", None): other}


async def test_threaded_and_unthreaded_receipts_stand_beside_one_another(
    alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob)
    root = await alice.send(room_id, "root")
    content = {"msgtype": "m.text", "body": "x", "m.relates_to": {"rel_type": "m.thread", "event_id": root}}
    sent = await alice.put(f"{alice.room(room_id)}/send/m.room.message/in-thread", content)
    reply = sent.ok()["event_id"]
    since = await alice.now()
    # All on events that others of them name too.
    await read(bob, room_id, root)
    await read(bob, room_id, root, thread="main")
    await read(bob, room_id, reply, thread=root)
    await read(bob, room_id, reply)
    await alice.hear()
    expected = {
        (bob.user_id, "m.read", None): reply,
        (bob.user_id, "m.read", "main"): root,
        (bob.user_id, "m.read", root): reply,
    }
    assert told(await alice.sync(since), room_id) == expected
    assert told(await alice.sync(), room_id) == expected


async def test_a_receipt_that_goes_back_is_not_told(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await shared_room(alice, bob)
    first, second = [await alice.send(room_id, text) for text in ("first", "second")]
    await read(bob, room_id, second)
    await alice.hear()
    since = await alice.now()
    await read(bob, room_id, first)
    await read(bob, room_id, second)
    await alice.hear()
    assert (await alice.sync(since))["rooms"]["join"] == {}


async def test_who_comes_is_told_all_and_who_is_outside_nothing(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob)
    event_id = await alice.send(room_id, "before Carol")
    since = await carol.now()
    await read(bob, room_id, event_id)
    await carol.hear()
    assert room_id not in (await carol.sync(since))["rooms"]["join"]
    await carol.join(room_id)
    assert told(await carol.sync(since), room_id) == {(bob.user_id, "m.read", None): event_id}
    since = await carol.now()
    (await carol.post(f"{carol.room(room_id)}/leave")).ok()
    await read(alice, room_id, event_id)
    await carol.hear()
    answer = await carol.sync(since)
    assert room_id not in answer["rooms"]["join"]
    assert "ephemeral" not in answer["rooms"]["leave"][room_id]


@pytest.mark.parametrize(
    ("ephemeral", "number"),
    [
        ({}, 1),
        ({"types": ["m.receipt"]}, 1),
        ({"types": ["m.*"]}, 1),
        ({"types": ["m.typing"]}, 0),
        ({"not_types": ["m.receipt"]}, 0),
        ({"not_types": ["*"]}, 0),
        ({"types": []}, 0),
        ({"limit": 1}, 1),
        ({"rooms": []}, 0),
        ({"not_rooms": ["!x"]}, 0),
    ],
)
async def test_filters(alice: SyncPerson, bob: SyncPerson, ephemeral: Json, number: int) -> None:
    room_id = await shared_room(alice, bob)
    if "not_rooms" in ephemeral:
        ephemeral = {"not_rooms": [room_id]}
    event_id = await alice.send(room_id, "seen by a filter")
    since = await alice.now()
    await read(bob, room_id, event_id)
    await alice.hear()
    wanted = {"room": {"ephemeral": ephemeral}}
    assert len(told(await alice.sync(since, filter=wanted), room_id)) == number
    assert len(told(await alice.sync(filter=wanted), room_id)) == number
    without = {"room": {"not_rooms": [room_id], "ephemeral": ephemeral}}
    assert (await alice.sync(since, filter=without))["rooms"]["join"] == {}


async def test_a_limit_counts_events(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await shared_room(alice, bob)
    event_id = await alice.send(room_id, "in two threads at once")
    await read(bob, room_id, event_id)
    await read(bob, room_id, event_id, thread="main")
    await alice.hear()
    wanted = {"room": {"ephemeral": {"limit": 1}}}
    section = (await alice.sync(filter=wanted))["rooms"]["join"][room_id]
    assert len(section["ephemeral"]["events"]) == 1
    assert len(told(await alice.sync(), room_id)) == 2


async def test_what_lies_beyond_the_tail_is_read(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob, carol)
    first, second = [await alice.send(room_id, text) for text in ("first", "second")]
    await read(carol, room_id, first)
    await alice.hear()
    since = await alice.now()
    await read(bob, room_id, first)
    await read(bob, room_id, second)
    await read(carol, room_id, second, "m.read.private")
    # A replica that knows nothing of what was before.
    fresh = await building.replica()
    assert await fresh.reach_heads()
    answer = await alice.at(fresh).sync(since)
    assert told(answer, room_id) == {(bob.user_id, "m.read", None): second}
    assert told(await alice.at(fresh).sync(answer["next_batch"]), room_id) == {}
    assert told(await carol.at(fresh).sync(since), room_id) == {
        (bob.user_id, "m.read", None): second,
        (carol.user_id, "m.read.private", None): second,
    }
    await fresh.end()


async def test_two_replicas_tell_everything_once(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    """Folded over both replicas in turn, the receipts are those of a fresh sync."""
    room_id = await shared_room(alice, bob)
    other = await building.replica()
    by = [alice, alice.at(other)]
    answer = await alice.sync()
    folded: dict[Any, str] = told(answer, room_id)
    times = 0
    for number in range(12):
        event_id = await alice.send(room_id, f"number {number}")
        await read(bob, room_id, event_id)
        await read(alice, room_id, event_id, "m.read.private")
        assert await other.reach_heads()
        await alice.hear()
        answer = await by[number % 2].sync(answer["next_batch"])
        news = told(answer, room_id)
        times += len(news)
        folded.update(news)
    assert times == 24
    assert folded == told(await alice.at(other).sync(), room_id)
    await other.end()


async def test_one_reads_ones_own_receipt_through_any_replica(building: Building, alice: SyncPerson) -> None:
    room_id = await alice.create_room()
    other = await building.replica()
    event_id = await alice.send(room_id, "mine")
    since = await alice.at(other).now()
    await read(alice, room_id, event_id)
    assert told(await alice.at(other).sync(since), room_id) == {(alice.user_id, "m.read", None): event_id}
    await other.end()


async def test_the_fully_read_marker_is_told_to_ones_devices_only(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob)
    event_id = await alice.send(room_id, "up to here")
    phone = await building.device(bob)
    alices, bobs = await alice.now(), await phone.now()
    (await bob.post(f"{bob.room(room_id)}/read_markers", {"m.fully_read": event_id})).ok()
    section = (await phone.sync(bobs))["rooms"]["join"][room_id]
    marker = {"type": "m.fully_read", "content": {"event_id": event_id}}
    assert section == {"account_data": {"events": [marker]}}
    assert (await alice.sync(alices))["rooms"]["join"] == {}

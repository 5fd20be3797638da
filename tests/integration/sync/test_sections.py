"""What a room's section tells beside its timeline: summary, lazily loaded members, account data."""

from __future__ import annotations

import pytest

from tests.integration.sync.building import Building, SyncPerson
from tests.support.house import V3
from tests.support.http import Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


def summary(answer: Json, room_id: str) -> tuple[list[str], int, int]:
    found = answer["rooms"]["join"][room_id]["summary"]
    return found["m.heroes"], found["m.joined_member_count"], found["m.invited_member_count"]


def members(answer: Json, room_id: str) -> set[str]:
    state = answer["rooms"]["join"][room_id].get("state", {"events": []})["events"]
    return {event["state_key"] for event in state if event["type"] == "m.room.member"}


async def test_when_all_others_have_left_they_stand_for_the_room_still(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat", invite=[carol.user_id])
    await bob.join(room_id)
    since = (await alice.sync())["next_batch"]
    assert await bob.act(room_id, "leave") == 200
    await alice.hear()
    answer = await alice.sync(since)
    assert summary(answer, room_id) == ([carol.user_id], 1, 1)
    assert await alice.act(room_id, "ban", carol.user_id) == 200
    answer = await alice.sync(answer["next_batch"])
    assert summary(answer, room_id) == ([bob.user_id, carol.user_id], 1, 0)
    assert summary(await alice.sync(), room_id) == ([bob.user_id, carol.user_id], 1, 0)


async def test_a_summary_says_how_it_was_at_the_cut(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    await alice.hear()
    replica = await building.replica()
    feed = replica.sync.replica._feed
    then = feed.cut()
    await carol.join(room_id)
    await alice.send(room_id, "carol is here")
    assert await bob.act(room_id, "leave") == 200
    assert await replica.reach_heads()
    since = (await alice.sync())["next_batch"]
    with monkeypatch.context() as patch:
        # The rooms have moved on since this sync took its cut.
        patch.setattr(feed, "cut", lambda: then)
        answer = await alice.at(replica).sync()
    assert summary(answer, room_id) == ([bob.user_id], 2, 0)
    assert summary(await alice.sync(), room_id) == ([carol.user_id], 2, 0)
    assert (await alice.sync(since))["rooms"]["join"] == {}


async def test_who_has_left_is_not_told_who_is_there_now(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    declined = await alice.create_room(invite=[bob.user_id])
    await bob.join(room_id)
    since = (await bob.sync())["next_batch"]
    for each in (room_id, declined):
        assert await bob.act(each, "leave") == 200
    await carol.join(room_id)
    await bob.hear()
    left = (await bob.sync(since))["rooms"]["leave"]
    assert left.keys() == {room_id, declined}
    archived = await bob.sync(filter={"room": {"include_leave": True}})
    for section in (*left.values(), *archived["rooms"]["leave"].values()):
        assert "summary" not in section
        assert carol.user_id not in str(section)


async def test_lazily_loaded_members_pass_the_filter_as_other_state_does(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat", name="Tea")
    await bob.join(room_id)
    for person in (alice, bob):
        for number in range(6):
            await person.send(room_id, str(number))
    await bob.hear()

    async def seen(**state: object) -> set[str]:
        wanted = {"room": {"state": {"lazy_load_members": True, **state}, "timeline": {"limit": 8}}}
        return members(await bob.sync(filter=wanted), room_id)

    assert await seen() == {alice.user_id, bob.user_id}
    assert await seen(types=["m.room.name"]) == set()
    assert await seen(not_types=["m.room.member"]) == set()
    assert await seen(not_senders=[alice.user_id]) == {bob.user_id}
    assert await seen(types=["m.room.*"]) == {alice.user_id, bob.user_id}


async def test_a_gap_has_the_member_events_in_it_although_the_device_has_them(
    alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    lazy: Json = {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 2}}}
    for number in range(2):
        await alice.send(room_id, f"before {number}")
    await bob.hear()
    answer = await bob.sync(filter=lazy)
    assert members(answer, room_id) == {alice.user_id, bob.user_id}
    await alice.set_state(room_id, "m.room.member", {"membership": "join", "displayname": "A"}, alice.user_id)
    for number in range(3):
        await alice.send(room_id, f"after {number}")
    await bob.hear()
    answer = await bob.sync(answer["next_batch"], filter=lazy)
    assert answer["rooms"]["join"][room_id]["timeline"]["limited"] is True
    assert members(answer, room_id) == {alice.user_id}


async def test_rooms_that_were_left_keep_their_account_data(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    path = f"{V3}/user/{seg(bob.user_id)}/rooms/{seg(room_id)}/account_data/org.example.note"
    (await bob.put(path, {"n": 1})).ok()
    since = (await bob.sync())["next_batch"]
    (await bob.put(path, {"n": 2})).ok()
    assert await bob.act(room_id, "leave") == 200
    noted = {"events": [{"type": "org.example.note", "content": {"n": 2}}]}
    answer = await bob.sync(since)
    assert answer["rooms"]["leave"][room_id]["account_data"] == noted
    assert room_id not in answer["rooms"]["join"]
    archived = await bob.sync(filter={"room": {"include_leave": True}})
    assert archived["rooms"]["leave"][room_id]["account_data"] == noted
    silent: Json = {"room": {"include_leave": True, "account_data": {"types": []}}}
    assert "account_data" not in (await bob.sync(filter=silent))["rooms"]["leave"][room_id]
    assert room_id not in str((await bob.sync())["rooms"])

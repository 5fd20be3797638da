"""Deactivation with ``erase``, as syncs tell of it to who joined before and to who joins later."""

from __future__ import annotations

import pytest

from tests.integration.client_api.relating import reply_in_thread, say
from tests.integration.sync.building import Building, SyncPerson
from tests.integration.sync.test_sliding import slide, top
from tests.support.erasing import erase
from tests.support.house import V3
from tests.support.http import Json

pytestmark = pytest.mark.asyncio(loop_scope="module")

LAZY = {"room": {"state": {"lazy_load_members": True}}}
FEW = {"room": {"timeline": {"limit": 3}}}
FEW_LAZILY = {"room": {"timeline": {"limit": 3}, "state": {"lazy_load_members": True}}}
FEW_PDUS = {**FEW, "event_format": "federation"}
PDUS = {"event_format": "federation"}


def contents(section: Json) -> dict[str, Json]:
    return {event["event_id"]: event["content"] for event in section["timeline"]["events"]}


async def test_every_kind_of_section(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    dave = await building.person("dave" + alice.user_id[6:].split(":")[0])
    await building.users.set_profile_field(alice.user_id, "displayname", "Alice Liddell")
    room_id = await bob.create_room(preset="public_chat")
    await alice.join(room_id)
    said = await say(alice, room_id, "my secret")
    answer = await say(bob, room_id, "I see")
    told = await reply_in_thread(alice, room_id, answer, "in my words")
    await carol.hear()
    since = await carol.now()
    await erase(building.users, alice)
    await carol.join(room_id)
    await dave.join(room_id)
    for person in (bob, carol, dave):
        await person.hear()

    def check(section: Json, *, is_old: bool) -> None:
        seen = contents(section)
        if said in seen:
            assert ("body" in seen[said]) is is_old
            assert "body" in seen[answer]
        if told in seen:
            assert ("body" in seen[told]) is is_old
        if not is_old:
            assert "Alice Liddell" not in str(section)
            assert "secret" not in str(section) and "my words" not in str(section)

    # Made for members first, and then for who came later, from what is kept.
    for found in ({}, LAZY, FEW, FEW_LAZILY, PDUS, FEW_PDUS):
        for person in (bob, carol, dave):
            section = (await person.sync(filter=found))["rooms"]["join"][room_id]
            check(section, is_old=person is bob)
            assert (said in contents(section)) is (found in ({}, LAZY, PDUS))
    check((await carol.sync(since))["rooms"]["join"][room_id], is_old=False)

    for person in (bob, carol):
        body = await slide(
            person, lists=top(10, {"timeline_limit": 20, "required_state": {"lazy_members": True}})
        )
        room = body["rooms"][room_id]
        check(
            {"timeline": {"events": room["timeline"]}, "state": room.get("required_state")},
            is_old=person is bob,
        )
        assert said in contents({"timeline": {"events": room["timeline"]}})
        initial = (await person.get(f"{V3}/initialSync", limit=20)).ok()
        [info] = [each for each in initial["rooms"] if each["room_id"] == room_id]
        check({"timeline": {"events": info["messages"]["chunk"]}, "state": []}, is_old=person is bob)


async def test_required_state_and_heroes_of_sliding_sync(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    """A member event in which the erased user speaks of themselves is redacted for who came later, whether or
    not something of them is in the timeline; the membership stays.
    """
    await building.users.set_profile_field(alice.user_id, "displayname", "Alice Liddell")
    room_id = await bob.create_room(preset="public_chat")
    await alice.join(room_id)
    own: Json = {"membership": "join", "displayname": "Alice Liddell"}
    await alice.set_state(room_id, "m.room.member", own, alice.user_id)
    (await alice.post(f"{alice.room(room_id)}/leave", {"reason": "my secret"})).ok()
    for text in ("one", "two"):
        await bob.send(room_id, text)
    await erase(building.users, alice)
    await carol.join(room_id)
    members: Json = {"include": [{"type": "m.room.member"}]}
    for person, is_old in ((bob, True), (carol, False)):
        for limit in (1, 20):
            lists = top(10, {"timeline_limit": limit, "required_state": members})
            first = await slide(person, lists=lists, conn_id=f"at once {limit}")
            told = first["rooms"][room_id]
            [content] = [
                event["content"] for event in told["required_state"] if event["state_key"] == alice.user_id
            ]
            assert content == {"membership": "leave"} | ({"reason": "my secret"} if is_old else {})
            assert is_old or "Liddell" not in str(told)
        little = await slide(person, lists=top(10), conn_id="later")
        lists = top(10, {"timeline_limit": 1, "required_state": members})
        more = await slide(person, little["pos"], lists=lists, conn_id="later")
        told = more["rooms"][room_id]["required_state"]
        assert ("my secret" in str(told)) is is_old
        assert alice.user_id in [event["state_key"] for event in told]

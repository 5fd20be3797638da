"""Deactivation with ``erase``, as syncs tell of it to who joined before and to who joins later."""

from __future__ import annotations

import pytest

from tests.integration.client_api.relating import reply_in_thread, say
from tests.integration.sync.building import Building, SyncPerson
from tests.integration.sync.test_sliding import slide, top
from tests.support.erasing import erase
from tests.support.house import V3
from tests.support.http import Json, seg

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


@pytest.mark.parametrize("is_kicked", [False, True])
async def test_state_of_who_has_left(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson, is_kicked: bool
) -> None:
    """What erased users say of themselves in their member events stands in no state, full or lazily loaded,
    of who came after they had gone, whatever else the timeline has. Who was there before sees it, and so does
    everybody before the erasure.
    """
    await building.users.set_profile_field(alice.user_id, "displayname", "Alice Liddell")
    room_id = await bob.create_room(preset="public_chat")
    dave = await building.device(carol)
    await alice.join(room_id)
    await bob.set_state(room_id, "m.room.power_levels", {"users": {alice.user_id: 50}})
    for kind in ("m.room.topic", "m.room.name"):
        await alice.set_state(room_id, kind, {kind[7:]: "the room's"})
    if is_kicked:
        (await bob.post(f"{bob.room(room_id)}/kick", {"user_id": alice.user_id})).ok()
    else:
        own: Json = {"membership": "leave", "displayname": "Alice Liddell", "reason": "my secret"}
        await alice.set_state(room_id, "m.room.member", own, alice.user_id)
    await carol.join(room_id)
    await carol.hear()
    ways: list[Json] = [
        {"filter": {"room": {"timeline": {"limit": limit}, "state": {"lazy_load_members": lazy}}}, **after}
        for limit in (1, 4, 20)
        for lazy in (False, True)
        for after in ({}, {"use_state_after": "true"})
    ] + [{"filter": FEW_PDUS}, {"filter": {"room": {"timeline": {"types": ["m.room.name"]}}}}]

    async def told(person: SyncPerson, way: Json) -> Json:
        section: Json = (await person.sync(**way))["rooms"]["join"][room_id]
        section.pop("timeline")
        return section

    def names(section: Json) -> bool:
        return "Liddell" in str(section) or "my secret" in str(section)

    before = [await told(carol, way) for way in ways]
    assert any(map(names, before))
    await erase(building.users, alice)
    for way, section in zip(ways, before, strict=True):
        kept = await told(bob, way)
        if "filter" in way and not way["filter"]["room"].get("state", {}).get("lazy_load_members"):
            assert names(kept) is names(section), way
        for person in (carol, dave):
            late = await told(person, way)
            assert not names(late), way
    for person, sees in ((bob, True), (carol, False)):
        whole = (await person.get(f"{V3}/rooms/{seg(room_id)}/initialSync", limit=1)).ok()
        [of_all] = [
            room
            for room in (await person.get(f"{V3}/initialSync", limit=1)).ok()["rooms"]
            if room["room_id"] == room_id
        ]
        for room in (whole, of_all):
            said = [event["content"] for event in room["state"] if event.get("state_key") == alice.user_id]
            assert len(said) == 1 and names({"state": said}) is (sees and not is_kicked)


async def test_a_hero_who_has_left(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    """Where nobody else is there any more, who has left stands for the room, without what was erased."""
    room_id = await bob.create_room(preset="public_chat")
    await alice.join(room_id)
    own: Json = {"membership": "leave", "displayname": "Alice Liddell", "reason": "my secret"}
    await alice.set_state(room_id, "m.room.member", own, alice.user_id)
    await carol.join(room_id)
    await carol.hear()
    lazy: Json = {"room": {"timeline": {"limit": 1}, "state": {"lazy_load_members": True}}}
    since = (await carol.sync(filter=lazy))["next_batch"]
    await erase(building.users, alice)
    await bob.act(room_id, "leave")
    await carol.hear()
    section = (await carol.sync(since, filter=lazy))["rooms"]["join"][room_id]
    assert alice.user_id in section["summary"]["m.heroes"]
    assert "Liddell" not in str(section) and "my secret" not in str(section)
    state = {event["state_key"]: event["content"] for event in section["state"]["events"]}
    assert state[alice.user_id] == {"membership": "leave"}
    room = (await slide(carol, lists=top(10)))["rooms"][room_id]
    assert alice.user_id in [hero["user_id"] for hero in room["heroes"]]
    assert "Liddell" not in str(room)


async def test_the_state_of_a_room_that_was_left(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await bob.create_room(preset="public_chat")
    dave = await building.person("dave" + alice.user_id[6:].split(":")[0])
    await alice.join(room_id)
    await dave.join(room_id)
    (await alice.post(f"{alice.room(room_id)}/leave", {"reason": "my secret"})).ok()
    await carol.join(room_id)
    for text in ("one", "two"):
        await bob.send(room_id, text)
    for person in (carol, dave):
        await person.act(room_id, "leave")
    await erase(building.users, alice)
    archive: Json = {"room": {"include_leave": True, "timeline": {"limit": 1}}}
    for person, is_old in ((dave, True), (carol, False)):
        await person.hear()
        section = (await person.sync(filter=archive))["rooms"]["leave"][room_id]
        assert ("my secret" in str(section)) is is_old
        assert alice.user_id in [event["state_key"] for event in section["state"]["events"]]


async def test_nothing_of_it_stands_in_other_events(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    """What a kick and a ban replaced, and why something was redacted: for who came later, whether they are
    told of it when they come or when it happens.
    """
    await building.users.set_profile_field(alice.user_id, "displayname", "Alice Liddell")
    room_id = await bob.create_room(preset="public_chat")
    await bob.set_state(room_id, "m.room.power_levels", {"users": {alice.user_id: 50}})
    topic = await bob.set_state(room_id, "m.room.topic", {"topic": "tea"})
    await alice.join(room_id)
    (await alice.put(f"{alice.room(room_id)}/redact/{seg(topic)}/why", {"reason": "my words"})).ok()
    (await bob.post(f"{bob.room(room_id)}/kick", {"user_id": alice.user_id})).ok()
    await alice.join(room_id)
    (await alice.post(f"{alice.room(room_id)}/leave", {"reason": "my secret"})).ok()
    await erase(building.users, alice)
    dave = await building.person("dave" + alice.user_id[6:].split(":")[0])
    await carol.join(room_id)
    for person in (bob, carol):
        await person.hear()
    lists = top(10, {"timeline_limit": 20, "required_state": {"include": [{}]}})
    since = {person.user_id: await person.now() for person in (bob, carol)}
    pos = {person.user_id: (await slide(person, lists=lists))["pos"] for person in (bob, carol)}
    (await bob.post(f"{bob.room(room_id)}/ban", {"user_id": alice.user_id})).ok()
    for person in (bob, carol):
        await person.hear()
        live = (await person.sync(since[person.user_id]))["rooms"]["join"][room_id]
        moved = (await slide(person, pos[person.user_id], lists=lists))["rooms"][room_id]
        for told in (live["timeline"]["events"], moved["timeline"]):
            assert [event["content"]["membership"] for event in told] == ["ban"]
            assert ("my secret" in str(told)) is (person is bob)
    await dave.join(room_id)
    await dave.hear()
    few: Json = {"room": {"timeline": {"limit": 1}}}
    for person in (bob, carol, dave):
        for found in ({}, FEW, few, LAZY):
            told = (await person.sync(filter=found))["rooms"]["join"][room_id]
            whole = any(event["event_id"] == topic for event in told["timeline"]["events"])
            for words in ("Alice Liddell", "my secret"):
                assert words not in str(told) if person is not bob else words in str(told) or not whole
            assert ("my words" in str(told)) is (person is bob)
        initial = (await person.get(f"{V3}/initialSync", limit=20)).ok()
        for words in ("Alice Liddell", "my secret", "my words"):
            assert (words in str(initial)) is (person is bob)
        for limit in (1, 20):
            config: Json = {"timeline_limit": limit, "required_state": {"include": [{}]}}
            answer = await slide(person, lists=top(10, config), conn_id=f"with {limit}")
            told = answer["rooms"][room_id]
            assert ("my words" in str(told)) is (person is bob)
            assert ("Alice Liddell" in str(told)) is (person is bob and limit == 20)


async def test_nothing_of_it_stands_in_lazily_loaded_members(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    """Why a member event of somebody else was redacted, whoever asks first."""
    room_id = await bob.create_room(preset="public_chat")
    await bob.set_state(room_id, "m.room.power_levels", {"users": {alice.user_id: 50}})
    await alice.join(room_id)
    own: Json = {"membership": "join", "displayname": "Bob?"}
    member = await bob.set_state(room_id, "m.room.member", own, bob.user_id)
    (await alice.put(f"{alice.room(room_id)}/redact/{seg(member)}/why", {"reason": "my words"})).ok()
    await erase(building.users, alice)
    await carol.join(room_id)
    for text in ("one", "two", "three"):
        await bob.send(room_id, text)
    filters: list[Json] = [
        {**form, "room": {"timeline": {"limit": limit}, "state": LAZY["room"]["state"]}}
        for form in ({}, PDUS)
        for limit in (1, 2)
    ]
    for person in (bob, carol):
        await person.hear()
    for people, wanted in zip(((bob, carol), (carol, bob)) * 2, filters, strict=True):
        for person in people:
            section = (await person.sync(filter=wanted))["rooms"]["join"][room_id]
            [event] = [e for e in section["state"]["events"] if e["state_key"] == bob.user_id]
            assert event["event_id"] == member and "redacted_because" in event["unsigned"]
            assert ("my words" in str(section)) is (person is bob)
    lists = top(10, {"timeline_limit": 1, "required_state": {"lazy_members": True}})
    for person in (carol, bob):
        room = (await slide(person, lists=lists))["rooms"][room_id]
        assert "redacted_because" in str(room["required_state"])
        assert ("my words" in str(room)) is (person is bob)

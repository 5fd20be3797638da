"""upgradeRoom: what goes along, what moves, what the old room is then; and that nothing is done twice."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest
from plexus.client_api.upgrade import service
from plexus.client_api.upgrade.events import MOST_BANS_AT_ONCE
from plexus.client_api.upgrade.finishing import Upgrades
from plexus.protocol import ROOM_VERSIONS, get_room_version
from plexus.rooms import NewEvent

from tests.support.house import SERVER, V3, House, Person
from tests.support.http import Answer, Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

_numbers = count(1)
VERSIONS = list(ROOM_VERSIONS)
ACL = {"allow": ["*"], "deny": ["evil.example"], "allow_ip_literals": False}
ENCRYPTION = {"algorithm": "m.megolm.v1.aes-sha2", "rotation_period_msgs": 100}


async def ask(person: Person, room_id: str, version: str, **body: Any) -> Answer:
    return await person.post(f"{person.room(room_id)}/upgrade", {"new_version": version, **body})


async def upgrade(person: Person, room_id: str, version: str, **body: Any) -> str:
    answer = (await ask(person, room_id, version, **body)).ok()
    assert list(answer) == ["replacement_room"]
    replacement: str = answer["replacement_room"]
    return replacement


async def set_state(person: Person, room_id: str, type: str, content: Json, state_key: str = "") -> None:
    (await person.put(f"{person.room(room_id)}/state/{seg(type)}/{seg(state_key)}", content)).ok()


async def has_state(person: Person, room_id: str, type: str, state_key: str = "") -> bool:
    answer = await person.get(f"{person.room(room_id)}/state/{seg(type)}/{seg(state_key)}")
    return answer.status == 200


async def a_room(alice: Person, bob: Person, version: str, **body: Any) -> str:
    """Alice's public room with Bob in it."""
    room_id = await alice.create_room(room_version=version, preset="public_chat", **body)
    await bob.join(room_id)
    return room_id


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_room_of_every_version_becomes_the_newest(
    alice: Person, bob: Person, carol: Person, version: str
) -> None:
    await _whole_story(alice, bob, carol, version, "12")


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_newest_becomes_every_version(
    alice: Person, bob: Person, carol: Person, version: str
) -> None:
    await _whole_story(alice, bob, carol, "12", version)


async def _whole_story(alice: Person, bob: Person, carol: Person, old_version: str, new_version: str) -> None:
    name = f"story{next(_numbers)}"
    alias, other = f"#{name}:{SERVER}", f"#{name}too:{SERVER}"
    old = await a_room(
        alice,
        bob,
        old_version,
        visibility="public",
        room_alias_name=name,
        name="The room",
        topic="Talk",
        initial_state=[
            {"type": "m.room.server_acl", "content": ACL},
            {"type": "m.room.encryption", "content": ENCRYPTION},
            {"type": "m.room.avatar", "content": {"url": "mxc://here.example.org/a"}},
            {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}},
            {"type": "m.room.guest_access", "content": {"guest_access": "can_join"}},
            {"type": "org.example.secret", "content": {"by": "sender"}},
        ],
    )
    (await bob.put(f"{V3}/directory/room/{seg(other)}", {"room_id": old})).ok()
    listed = {"alias": alias, "alt_aliases": [other]}
    await set_state(alice, old, "m.room.canonical_alias", listed)
    levels = await alice.state(old, "m.room.power_levels")
    levels["users"] = {**levels["users"], bob.user_id: 50}
    await set_state(alice, old, "m.room.power_levels", {**levels, "kick": 60})
    (await alice.post(f"{alice.room(old)}/ban", {"user_id": carol.user_id, "reason": "spam"})).ok()
    last = await bob.send(old, "the last words")

    new = await upgrade(alice, old, new_version)

    assert new != old
    create = await alice.state(new, "m.room.create")
    assert create["room_version"] == new_version
    assert create["predecessor"] == {"room_id": old, "event_id": last}
    for name in ("server_acl", "encryption", "avatar", "history_visibility", "guest_access"):
        assert await alice.state(new, f"m.room.{name}") == await alice.state(old, f"m.room.{name}")
    assert (await alice.state(new, "m.room.name"))["name"] == "The room"
    assert (await alice.state(new, "m.room.topic"))["topic"] == "Talk"
    assert (await alice.state(new, "m.room.join_rules"))["join_rule"] == "public"
    assert not await has_state(alice, new, "org.example.secret")
    assert not await has_state(alice, new, "m.room.member", bob.user_id)

    # Power is as it was, for others and for who upgraded.
    power = await alice.state(new, "m.room.power_levels")
    creators = get_room_version(new_version).auth.creators_have_infinite_power
    assert power["users"] == ({bob.user_id: 50} if creators else {**power["users"], bob.user_id: 50})
    assert power["kick"] == 60
    assert power["events_default"] == 0
    await set_state(alice, new, "m.room.power_levels", {**power, "kick": 70})

    # Who was banned stays out, everybody else comes in.
    assert (await carol.post(f"{carol.room(new)}/join")).error() == (403, "M_FORBIDDEN")
    await bob.join(new)
    await bob.send(new, "the first words")

    # Aliases and the directory.
    for each in (alias, other):
        found = (await bob.get(f"{V3}/directory/room/{seg(each)}")).ok()
        assert found["room_id"] == new
    assert await alice.state(new, "m.room.canonical_alias") == listed
    assert await alice.state(old, "m.room.canonical_alias") == {}
    for room_id, visibility in ((new, "public"), (old, "private")):
        found = (await bob.get(f"{V3}/directory/list/room/{seg(room_id)}")).ok()
        assert found == {"visibility": visibility}

    # The old room leads to the new one, and nobody goes on in it.
    tombstone = await bob.state(old, "m.room.tombstone")
    assert tombstone == {"body": "This room has been replaced", "replacement_room": new}
    left = await bob.state(old, "m.room.power_levels")
    assert (left["events_default"], left["invite"], left["kick"]) == (50, 50, 60)


async def test_ordinary_members_are_silent_in_the_old_room(alice: Person, bob: Person) -> None:
    old = await a_room(alice, bob, "11")
    await upgrade(alice, old, "12")
    message = f"{bob.room(old)}/send/m.room.message/late"
    assert (await bob.put(message, {"msgtype": "m.text", "body": "x"})).error() == (403, "M_FORBIDDEN")


async def test_an_alias_of_another_server_stays_with_the_old_room(alice: Person, house: House) -> None:
    old = await alice.create_room(room_alias_name="stays")
    ours = f"#stays:{SERVER}"
    content = {"alias": "#far:elsewhere.org", "alt_aliases": [ours]}
    # Not by the endpoint, which would ask the other server.
    await house.rooms.send(old, alice.user_id, NewEvent("m.room.canonical_alias", content, state_key=""))
    new = await upgrade(alice, old, "12")
    assert await alice.state(new, "m.room.canonical_alias") == {"alt_aliases": [ours]}
    assert await alice.state(old, "m.room.canonical_alias") == {"alias": "#far:elsewhere.org"}


async def test_a_space_stays_a_space_and_a_local_room_local(alice: Person) -> None:
    creation = {"type": "m.space", "m.federate": False, "org.example": 1}
    old = await alice.create_room(creation_content=creation)
    await set_state(alice, old, "m.space.child", {"via": [SERVER]}, "!child:elsewhere.org")
    new = await upgrade(alice, old, "11")
    create = await alice.state(new, "m.room.create")
    assert (create["type"], create["m.federate"]) == ("m.space", False)
    assert "org.example" not in create
    assert await alice.state(new, "m.space.child", "!child:elsewhere.org") == {"via": [SERVER]}


async def test_a_restricted_room_opens_to_the_same_people(alice: Person, bob: Person, carol: Person) -> None:
    club = await alice.create_room(preset="public_chat")
    await bob.join(club)
    rule = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": club}]}
    old = await alice.create_room(initial_state=[{"type": "m.room.join_rules", "content": rule}])
    new = await upgrade(alice, old, "12")
    await bob.join(new)
    assert (await carol.post(f"{carol.room(new)}/join")).error() == (403, "M_FORBIDDEN")


# --- power -------------------------------------------------------------------------------------------------


async def test_additional_creators_are_named_anew(alice: Person, bob: Person, carol: Person) -> None:
    creation = {"additional_creators": [bob.user_id]}
    old = await a_room(alice, bob, "12", creation_content=creation)
    body = {"additional_creators": [alice.user_id, carol.user_id, carol.user_id]}
    new = await upgrade(alice, old, "12", **body)
    create = await alice.state(new, "m.room.create")
    assert create["additional_creators"] == [carol.user_id]
    assert (await alice.state(new, "m.room.power_levels"))["users"] == {bob.user_id: 100}
    await carol.join(new)
    await set_state(carol, new, "m.room.name", {"name": "Carol's too"})


async def test_additional_creators_count_for_nothing_where_there_are_none(alice: Person) -> None:
    old = await alice.create_room(room_version="10")
    new = await upgrade(alice, old, "11", additional_creators=["nonsense"])
    assert "additional_creators" not in await alice.state(new, "m.room.create")


async def test_a_moderator_who_may_upgrade_stays_a_moderator(alice: Person, bob: Person) -> None:
    old = await a_room(
        alice, bob, "11", name="N", initial_state=[{"type": "m.room.server_acl", "content": ACL}]
    )
    levels = await alice.state(old, "m.room.power_levels")
    levels["users"][bob.user_id] = 50
    levels["users"]["@boss:elsewhere.org"] = 90
    levels["events"]["m.room.tombstone"] = 50
    await set_state(alice, old, "m.room.power_levels", levels)
    new = await upgrade(bob, old, "11")
    assert await bob.state(new, "m.room.server_acl") == ACL
    assert await bob.state(new, "m.room.power_levels") == levels
    path = f"{bob.room(new)}/state/m.room.server_acl"
    assert (await bob.put(path, {"allow": []})).error() == (403, "M_FORBIDDEN")
    # They may not change the levels of the old room, so those stay.
    assert await bob.state(old, "m.room.power_levels") == levels
    assert await has_state(bob, old, "m.room.tombstone")


async def test_all_of_many_bans_go_along(house: House, alice: Person) -> None:
    old = await alice.create_room(room_version="11")
    banned = [f"@bad{n}:evil.example" for n in range(MOST_BANS_AT_ONCE + 60)]
    for user in banned[:-1]:
        ban = NewEvent("m.room.member", {"membership": "ban", "reason": user}, state_key=user)
        await house.rooms.send(old, alice.user_id, ban)
    new = await upgrade(alice, old, "12")
    ref = await house.rooms.ref(new)
    assert ref is not None
    assert set(await house.rooms.member_ids(ref, {"ban"})) == set(banned[:-1])
    for user in (banned[0], banned[-2]):
        assert (await alice.state(new, "m.room.member", user))["reason"] == user
    # A retry much later does not ban anew who was let in again.
    (await alice.post(f"{alice.room(new)}/unban", {"user_id": banned[0]})).ok()
    ban = NewEvent("m.room.member", {"membership": "ban"}, state_key=banned[-1])
    await house.rooms.send(old, alice.user_id, ban)
    assert await upgrade(alice, old, "12") == new
    assert set(await house.rooms.member_ids(ref, {"ban"})) == set(banned[1:-1])


async def test_who_may_not_send_a_tombstone_upgrades_nothing(
    house: House, alice: Person, bob: Person, carol: Person
) -> None:
    old = await a_room(alice, bob, "12")
    levels = await alice.state(old, "m.room.power_levels")
    await set_state(alice, old, "m.room.power_levels", {**levels, "users": {bob.user_id: 100}})
    before = await house.written()
    for person in (bob, carol):
        assert (await ask(person, old, "12")).error() == (403, "M_FORBIDDEN")
    assert await house.written() == before


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        ({}, 400, "M_MISSING_PARAM"),
        ({"new_version": 12}, 400, "M_BAD_JSON"),
        ({"new_version": "org.example"}, 400, "M_UNSUPPORTED_ROOM_VERSION"),
        ({"new_version": "0"}, 400, "M_UNSUPPORTED_ROOM_VERSION"),
        ({"new_version": "12", "additional_creators": "x"}, 400, "M_BAD_JSON"),
        ({"new_version": "12", "additional_creators": ["bob"]}, 400, "M_INVALID_PARAM"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_is_written(
    house: House, alice: Person, body: Json, status: int, errcode: str
) -> None:
    old = await alice.create_room()
    before = await house.written()
    assert (await alice.post(f"{alice.room(old)}/upgrade", body)).error() == (status, errcode)
    assert await house.written() == before


async def test_rooms_that_are_not_there(house: House, alice: Person) -> None:
    assert (await ask(alice, f"!nothing:{SERVER}", "12")).error() == (404, "M_NOT_FOUND")
    assert (await ask(alice, "nothing", "12")).error() == (400, "M_INVALID_PARAM")
    anybody = house.client()
    assert (await anybody.post(f"{alice.room('!a:b')}/upgrade", {})).error() == (401, "M_MISSING_TOKEN")


# --- once, and wholly --------------------------------------------------------------------------------------


async def test_a_retry_gets_the_same_room(house: House, alice: Person) -> None:
    old = await alice.create_room(name="N")
    new = await upgrade(alice, old, "12")
    before = await house.written()
    assert await upgrade(alice, old, "12") == new
    assert await house.written() == before


async def test_requests_at_the_same_time_make_one_room(house: House, alice: Person) -> None:
    old = await alice.create_room(name="N")
    rooms = await house.count("rooms.room")
    answers = await asyncio.gather(*(upgrade(alice, old, "12") for _ in range(5)))
    assert len(set(answers)) == 1
    assert await house.count("rooms.room") == rooms + 1


async def _die_after_the_room(house: House, alice: Person, old: str) -> None:
    """All that an upgrade does up to the new room, and no more."""
    api = house.client_api()
    await service._make(api, alice.user_id, old, get_room_version("12"), [], None)


async def test_a_retry_goes_on_where_the_process_died(house: House, alice: Person, bob: Person) -> None:
    old = await a_room(alice, bob, "11", room_alias_name="dies1", visibility="public")
    rooms = await house.count("rooms.room")
    await _die_after_the_room(house, alice, old)
    assert not await has_state(alice, old, "m.room.tombstone")
    new = await upgrade(alice, old, "12")
    assert await house.count("rooms.room") == rooms + 1
    await _is_finished(alice, old, new, f"#dies1:{SERVER}")


async def test_the_worker_goes_on_where_the_process_died(house: House, alice: Person, bob: Person) -> None:
    old = await a_room(alice, bob, "11", room_alias_name="dies2", visibility="public")
    await _die_after_the_room(house, alice, old)
    upgrades = Upgrades(house.rooms)
    await upgrades.finish_due()
    assert not await has_state(alice, old, "m.room.tombstone"), "the lease is not over yet"
    await house.platform.db.call("UPDATE rooms.replacement SET lease_until = 0 WHERE NOT done RETURNING 1")
    await upgrades.finish_due()
    replacement = await house.rooms.replacement_of(old)
    assert replacement is not None and replacement.done
    await _is_finished(alice, old, replacement.room_id, f"#dies2:{SERVER}")
    assert await house.rooms.unfinished_replacements() == []


async def _is_finished(alice: Person, old: str, new: str, alias: str) -> None:
    assert (await alice.state(old, "m.room.tombstone"))["replacement_room"] == new
    assert (await alice.get(f"{V3}/directory/room/{seg(alias)}")).ok()["room_id"] == new
    assert (await alice.state(old, "m.room.power_levels"))["events_default"] == 50
    for room_id, visibility in ((new, "public"), (old, "private")):
        found = (await alice.get(f"{V3}/directory/list/room/{seg(room_id)}")).ok()
        assert found == {"visibility": visibility}


async def test_the_loop_of_the_worker_finds_it(house: House, alice: Person) -> None:
    old = await alice.create_room()
    await _die_after_the_room(house, alice, old)
    await house.platform.db.call("UPDATE rooms.replacement SET lease_until = 0 WHERE NOT done RETURNING 1")
    upgrades = Upgrades(house.rooms)
    await upgrades.start()
    try:
        async with asyncio.timeout(20):
            while not await has_state(alice, old, "m.room.tombstone"):
                await asyncio.sleep(0.05)
    finally:
        await upgrades.drain()


async def test_a_claim_whose_room_never_came_is_nobody_s(house: House, alice: Person) -> None:
    old = await alice.create_room()
    claim = (
        "INSERT INTO rooms.replacement (lane, old_room_id, room_id, creator, created, lease_until)"
        " VALUES (%s::smallint, %s, %s, %s, %s, 0) RETURNING 1"
    )
    lane, never = house.platform.lanes.room(old), f"!never:{SERVER}"
    now = house.platform.clock.now_ms()
    await house.platform.db.call(claim, (lane, old, never, alice.user_id, now))
    answer = await ask(alice, old, "12")
    assert answer.error() == (503, "M_UNKNOWN"), "its write may be under way"
    assert await house.rooms.unfinished_replacements() == []
    await house.platform.db.call(
        "UPDATE rooms.replacement SET created = %s WHERE old_room_id = %s RETURNING 1", (now - 61_000, old)
    )
    new = await upgrade(alice, old, "12")
    assert (await alice.state(old, "m.room.tombstone"))["replacement_room"] == new


async def test_upgrading_once_more_leads_to_the_newer_room(alice: Person, bob: Person) -> None:
    old = await a_room(alice, bob, "10", room_alias_name="again")
    first = await upgrade(alice, old, "11")
    second = await upgrade(alice, old, "12")
    assert first != second
    assert (await bob.state(old, "m.room.tombstone"))["replacement_room"] == second
    third = await upgrade(alice, second, "12")
    assert (await alice.state(third, "m.room.create"))["predecessor"]["room_id"] == second


async def test_the_upgrade_of_somebody_else_is_not_disturbed(
    house: House, alice: Person, bob: Person
) -> None:
    old = await a_room(alice, bob, "11")
    levels = await alice.state(old, "m.room.power_levels")
    levels["users"][bob.user_id] = 100
    await set_state(alice, old, "m.room.power_levels", levels)
    await _die_after_the_room(house, alice, old)
    assert (await ask(bob, old, "12")).error() == (503, "M_UNKNOWN")
    new = await upgrade(alice, old, "12")
    mine = await upgrade(bob, old, "12")
    assert new != mine
    assert (await bob.state(old, "m.room.tombstone"))["replacement_room"] == mine


async def test_an_upgrade_that_the_room_refuses_moves_nothing(
    house: House, alice: Person, bob: Person
) -> None:
    old = await a_room(alice, bob, "11", room_alias_name="refused")
    await _die_after_the_room(house, alice, old)
    levels = await alice.state(old, "m.room.power_levels")
    await set_state(alice, old, "m.room.power_levels", {**levels, "users": {bob.user_id: 100}})
    await house.platform.db.call("UPDATE rooms.replacement SET lease_until = 0 WHERE NOT done RETURNING 1")
    await Upgrades(house.rooms).finish_due()
    found = (await alice.get(f"{V3}/directory/room/{seg(f'#refused:{SERVER}')}")).ok()
    assert found["room_id"] == old
    assert not await has_state(alice, old, "m.room.tombstone")
    replacement = await house.rooms.replacement_of(old)
    assert replacement is not None and replacement.done
    # Who has the power now is not held up by it.
    mine = await upgrade(bob, old, "12")
    assert (await bob.state(old, "m.room.tombstone"))["replacement_room"] == mine


# --- what follows its user ---------------------------------------------------------------------------------


async def put_account_data(person: Person, path: str, content: Json) -> None:
    (await person.put(f"{V3}/user/{seg(person.user_id)}{path}", content)).ok()


async def account_data(person: Person, path: str) -> Json | None:
    answer = await person.get(f"{V3}/user/{seg(person.user_id)}{path}")
    return answer.ok() if answer.status == 200 else None


def tags_of(room_id: str) -> str:
    return f"/rooms/{seg(room_id)}/account_data/m.tag"


async def put_rule(person: Person, kind: str, rule_id: str, body: Json) -> None:
    (await person.put(f"{V3}/pushrules/global/{kind}/{seg(rule_id)}", body)).ok()


async def own_rules(person: Person, kind: str) -> list[Json]:
    rules = (await person.get(f"{V3}/pushrules/")).ok()["global"][kind]
    return [rule for rule in rules if not rule["default"]]


def mute(room_id: str) -> Json:
    named = {"kind": "event_match", "key": "room_id", "pattern": room_id}
    return {"actions": [], "conditions": [named]}


async def test_tags_push_rules_and_direct_chats_follow(alice: Person, bob: Person, carol: Person) -> None:
    old = await a_room(alice, bob, "11")
    await carol.join(old)
    other = await alice.create_room()
    tags = {"tags": {"m.favourite": {"order": 0.5}, "u.work": {}}}
    for person in (alice, bob):
        await put_account_data(person, tags_of(old), tags)
    await put_account_data(bob, "/account_data/m.direct", {alice.user_id: [old, other], "@x:y": [other]})
    await put_rule(bob, "room", old, {"actions": ["notify", {"set_tweak": "sound", "value": "gong"}]})
    await put_rule(bob, "override", old, mute(old))
    await put_rule(bob, "override", "last", mute(other))
    (await bob.put(f"{V3}/pushrules/global/override/{seg(old)}/enabled", {"enabled": False})).ok()

    new = await upgrade(alice, old, "12")
    assert await account_data(alice, tags_of(new)) == tags, "who upgrades is in the room at once"
    assert await account_data(bob, tags_of(new)) is None
    await bob.join(new)
    await carol.join(new)

    assert await account_data(bob, tags_of(new)) == tags
    assert await account_data(bob, "/account_data/m.direct") == {
        alice.user_id: [old, other, new],
        "@x:y": [other],
    }
    [for_old, for_new] = sorted(await own_rules(bob, "room"), key=lambda rule: rule["rule_id"] == new)
    assert (for_old["rule_id"], for_new["rule_id"]) == (old, new)
    assert for_new["actions"] == for_old["actions"] != []
    assert [
        (rule["rule_id"], rule["enabled"], rule["conditions"]) for rule in await own_rules(bob, "override")
    ] == [
        ("last", True, mute(other)["conditions"]),
        (old, False, mute(old)["conditions"]),
        (new, False, mute(new)["conditions"]),
    ]
    assert await account_data(carol, tags_of(new)) is None
    assert await own_rules(carol, "room") == []


async def test_settings_follow_who_joins_by_setting_their_member_event(alice: Person, bob: Person) -> None:
    old = await a_room(alice, bob, "11")
    tags: Json = {"tags": {"m.favourite": {}}}
    await put_account_data(bob, tags_of(old), tags)
    new = await upgrade(alice, old, "12")
    join = {"membership": "join"}
    await set_state(bob, new, "m.room.member", join, bob.user_id)
    assert await account_data(bob, tags_of(new)) == tags
    # And not again with each change of it.
    await put_rule(bob, "room", old, {"actions": []})
    await set_state(bob, new, "m.room.member", {**join, "displayname": "Bob"}, bob.user_id)
    assert [rule["rule_id"] for rule in await own_rules(bob, "room")] == [old]


async def test_what_the_user_has_set_in_the_new_room_stays(alice: Person, bob: Person) -> None:
    old = await a_room(alice, bob, "11")
    await put_account_data(bob, tags_of(old), {"tags": {"m.favourite": {}}})
    await put_rule(bob, "room", old, {"actions": []})
    new = await upgrade(alice, old, "12")
    await put_account_data(bob, tags_of(new), {"tags": {}})
    await put_rule(bob, "room", new, {"actions": ["notify"]})
    await bob.join(new)
    assert await account_data(bob, tags_of(new)) == {"tags": {}}
    [rule] = [rule for rule in await own_rules(bob, "room") if rule["rule_id"] == new]
    assert rule["actions"] == ["notify"]


async def test_nothing_follows_into_a_room_that_only_says_it_is_the_successor(
    alice: Person, bob: Person
) -> None:
    old = await a_room(alice, bob, "11")
    await put_account_data(alice, tags_of(old), {"tags": {"m.favourite": {}}})
    for predecessor in ({"room_id": old, "event_id": "$x"}, {"room_id": 5}, "nonsense", {"room_id": "x"}):
        trap = await bob.create_room(preset="public_chat", creation_content={"predecessor": predecessor})
        await alice.join(trap)
        assert await account_data(alice, tags_of(trap)) is None

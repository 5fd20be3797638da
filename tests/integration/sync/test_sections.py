"""What a room's section tells beside its timeline: summary, lazily loaded members, account data."""

from __future__ import annotations

import pytest

from tests.integration.sync.acts import ENCRYPTION
from tests.integration.sync.building import Building, SyncPerson
from tests.integration.sync.test_sliding import slide, top
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
    await alice.hear()
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


async def test_a_lazily_loaded_member_event_says_what_has_redacted_it(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    for person in (bob, carol):
        await person.join(room_id)
    own: Json = {"membership": "join", "displayname": "Not Carol"}
    member = await carol.set_state(room_id, "m.room.member", own, carol.user_id)
    path = f"{alice.room(room_id)}/redact/{seg(member)}/why"
    redaction = (await alice.put(path, {"reason": "misleading"})).ok()["event_id"]
    await bob.hear()
    lazy: Json = {"lazy_load_members": True, "include_redundant_members": True}
    states: list[Json] = [{}, {"lazy_load_members": True}, lazy]
    before = [(await bob.sync(filter={"room": {"state": state}}))["next_batch"] for state in states]
    await carol.send(room_id, "hello")
    await bob.hear()
    for replica in (building.replicas[0], await building.replica()):
        reader = bob.at(replica)
        told = []
        for state, since in zip(states, before, strict=True):
            wanted: Json = {"room": {"timeline": {"limit": 1}, "state": state}}
            told.append((await reader.sync(filter=wanted))["rooms"]["join"][room_id]["state"]["events"])
            if state == lazy:
                live = await reader.sync(since, filter=wanted)
                told.append(live["rooms"]["join"][room_id]["state"]["events"])
        config: Json = {"timeline_limit": 1, "required_state": {"lazy_members": True}}
        body = await slide(reader, lists=top(1, config), conn_id=f"with {replica.sync}")
        told.append(body["rooms"][room_id]["required_state"])
        for events in told:
            [event] = [event for event in events if event.get("state_key") == carol.user_id]
            assert event["event_id"] == member and event["content"] == {"membership": "join"}
            assert event["unsigned"]["redacted_because"]["event_id"] == redaction


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


@pytest.mark.parametrize("version", ["1", "12"])
async def test_events_in_the_form_in_which_servers_send_them(
    alice: SyncPerson, bob: SyncPerson, version: str
) -> None:
    room_id = await alice.create_room(preset="public_chat", name="Tea", room_version=version)
    await bob.join(room_id)
    event_id = await alice.send(room_id, "hello")
    await alice.send(room_id, "again")
    await bob.hear()
    raw: Json = {"event_format": "federation", "room": {"timeline": {"limit": 2}}}
    for way in ({}, {"use_state_after": "true"}):
        answer = await bob.sync(filter=raw, **way)
        room = answer["rooms"]["join"][room_id]
        state = room["state_after" if way else "state"]["events"]
        for event in (*room["timeline"]["events"], *state):
            assert {"auth_events", "prev_events", "depth", "hashes", "signatures", "event_id"} <= event.keys()
        hello = room["timeline"]["events"][0]
        assert hello["event_id"] == event_id and hello["unsigned"]["membership"] == "join"
        assert {event["type"] for event in state} >= {"m.room.create", "m.room.name", "m.room.member"}
    later = await alice.send(room_id, "later")
    await bob.hear()
    fields = ["type", "signatures", "event_id", "sender", "origin_server_ts", "content"]
    for wanted in (raw, raw | {"event_fields": fields}):
        room = (await bob.sync(answer["next_batch"], filter=wanted))["rooms"]["join"][room_id]
        [event] = room["timeline"]["events"]
        assert "signatures" in event and event["event_id"] == later
    assert event.keys() == set(fields)
    lazy: Json = {
        "event_format": "federation",
        "room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 1}},
    }
    room = (await bob.sync(filter=lazy))["rooms"]["join"][room_id]
    assert all("signatures" in event for event in room["state"]["events"])
    assert "signatures" not in str(await bob.sync())


async def test_who_leaves_is_told_with_whom_no_room_is_shared_now(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    """All who were there when they left, also those who have left since; and nobody else's room."""
    room_id = await alice.create_room(preset="public_chat", initial_state=[ENCRYPTION])
    secret = await alice.create_room(initial_state=[ENCRYPTION], invite=[bob.user_id])
    for person in (bob, carol):
        await person.join(room_id)
    await bob.hear()
    since = (await bob.sync())["next_batch"]
    assert await bob.act(secret, "leave") == 200
    answer = await bob.sync(since)
    assert secret in answer["rooms"]["leave"] and "device_lists" not in answer
    assert await bob.act(room_id, "leave") == 200
    assert await carol.act(room_id, "leave") == 200
    await bob.hear()
    later = await bob.sync(answer["next_batch"])
    assert later["device_lists"] == {"changed": [], "left": sorted([alice.user_id, carol.user_id])}
    # The same when all state is asked for besides.
    again = await bob.sync(answer["next_batch"], full_state="true")
    assert again["device_lists"] == later["device_lists"]


async def test_who_now_shares_an_encrypted_room_is_told(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    """ "Users [...] who now share an encrypted room with the client": also when the room becomes so."""
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    await bob.hear()
    only_messages: Json = {"types": ["m.room.message"]}
    filters: list[Json] = [{}, {"room": {"timeline": only_messages, "state": only_messages}}]
    before = [(await bob.sync(filter=wanted))["next_batch"] for wanted in filters]
    content = ENCRYPTION["content"]
    assert isinstance(content, dict)
    await alice.set_state(room_id, "m.room.encryption", content)
    for number in range(11):
        await alice.send(room_id, f"no gap, then one {number}")
        if number not in (0, 10):
            continue
        await bob.hear()
        for replica in (building.replicas[0], await building.replica()):
            for since, wanted in zip(before, filters, strict=True):
                answer = await bob.at(replica).sync(since, filter=wanted)
                assert answer["device_lists"] == {"changed": [alice.user_id], "left": []}
    whole = await bob.sync(since, full_state="true")
    assert whole["device_lists"]["changed"] == [alice.user_id]
    assert "device_lists" not in await bob.sync(answer["next_batch"])


async def test_who_comes_is_told_with_any_filter(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat")
    lean: Json = {"not_types": ["m.room.member"]}
    wanted: Json = {"room": {"timeline": lean, "state": lean}}
    since = (await alice.sync(filter=wanted))["next_batch"]
    await bob.join(room_id)
    await alice.hear()
    answer = await alice.sync(since, filter=wanted)
    assert answer["device_lists"]["changed"] == [bob.user_id]
    assert summary(answer, room_id) == ([bob.user_id], 2, 0)
    assert answer["rooms"]["join"][room_id]["timeline"]["events"] == []


async def test_a_count_is_told_although_the_filter_shows_no_event(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    wanted: Json = {"room": {"timeline": {"types": []}}}
    since = (await bob.sync(filter=wanted))["next_batch"]
    await alice.send(room_id, "count me")
    await bob.hear()
    room = (await bob.sync(since, filter=wanted))["rooms"]["join"][room_id]
    assert room["unread_notifications"] == {"notification_count": 1, "highlight_count": 0}
    assert "timeline" not in room or room["timeline"]["events"] == []


async def test_who_is_removed_and_then_banned_sees_nothing_of_what_was_in_between(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat", name="Tea", initial_state=[ENCRYPTION])
    await bob.join(room_id)
    since = (await bob.sync())["next_batch"]
    last = await alice.send(room_id, "before")
    assert await alice.act(room_id, "kick", bob.user_id) == 200
    await alice.set_state(room_id, "m.room.name", {"name": "not for Bob"})
    assert await alice.act(room_id, "ban", bob.user_id) == 200
    await bob.hear()
    for replica in (building.replicas[0], await building.replica()):
        answer = await bob.at(replica).sync(since)
        room = answer["rooms"]["leave"][room_id]
        assert [event["content"]["membership"] for event in room["timeline"]["events"]] == ["ban"]
        assert room["timeline"]["limited"] is True
        assert answer["device_lists"]["left"] == [alice.user_id]
        archive = await bob.at(replica).sync(filter={"room": {"include_leave": True}})
        shown = archive["rooms"]["leave"][room_id]["timeline"]["events"]
        assert [event["event_id"] for event in shown][-2] == last
        assert shown[-1]["content"]["membership"] == "leave"
        assert "not for Bob" not in str((answer["rooms"], archive["rooms"]))
    page = await bob.get(
        f"{bob.room(room_id)}/messages", **{"from": room["timeline"]["prev_batch"], "dir": "b", "limit": 2}
    )
    assert [event["event_id"] for event in page.ok()["chunk"]][-1] == last


@pytest.mark.parametrize("then", ["invite", "knock"])
async def test_who_is_removed_and_then_invited_is_told_with_whom_no_room_is_shared_now(
    building: Building, alice: SyncPerson, bob: SyncPerson, then: str
) -> None:
    """Both sides are: who goes, and who stays."""
    room_id = await alice.create_room(
        initial_state=[
            ENCRYPTION,
            {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}},
        ],
        invite=[bob.user_id],
    )
    await bob.join(room_id)
    await alice.hear()
    lean: Json = {"not_types": ["m.room.member"]}
    filters: list[Json] = [
        {},
        {"room": {"timeline": {"limit": 1}}},
        {"room": {"timeline": lean, "state": lean}},
    ]
    gone, stays = await bob.now(), await alice.now()
    assert await alice.act(room_id, "kick", bob.user_id) == 200
    if then == "invite":
        assert await alice.act(room_id, "invite", bob.user_id) == 200
    else:
        (await bob.post(f"{V3}/knock/{seg(room_id)}")).ok()
    await alice.send(room_id, "after")
    for person, since, other in ((bob, gone, alice), (alice, stays, bob)):
        await person.hear()
        for replica in (building.replicas[0], await building.replica()):
            for wanted in filters:
                answer = await person.at(replica).sync(since, filter=wanted)
                assert answer["device_lists"] == {"changed": [], "left": [other.user_id]}
            assert answer["rooms"].keys() == ({"join", then} if person is bob else {"join"})
            whole = await person.at(replica).sync(since, full_state="true")
            assert whole["device_lists"] == answer["device_lists"]
        assert "device_lists" not in await person.sync(answer["next_batch"])


async def test_who_was_never_there_is_not_told_as_gone_when_they_are_invited(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room(initial_state=[ENCRYPTION])
    since, invited = await alice.now(), await bob.now()
    assert await alice.act(room_id, "invite", bob.user_id) == 200
    await alice.hear()
    for replica in (building.replicas[0], await building.replica()):
        answer = await alice.at(replica).sync(since)
        assert summary(answer, room_id) == ([bob.user_id], 1, 1) and "device_lists" not in answer
        answer = await bob.at(replica).sync(invited)
        assert room_id in answer["rooms"]["invite"] and "device_lists" not in answer


async def test_who_is_back_is_told_who_has_gone_meanwhile(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat", initial_state=[ENCRYPTION])
    for person in (bob, carol):
        await person.join(room_id)
    await bob.hear()
    since = await bob.now()
    assert await bob.act(room_id, "leave") == 200
    assert await carol.act(room_id, "leave") == 200
    await bob.join(room_id)
    await bob.hear()
    for replica in (building.replicas[0], await building.replica()):
        answer = await bob.at(replica).sync(since)
        assert answer["device_lists"] == {"changed": [alice.user_id], "left": [carol.user_id]}


def limited(answer: Json, room_id: str) -> tuple[list[str], bool]:
    """The events of a room's timeline, and whether it says that there are more."""
    timeline = answer["rooms"]["join"][room_id]["timeline"]
    return [event["event_id"] for event in timeline["events"]], timeline["limited"]


async def before(person: SyncPerson, answer: Json, room_id: str) -> list[str]:
    """What /messages has before a room's timeline, the newest first."""
    start = answer["rooms"]["join"][room_id]["timeline"]["prev_batch"]
    page = await person.get(f"{person.room(room_id)}/messages", **{"from": start, "dir": "b", "limit": 100})
    return [event["event_id"] for event in page.ok()["chunk"]]


async def test_a_timeline_of_no_events_says_whether_there_are_any(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    """All that has changed is told as state: there is nothing else by which to learn it."""
    room_id = await alice.create_room(preset="public_chat", name="Tea")
    await bob.join(room_id)
    await bob.hear()
    none: Json = {"room": {"timeline": {"limit": 0}}}
    made = await bob.post(f"{V3}/user/{seg(bob.user_id)}/filter", none)
    first = await bob.sync(filter=made.ok()["filter_id"])
    since = first["next_batch"]
    assert limited(first, room_id) == ([], True)
    state = first["rooms"]["join"][room_id]["state"]["events"]
    assert {event["type"] for event in state} >= {"m.room.create", "m.room.name", "m.room.power_levels"}
    assert members(first, room_id) == {alice.user_id, bob.user_id}
    page = (await bob.get(f"{bob.room(room_id)}/messages", dir="b", limit=100)).ok()
    history = [event["event_id"] for event in page["chunk"]]
    assert await before(bob, first, room_id) == history

    history.insert(0, await alice.set_state(room_id, "m.room.topic", {"topic": "one"}))
    history.insert(0, await alice.send(room_id, "hello"))
    topic = await alice.set_state(room_id, "m.room.topic", {"topic": "two"})
    history.insert(0, topic)
    await bob.hear()
    for replica in (building.replicas[0], await building.replica()):
        reader = bob.at(replica)
        ways: list[tuple[Json, str]] = [({}, "state"), ({"use_state_after": "true"}, "state_after")]
        for way, name in ways:
            answer = await reader.sync(since, filter=none, **way)
            assert limited(answer, room_id) == ([], True)
            told = answer["rooms"]["join"][room_id][name]["events"]
            assert [event["event_id"] for event in told] == [topic]
            assert await before(reader, answer, room_id) == history
            assert room_id not in (await reader.sync(answer["next_batch"], filter=none))["rooms"]["join"]
            again = await reader.sync(answer["next_batch"], filter=none, full_state="true", **way)
            assert limited(again, room_id) == ([], False)
        for types, cut in ((["m.room.message"], True), (["m.room.name"], False), ([], False)):
            wanted: Json = {"room": {"timeline": {"limit": 0, "types": types}}}
            answer = await reader.sync(since, filter=wanted)
            assert limited(answer, room_id) == ([], cut)
            told = answer["rooms"]["join"][room_id]["state"]["events"]
            assert [event["event_id"] for event in told] == [topic]


async def test_a_filtered_timeline_is_limited_when_more_of_what_is_wanted_was_left_out(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    await carol.join(room_id)
    ignored: Json = {"ignored_users": {carol.user_id: {}}}
    (await bob.put(f"{V3}/user/{seg(bob.user_id)}/account_data/m.ignored_user_list", ignored)).ok()
    await bob.hear()
    since = (await bob.sync())["next_batch"]
    said = []
    for number in range(3):
        await alice.set_state(room_id, "m.room.topic", {"topic": f"about {number}"})
        await carol.send(room_id, f"not to be heard {number}")
        said.append(await alice.send(room_id, str(number)))
    await alice.set_state(room_id, "m.room.topic", {"topic": "the end"})
    await bob.hear()
    for replica in (building.replicas[0], await building.replica()):
        reader = bob.at(replica)
        for limit in range(6):
            wanted: Json = {"room": {"timeline": {"types": ["m.room.message"], "limit": limit}}}
            for start in (since, None):
                answer = await reader.sync(start, filter=wanted)
                cut = max(0, 3 - limit)
                assert limited(answer, room_id) == (said[cut:], cut > 0)
                rest = await before(reader, answer, room_id)
                assert [event_id for event_id in rest if event_id in said] == said[:cut][::-1]

"""Stories of /sync: what each user is told, and when."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from plexus.platform.lanes import SyncToken
from plexus.rooms import NewEvent, Txn

from tests.integration.sync.building import SOON, SYNC, Building, SyncPerson
from tests.support.house import V3
from tests.support.http import Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


def joined(answer: Json, room_id: str) -> Json:
    return answer["rooms"]["join"][room_id]


def ids(section: Json, part: str = "timeline") -> list[str]:
    return [event["event_id"] for event in section.get(part, {}).get("events", ())]


def state(section: Json, part: str = "state") -> dict[tuple[str, str], Any]:
    events = section.get(part, {}).get("events", ())
    return {(event["type"], event["state_key"]): event["content"] for event in events}


async def test_an_initial_sync_tells_what_a_client_needs(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat", name="Tea", invite=[bob.user_id])
    sent = [await alice.send(room_id, f"hello {number}") for number in range(12)]
    answer = await alice.sync()
    room = joined(answer, room_id)
    assert ids(room) == sent[2:]
    assert room["timeline"]["limited"] is True
    found = state(room)
    assert found["m.room.name", ""] == {"name": "Tea"}
    assert found["m.room.member", alice.user_id]["membership"] == "join"
    assert found["m.room.member", bob.user_id]["membership"] == "invite"
    assert ("m.room.create", "") in found and ("m.room.power_levels", "") in found
    assert room["summary"] == {
        "m.heroes": [bob.user_id],
        "m.joined_member_count": 1,
        "m.invited_member_count": 1,
    }
    event = room["timeline"]["events"][0]
    assert "room_id" not in event
    assert event["unsigned"]["membership"] == "join" and event["unsigned"]["age"] >= 0
    types = [event["type"] for event in answer["account_data"]["events"]]
    assert "m.push_rules" in types
    assert answer["device_one_time_keys_count"] == {"signed_curve25519": 0}
    assert answer["device_unused_fallback_key_types"] == []


async def test_nothing_new_is_nothing(alice: SyncPerson) -> None:
    await alice.create_room()
    since = (await alice.sync())["next_batch"]
    answer = await alice.sync(since)
    assert answer["rooms"] == {"join": {}}
    assert "account_data" not in answer
    assert answer["device_unused_fallback_key_types"] == []


async def test_a_held_poll_ends_with_the_event_that_it_waits_for(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    since = (await bob.sync())["next_batch"]
    waiting = asyncio.create_task(bob.sync(since, timeout=20_000))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    began = time.monotonic()
    event_id = await alice.send(room_id, "wake up")
    answer = await asyncio.wait_for(waiting, 5)
    assert time.monotonic() - began < SOON
    assert ids(joined(answer, room_id)) == [event_id]
    assert joined(answer, room_id)["timeline"]["limited"] is False
    assert "state" not in joined(answer, room_id) and "summary" not in joined(answer, room_id)


async def test_a_poll_is_not_woken_by_what_does_not_concern_its_user(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room()
    since = (await bob.sync())["next_batch"]
    began = time.monotonic()
    waiting = asyncio.create_task(bob.sync(since, timeout=700))
    for number in range(5):
        await alice.send(room_id, str(number))
    answer = await waiting
    assert 0.7 <= time.monotonic() - began < 5
    assert answer["rooms"] == {"join": {}}
    # The token has moved on all the same: what passed is not looked at again.
    assert SyncToken.decode(answer["next_batch"]).rooms != SyncToken.decode(since).rooms


async def test_a_gap_is_limited_and_messages_fills_it(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    since = (await bob.sync())["next_batch"]
    before = [await alice.send(room_id, f"gap {number}") for number in range(3)]
    topic = await alice.set_state(room_id, "m.room.topic", {"topic": "in the gap"})
    after = [await alice.send(room_id, f"shown {number}") for number in range(4)]
    wanted = {"room": {"timeline": {"limit": 4}}}
    await bob.hear()
    room = joined(await bob.sync(since, filter=wanted), room_id)
    assert room["timeline"]["limited"] is True
    assert ids(room) == after
    assert state(room) == {("m.room.topic", ""): {"topic": "in the gap"}}
    page = await bob.get(
        f"{bob.room(room_id)}/messages", **{"from": room["timeline"]["prev_batch"], "dir": "b", "limit": 4}
    )
    assert [event["event_id"] for event in page.ok()["chunk"]] == [topic, *reversed(before)]


async def test_state_before_and_after_the_timeline(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    since = (await bob.sync())["next_batch"]
    first = await alice.set_state(room_id, "m.room.topic", {"topic": "one"})
    await alice.send(room_id, "between")
    second = await alice.set_state(room_id, "m.room.topic", {"topic": "two"})
    await bob.hear()
    room = joined(await bob.sync(since), room_id)
    assert "state" not in room and "state_after" not in room
    room = joined(await bob.sync(since, use_state_after="true"), room_id)
    assert state(room, "state_after") == {("m.room.topic", ""): {"topic": "two"}}
    assert "state" not in room
    wanted: Json = {"room": {"timeline": {"limit": 2}}}
    assert ids(joined(await bob.sync(since, filter=wanted), room_id), "state") == [first]
    room = joined(await bob.sync(since, filter=wanted, use_state_after="true"), room_id)
    assert ids(room, "state_after") == [second]
    # State events that a filter keeps out of the timeline come as state.
    wanted = {"room": {"timeline": {"types": ["m.room.message"]}}}
    assert ids(joined(await bob.sync(since, filter=wanted), room_id), "state") == [second]
    await alice.send(room_id, "no state in sight")
    await bob.hear()
    since = (await bob.sync(since))["next_batch"]
    await alice.send(room_id, "nor here")
    await bob.hear()
    room = joined(await bob.sync(since, use_state_after="true"), room_id)
    assert room["state_after"] == {"events": []}


UNSTABLE = "org.matrix.msc4222."


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([], ["state"]),
        (["use_state_after"], ["state_after"]),
        ([UNSTABLE + "use_state_after"], [UNSTABLE + "state_after"]),
        (["use_state_after", UNSTABLE + "use_state_after"], ["state_after", UNSTABLE + "state_after"]),
    ],
)
async def test_the_state_after_has_the_name_that_goes_with_how_it_was_asked_for(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson, asked: list[str], told: list[str]
) -> None:
    room_id = await alice.create_room(preset="public_chat", name="Tea")
    await bob.join(room_id)
    for number in range(12):
        sent = await alice.send(room_id, str(number))
    await carol.join(room_id)
    assert await carol.act(room_id, "leave") == 200
    query: Json = dict.fromkeys(asked, "true")
    query["filter"] = {
        "room": {
            "state": {"lazy_load_members": True},
            "timeline": {"limit": 5},
            "ephemeral": {"types": ["m.receipt"]},
            "include_leave": True,
        }
    }

    def names(section: Json) -> list[str]:
        return [name for name in section if name.endswith(("state", "state_after"))]

    await bob.hear()
    await carol.hear()
    answer = await bob.sync(**query)
    room = joined(answer, room_id)
    assert names(room) == told
    for name in told:
        found = state(room, name)
        assert found["m.room.name", ""] == {"name": "Tea"}
        assert {("m.room.create", ""), ("m.room.power_levels", "")} <= found.keys()
    assert names((await carol.sync(**query))["rooms"]["leave"][room_id]) == told
    # "Required if use_state_after was set to true [...], even if it is empty."
    empty: Json = {name: {"events": []} for name in told} if asked else {}
    base = f"{V3}/user/{seg(bob.user_id)}/rooms/{seg(room_id)}/account_data"
    (await bob.put(f"{base}/org.example.room", {"b": 2})).ok()
    answer = await bob.sync(answer["next_batch"], **query)
    data = {"events": [{"type": "org.example.room", "content": {"b": 2}}]}
    assert joined(answer, room_id) == empty | {"account_data": data}
    (await alice.post(f"{alice.room(room_id)}/receipt/m.read/{seg(sent)}", {})).ok()
    await bob.hear()
    room = joined(await bob.sync(answer["next_batch"], **query), room_id)
    # Counts that may have changed are told, for all that is known after a loss on the way.
    room.pop("unread_notifications", None)
    assert room.pop("ephemeral")["events"] and room == empty


async def test_an_invite_shows_the_room_stripped_and_is_told_once(alice: SyncPerson, bob: SyncPerson) -> None:
    since = (await bob.sync())["next_batch"]
    waiting = asyncio.create_task(bob.sync(since, timeout=20_000))
    await asyncio.sleep(0.05)
    room_id = await alice.create_room(name="Tea", topic="Leaves", invite=[bob.user_id], is_direct=True)
    answer = await asyncio.wait_for(waiting, 5)
    events = answer["rooms"]["invite"][room_id]["invite_state"]["events"]
    found = {(event["type"], event["state_key"]) for event in events}
    assert {
        ("m.room.create", ""),
        ("m.room.join_rules", ""),
        ("m.room.name", ""),
        ("m.room.topic", ""),
        ("m.room.member", bob.user_id),
        ("m.room.member", alice.user_id),
    } == found
    assert all(set(event) == {"type", "state_key", "content", "sender"} for event in events)
    assert room_id not in answer["rooms"]["join"]
    assert "invite" not in (await bob.sync(answer["next_batch"]))["rooms"]
    assert room_id in (await bob.sync())["rooms"]["invite"]


async def test_a_declined_invite_is_left_without_showing_the_room(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(invite=[bob.user_id])
    await alice.send(room_id, "secret")
    await bob.hear()
    since = (await bob.sync())["next_batch"]
    assert await bob.act(room_id, "leave") == 200
    answer = await bob.sync(since)
    left = answer["rooms"]["leave"][room_id]
    assert [event["content"]["membership"] for event in left["timeline"]["events"]] == ["leave"]
    assert state(left) == {}
    assert "leave" not in (await bob.sync(answer["next_batch"]))["rooms"]
    assert "leave" not in (await bob.sync())["rooms"]


async def test_who_joins_gets_the_room_as_at_an_initial_sync(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat", name="Tea")
    sent = [await alice.send(room_id, f"before {number}") for number in range(3)]
    since = (await bob.sync())["next_batch"]
    await bob.join(room_id)
    room = joined(await bob.sync(since), room_id)
    assert ids(room)[-4:-1] == sent
    memberships = [event["unsigned"]["membership"] for event in room["timeline"]["events"]]
    assert memberships[-4:] == ["leave", "leave", "leave", "join"]
    everything = state(room) | {
        (event["type"], event["state_key"]): event["content"]
        for event in room["timeline"]["events"]
        if "state_key" in event
    }
    assert everything["m.room.name", ""] == {"name": "Tea"}
    assert everything["m.room.member", bob.user_id]["membership"] == "join"
    assert room["summary"]["m.joined_member_count"] == 2


async def test_history_that_a_newcomer_may_not_see_is_not_shown(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await alice.set_state(room_id, "m.room.history_visibility", {"history_visibility": "joined"})
    secret = await alice.send(room_id, "before bob")
    since = (await bob.sync())["next_batch"]
    await bob.join(room_id)
    after = await alice.send(room_id, "after bob")
    await bob.hear()
    for answer in (await bob.sync(since), await bob.sync()):
        room = joined(answer, room_id)
        assert secret not in ids(room)
        assert ids(room)[-1] == after
        shown = {event["type"] for event in room["timeline"]["events"]}
        assert "m.room.create" in shown | {kind for kind, _ in state(room)}


async def test_who_is_removed_sees_what_there_was_until_then(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    since = (await bob.sync())["next_batch"]
    last = await alice.send(room_id, "goodbye")
    assert await alice.act(room_id, "kick", bob.user_id) == 200
    secret = await alice.send(room_id, "now that bob is gone")
    await bob.hear()
    answer = await bob.sync(since)
    assert room_id not in answer["rooms"]["join"]
    left = answer["rooms"]["leave"][room_id]
    assert ids(left)[0] == last and len(ids(left)) == 2 and secret not in ids(left)
    assert "leave" not in (await bob.sync(answer["next_batch"]))["rooms"]
    archived = (await bob.sync(filter={"room": {"include_leave": True}}))["rooms"]["leave"][room_id]
    assert last in ids(archived) and secret not in ids(archived)
    assert ("m.room.create", "") in state(archived) or "m.room.create" in {
        event["type"] for event in archived["timeline"]["events"]
    }
    assert (await bob.post(f"{bob.room(room_id)}/forget")).status == 200
    assert room_id not in (await bob.sync(filter={"room": {"include_leave": True}}))["rooms"].get("leave", {})


async def test_only_the_sending_device_gets_its_transaction_id(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    tablet = await building.device(alice)
    await alice.hear()
    tokens = [(await person.sync())["next_batch"] for person in (alice, tablet, bob)]
    await alice.send(room_id, "mine", "transaction1")
    seen = []
    for person, since in zip((alice, tablet, bob), tokens, strict=True):
        await person.hear()
        [event] = joined(await person.sync(since), room_id)["timeline"]["events"]
        seen.append(event["unsigned"].get("transaction_id"))
    assert seen == ["transaction1", None, None]


async def test_every_device_of_its_sender_is_told_which_delayed_event_it_was(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    tablet = await building.device(alice)
    await alice.hear()
    tokens = [(await person.sync())["next_batch"] for person in (alice, tablet, bob)]
    txn = Txn.of_delayed_event(alice.user_id, "delay1")
    await building.rooms.send(room_id, alice.user_id, NewEvent("m.room.message", {"body": "late"}), txn=txn)
    seen = []
    for person, since in zip((alice, tablet, bob), tokens, strict=True):
        await person.hear()
        [event] = joined(await person.sync(since), room_id)["timeline"]["events"]
        assert "transaction_id" not in event["unsigned"]
        seen.append(event["unsigned"].get("org.matrix.msc4140.delay_id"))
    assert seen == ["delay1", "delay1", None]


async def test_account_data_is_told_as_it_changes(alice: SyncPerson) -> None:
    room_id = await alice.create_room()
    since = (await alice.sync())["next_batch"]
    waiting = asyncio.create_task(alice.sync(since, timeout=20_000))
    await asyncio.sleep(0.05)
    base = f"{V3}/user/{seg(alice.user_id)}"
    await alice.put(f"{base}/account_data/org.example.global", {"a": 1})
    answer = await asyncio.wait_for(waiting, 5)
    assert answer["account_data"]["events"] == [{"type": "org.example.global", "content": {"a": 1}}]
    since = answer["next_batch"]
    await alice.put(f"{base}/rooms/{seg(room_id)}/account_data/org.example.room", {"b": 2})
    answer = await alice.sync(since)
    assert "account_data" not in answer
    assert joined(answer, room_id) == {
        "account_data": {"events": [{"type": "org.example.room", "content": {"b": 2}}]}
    }
    wanted = {"room": {"account_data": {"not_types": ["*"]}}, "account_data": {"types": []}}
    assert (await alice.sync(since, filter=wanted))["rooms"]["join"] == {}
    assert "account_data" not in await alice.sync(filter=wanted)


async def test_changed_push_rules_come_as_account_data(alice: SyncPerson) -> None:
    since = (await alice.sync())["next_batch"]
    path = f"{V3}/pushrules/global/override/org.example.rule"
    body = {"actions": ["notify"], "conditions": []}
    (await alice.put(path, body)).ok()
    [event] = (await alice.sync(since))["account_data"]["events"]
    assert event["type"] == "m.push_rules"
    assert "org.example.rule" in {rule["rule_id"] for rule in event["content"]["global"]["override"]}


async def test_a_filter_by_id_and_the_same_inline_say_the_same(alice: SyncPerson) -> None:
    room_id = await alice.create_room()
    other = await alice.create_room()
    await alice.send(room_id, "text")
    wanted = {"room": {"rooms": [room_id], "timeline": {"types": ["m.room.message"]}, "state": {"types": []}}}
    made = await alice.post(f"{V3}/user/{seg(alice.user_id)}/filter", wanted)
    by_id = await alice.sync(filter=made.ok()["filter_id"])
    inline = await alice.sync(filter=wanted)
    assert by_id["rooms"]["join"].keys() == inline["rooms"]["join"].keys() == {room_id}
    assert ids(joined(by_id, room_id)) == ids(joined(inline, room_id))
    assert [event["type"] for event in joined(inline, room_id)["timeline"]["events"]] == ["m.room.message"]
    assert state(joined(inline, room_id)) == {}
    assert other in (await alice.sync())["rooms"]["join"]


@pytest.mark.parametrize(
    "query",
    [
        {"filter": "404"},
        {"filter": "{"},
        {"filter": '{"room":7}'},
        {"since": "nonsense"},
        {"since": "sAAAA"},
        {"timeout": "soon"},
        {"full_state": "perhaps"},
        {"set_presence": "elsewhere"},
    ],
)
async def test_a_bad_query_is_refused(alice: SyncPerson, query: dict[str, str]) -> None:
    answer = await alice.get(SYNC, **query)
    assert answer.status == 400
    assert answer.errcode in ("M_INVALID_PARAM", "M_BAD_JSON", "M_NOT_JSON", "M_UNKNOWN")


async def test_without_a_token_nobody_syncs(alice: SyncPerson) -> None:
    assert (await alice.with_token(None).get(SYNC)).error() == (401, "M_MISSING_TOKEN")
    assert (await alice.with_token("plx_0_wrong").get(SYNC)).error() == (401, "M_UNKNOWN_TOKEN")


async def test_the_full_state_comes_at_once_with_the_timeline_since_the_token(alice: SyncPerson) -> None:
    room_id = await alice.create_room(name="Tea")
    quiet = await alice.create_room(name="Quiet")
    since = (await alice.sync())["next_batch"]
    event_id = await alice.send(room_id, "new")
    began = time.monotonic()
    answer = await alice.sync(since, full_state="true", timeout=10_000)
    assert time.monotonic() - began < 5
    assert ids(joined(answer, room_id)) == [event_id]
    assert ids(joined(answer, quiet)) == []
    assert state(joined(answer, quiet))["m.room.name", ""] == {"name": "Quiet"}
    assert state(joined(answer, room_id))["m.room.name", ""] == {"name": "Tea"}


async def test_lazy_loading_sends_the_members_that_are_needed_and_not_twice(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat", name="Tea")
    for person in (bob, carol):
        await person.join(room_id)
    for number in range(12):
        await alice.send(room_id, f"before {number}")
    lazy = {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 5}}}

    def members(answer: Json) -> set[str]:
        section = answer["rooms"]["join"].get(room_id, {})
        return {key for kind, key in state(section) if kind == "m.room.member"}

    await carol.hear()
    answer = await carol.sync(filter=lazy)
    # The sender, oneself, and the heroes.
    assert members(answer) == {alice.user_id, bob.user_id, carol.user_id}
    other = await building.device(carol)
    since = (await other.sync(filter=lazy | {"room": lazy["room"] | {"rooms": []}}))["next_batch"]
    await alice.send(room_id, "one")
    await other.hear()
    answer = await other.sync(since, filter=lazy)
    assert members(answer) == {alice.user_id}
    await alice.send(room_id, "two")
    await other.hear()
    # The first answer may have been lost: then it is sent again.
    assert members(await other.sync(since, filter=lazy)) == {alice.user_id}
    answer = await other.sync(answer["next_batch"], filter=lazy)
    assert joined(answer, room_id)["timeline"]["events"] and members(answer) == {alice.user_id}
    since = answer["next_batch"]
    for text in ("three", "three again", "and again"):
        await alice.send(room_id, text)
        await other.hear()
        answer = await other.sync(answer["next_batch"], filter=lazy)
        assert joined(answer, room_id)["timeline"]["events"] and members(answer) == set()
    await bob.send(room_id, "four")
    await other.hear()
    answer = await other.sync(answer["next_batch"], filter=lazy)
    assert members(answer) == {bob.user_id}
    redundant = {"room": {"state": {"lazy_load_members": True, "include_redundant_members": True}}}
    assert members(await other.sync(since, filter=redundant)) == {alice.user_id, bob.user_id}


async def test_an_older_poll_that_ends_does_not_make_a_device_forget_what_members_it_has(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    lazy: Json = {"filter": {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 20}}}}
    await alice.hear()
    first: str = (await alice.sync(**lazy))["next_batch"]
    older = asyncio.create_task(alice.sync(first, timeout=20_000, **lazy))
    # Something that is not alice's moves her token on.
    await carol.create_room()
    await alice.hear()
    second: str = (await alice.sync(first, **lazy))["next_batch"]
    newer = asyncio.create_task(alice.sync(second, timeout=20_000, **lazy))
    assert not (await older)["rooms"]["join"]
    await bob.send(room_id, "hello")
    room = joined(await newer, room_id)
    assert first != second and room["timeline"]["events"]
    assert ("m.room.member", bob.user_id) not in state(room)


async def test_a_redacted_event_is_redacted_for_all_who_come_later(
    alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    since = (await bob.sync())["next_batch"]
    event_id = await alice.send(room_id, "regretted")
    await bob.hear()
    assert joined(await bob.sync(since), room_id)["timeline"]["events"][0]["content"]["body"] == "regretted"
    (await alice.put(f"{alice.room(room_id)}/redact/{seg(event_id)}/r1", {"reason": "oops"})).ok()
    await bob.hear()
    target, redaction = joined(await bob.sync(since), room_id)["timeline"]["events"]
    assert target["event_id"] == event_id and target["content"] == {}
    assert target["unsigned"]["redacted_because"]["event_id"] == redaction["event_id"]
    assert redaction["redacts"] == event_id


async def test_a_user_reads_their_own_writes(alice: SyncPerson) -> None:
    room_id = await alice.create_room()
    since = (await alice.sync())["next_batch"]
    for number in range(30):
        event_id = await alice.send(room_id, f"w{number}")
        answer = await alice.sync(since)
        assert ids(joined(answer, room_id)) == [event_id]
        since = answer["next_batch"]


async def test_another_replica_goes_on_with_any_token(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    since = (await bob.sync())["next_batch"]
    missed = await alice.send(room_id, "before the restart")
    replica = await building.replica()
    answer = await bob.at(replica).sync(since)
    assert ids(joined(answer, room_id)) == [missed]
    assert (await bob.at(replica).sync(answer["next_batch"]))["rooms"]["join"] == {}
    invited = await alice.create_room(invite=[bob.user_id])
    assert await alice.act(room_id, "kick", bob.user_id) == 200
    later = await building.replica()
    rooms = (await bob.at(later).sync(answer["next_batch"]))["rooms"]
    assert list(rooms["invite"]) == [invited]
    assert list(rooms["leave"]) == [room_id]


async def test_a_token_of_an_unknown_generation_gets_everything_anew(alice: SyncPerson) -> None:
    room_id = await alice.create_room(name="Tea")
    since = SyncToken.decode((await alice.sync())["next_batch"])
    lost = SyncToken(since.generation ^ 1, since.rooms, since.users, 0).encode()
    room = joined(await alice.sync(lost), room_id)
    names = [
        event["type"] for event in (*room["timeline"]["events"], *room.get("state", {}).get("events", ()))
    ]
    assert "m.room.create" in names and "m.room.name" in names


async def test_a_token_of_an_older_generation_goes_on_from_where_the_next_began(
    building: Building, alice: SyncPerson
) -> None:
    room_id = await alice.create_room()
    since = (await alice.sync())["next_batch"]
    missed = await alice.send(room_id, "before")
    waiting = asyncio.create_task(alice.sync((await alice.sync())["next_batch"], timeout=20_000))
    await asyncio.sleep(0.05)
    generation = await building.platform.log.begin_generation("a test")
    answer = await alice.sync(since, timeout=5_000)
    assert ids(joined(answer, room_id)) == [missed]
    later = await alice.send(room_id, "after")
    # A poll that was held from before goes on as if nothing had happened.
    assert ids(joined(await asyncio.wait_for(waiting, 5), room_id)) == [later]
    answer = await alice.sync(answer["next_batch"], timeout=5_000)
    assert ids(joined(answer, room_id)) == [later]
    assert SyncToken.decode((await alice.sync(answer["next_batch"]))["next_batch"]).generation == generation


async def test_a_held_poll_of_a_device_that_is_logged_out_ends(building: Building, alice: SyncPerson) -> None:
    other = await building.device(alice)
    since = (await alice.sync())["next_batch"]
    held = asyncio.create_task(alice.get(SYNC, since=since, timeout=20_000))
    stays = asyncio.create_task(other.sync(since, timeout=1_500))
    await asyncio.sleep(0.05)
    (await alice.post(f"{V3}/logout")).ok()
    assert (await asyncio.wait_for(held, 1)).error() == (401, "M_UNKNOWN_TOKEN")
    assert (await stays)["rooms"]["join"] == {}


async def test_a_token_beyond_the_head_is_cut_back(alice: SyncPerson) -> None:
    room_id = await alice.create_room()
    since = SyncToken.decode((await alice.sync())["next_batch"])
    beyond = SyncToken(since.generation, tuple(p + 1_000 for p in since.rooms), since.users).encode()
    answer = await alice.sync(beyond)
    assert answer["rooms"]["join"] == {}
    event_id = await alice.send(room_id, "after")
    assert ids(joined(await alice.sync(answer["next_batch"]), room_id)) == [event_id]


async def test_messages_to_a_device_stay_until_it_says_that_it_has_them(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    since = (await bob.sync())["next_batch"]
    waiting = asyncio.create_task(bob.sync(since, timeout=20_000))
    await asyncio.sleep(0.05)
    for number in range(2):
        contents = {bob.user_id: {bob.device_id: {"n": number}}}
        await building.users.put_messages(alice.user_id, "org.example.note", contents)
    answer = await asyncio.wait_for(waiting, 5)
    first = answer["to_device"]["events"]
    assert first[0] == {"type": "org.example.note", "sender": alice.user_id, "content": {"n": 0}}
    await bob.hear()
    # Without its token nothing is gone.
    again = await bob.sync(since)
    assert [event["content"]["n"] for event in again["to_device"]["events"]] == [0, 1]
    done = await bob.sync(again["next_batch"])
    assert "to_device" not in done
    assert "to_device" not in await bob.sync(done["next_batch"])
    replica = await building.replica()
    assert "to_device" not in await bob.at(replica).sync(since)


async def test_more_messages_than_fit_come_one_answer_after_the_other(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    since = (await bob.sync())["next_batch"]
    for number in range(130):
        contents = {bob.user_id: {bob.device_id: {"n": number}}}
        await building.users.put_messages(alice.user_id, "org.example.note", contents)
    await bob.hear()
    got: list[int] = []
    for _ in range(4):
        answer = await bob.sync(since, timeout=0)
        got += [event["content"]["n"] for event in answer.get("to_device", {}).get("events", ())]
        since = answer["next_batch"]
    assert got == list(range(130))


async def test_a_change_of_devices_is_told_to_those_who_share_a_room(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    await alice.hear()
    tokens = {person.user_id: (await person.sync())["next_batch"] for person in (alice, bob, carol)}
    quiet: Json = {"presence": {"types": []}}
    waiting = asyncio.create_task(alice.sync(tokens[alice.user_id], timeout=20_000, filter=quiet))
    await asyncio.sleep(0.05)
    await building.device(bob)
    keys = b'{"algorithms":[],"device_id":"%b","keys":{},"signatures":{},"user_id":"%b"}' % (
        bob.device_id.encode(),
        bob.user_id.encode(),
    )
    await building.users.upload_keys(bob.user_id, bob.device_id, keys, [], [])
    answer = await asyncio.wait_for(waiting, 5)
    assert answer["device_lists"] == {"changed": [bob.user_id], "left": []}
    assert "device_lists" not in await carol.sync(tokens[carol.user_id])
    replica = await building.replica()
    answer = await alice.at(replica).sync(tokens[alice.user_id])
    assert answer["device_lists"]["changed"] == [bob.user_id]
    since = answer["next_batch"]
    assert await bob.act(room_id, "leave") == 200
    await alice.hear()
    answer = await alice.sync(since)
    assert answer["device_lists"] == {"changed": [], "left": [bob.user_id]}


async def test_lazy_members_are_told_again_to_who_was_away_from_the_room(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    """Who left and came back between two syncs has missed how members changed: what a lazy-loading device was
    told of them before does not count.
    """
    lazy: Json = {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 1}}}
    room_id = await alice.create_room(preset="public_chat", name="Club")
    # So many that bob is none of those who stand for the room.
    crowd = [await building.person(f"crowd{n}") for n in range(6)]
    for person in (*crowd, carol, bob):
        await person.join(room_id)
    await bob.send(room_id, "known")
    await alice.hear()
    first = await alice.sync(filter=lazy)
    assert ("m.room.member", bob.user_id) in state(joined(first, room_id))
    second = await alice.sync(first["next_batch"], filter=lazy)
    assert await alice.act(room_id, "leave") == 200
    named = await bob.set_state(
        room_id, "m.room.member", {"membership": "join", "displayname": "Bobby"}, bob.user_id
    )
    await alice.join(room_id)
    await carol.send(room_id, "welcome back")
    await alice.hear()
    third = await alice.sync(second["next_batch"], filter=lazy)
    await bob.send(room_id, "by another name")
    await alice.hear()
    fourth = await alice.sync(third["next_batch"], filter=lazy)
    sections = [joined(answer, room_id).get("state", {"events": []}) for answer in (third, fourth)]
    assert named in [event["event_id"] for section in sections for event in section["events"]]

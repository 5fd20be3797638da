"""A room of every version, from createRoom to /sync: what is the same in all, and what is not."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from plexus.protocol import ROOM_VERSIONS

from tests.integration.sync.building import SyncPerson
from tests.support.house import SERVER, V3
from tests.support.http import Json, seg

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("version", ROOM_VERSIONS),
]

EVENT_IDS = {
    "1": r"\$[A-Za-z0-9_-]{24}:" + re.escape(SERVER),
    "3": r"\$[A-Za-z0-9+/]{43}",
    "4": r"\$[A-Za-z0-9_-]{43}",
}
"""By the version that brought them."""

CLIENT_KEYS = {"content", "event_id", "origin_server_ts", "room_id", "sender", "type", "unsigned"}


def event_id_pattern(version: str) -> str:
    return EVENT_IDS["1" if int(version) < 3 else version if version == "3" else "4"]


async def messages(person: SyncPerson, room_id: str) -> list[Json]:
    answer = (await person.get(f"{person.room(room_id)}/messages", dir="f", limit=100)).ok()
    chunk: list[Json] = answer["chunk"]
    return chunk


async def set_state(
    person: SyncPerson, room_id: str, type: str, content: dict[str, Any], state_key: str = ""
) -> tuple[int, str | None]:
    path = f"{person.room(room_id)}/state/{seg(type)}/{seg(state_key)}"
    return (await person.put(path, content)).error()


DONE = (200, None)
FORBIDDEN = (403, "M_FORBIDDEN")


async def test_the_life_of_a_room(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson, version: str
) -> None:
    room_id = await alice.create_room(room_version=version, preset="private_chat", invite=[bob.user_id])
    if version == "12":
        assert re.fullmatch(r"![A-Za-z0-9_-]{43}", room_id)
    else:
        assert re.fullmatch(rf"![A-Za-z0-9_-]+:{re.escape(SERVER)}", room_id)
    creation = {"room_version": version}
    if int(version) <= 10:
        creation["creator"] = alice.user_id
    assert await alice.state(room_id, "m.room.create") == creation

    assert (await carol.post(f"{carol.room(room_id)}/join")).error() == FORBIDDEN
    await bob.join(room_id)
    (await bob.post(f"{bob.room(room_id)}/invite", {"user_id": carol.user_id})).ok()
    await carol.join(room_id)
    hers, his = await alice.send(room_id, "hers"), await bob.send(room_id, "his")

    # Power: what Bob may not, he may as a moderator.
    assert await set_state(bob, room_id, "m.room.topic", {"topic": "x"}) == FORBIDDEN
    levels = await alice.state(room_id, "m.room.power_levels")
    raised = {**levels, "users": {**levels["users"], bob.user_id: 50}}
    assert await set_state(alice, room_id, "m.room.power_levels", raised) == DONE
    assert await set_state(bob, room_id, "m.room.topic", {"topic": "x"}) == DONE
    stringy = {**raised, "users_default": "0"}
    refusal = await set_state(alice, room_id, "m.room.power_levels", stringy)
    assert refusal == (FORBIDDEN if int(version) >= 10 else (400, "M_BAD_JSON"))

    # Redactions: of one's own, and by the moderator; not of what is others'.
    redact = f"{carol.room(room_id)}/redact/{seg(his)}/1"
    assert (await carol.put(redact, {})).error() == FORBIDDEN
    redaction = (await bob.put(f"{bob.room(room_id)}/redact/{seg(hers)}/1", {"reason": "r"})).ok()["event_id"]
    (await bob.put(f"{bob.room(room_id)}/redact/{seg(his)}/2", {})).ok()
    (await bob.post(f"{bob.room(room_id)}/ban", {"user_id": carol.user_id})).ok()
    assert (await carol.post(f"{carol.room(room_id)}/join")).error() == FORBIDDEN

    chunk = await messages(alice, room_id)
    by_id = {event["event_id"]: event for event in chunk}
    assert len(by_id) == len(chunk) == 17
    for event in chunk:
        assert re.fullmatch(event_id_pattern(version), event["event_id"]), event["event_id"]
        assert event["room_id"] == room_id
        assert event.keys() - {"state_key", "redacts"} == CLIENT_KEYS
        seen = (await alice.get(f"{alice.room(room_id)}/event/{seg(event['event_id'])}")).ok()
        assert {**seen, "unsigned": ...} == {**event, "unsigned": ...}
    assert by_id[hers]["content"] == by_id[his]["content"] == {}
    assert by_id[hers]["unsigned"]["redacted_because"]["event_id"] == redaction
    shown = by_id[redaction]
    assert shown["redacts"] == shown["content"]["redacts"] == hers
    assert shown["content"]["reason"] == "r"

    async with asyncio.timeout(5):  # what others have written comes when it comes
        while True:
            answer = await alice.sync(filter='{"room":{"timeline":{"limit":50}}}')
            told = answer["rooms"]["join"][room_id]["timeline"]
            if len(told["events"]) >= len(chunk):
                break
    assert told["limited"] is False
    for event in told["events"]:
        same = by_id[event["event_id"]]
        assert {**event, "room_id": room_id, "unsigned": ...} == {**same, "unsigned": ...}
    assert [event["event_id"] for event in told["events"]] == list(by_id)


async def test_members_of_another_room(alice: SyncPerson, bob: SyncPerson, version: str) -> None:
    club = await alice.create_room(room_version=version, preset="public_chat")
    room_id = await alice.create_room(room_version=version)
    allow = [{"type": "m.room_membership", "room_id": club}]
    rule = {"join_rule": "restricted", "allow": allow}
    assert await set_state(alice, room_id, "m.room.join_rules", rule) == DONE
    assert (await bob.post(f"{bob.room(room_id)}/join")).error() == FORBIDDEN
    await bob.join(club)
    joined = await bob.post(f"{bob.room(room_id)}/join")
    if int(version) < 8:
        assert joined.error() == FORBIDDEN
        return
    joined.ok()
    member = await bob.state(room_id, "m.room.member", bob.user_id)
    assert member["join_authorised_via_users_server"] == alice.user_id
    # Whose word it was is forgotten in a redaction of version 8, and in none after it.
    [event] = [event for event in await messages(bob, room_id) if event.get("state_key") == bob.user_id]
    (await alice.put(f"{alice.room(room_id)}/redact/{seg(event['event_id'])}/1", {})).ok()
    left = await alice.state(room_id, "m.room.member", bob.user_id)
    assert ("join_authorised_via_users_server" in left) == (int(version) >= 9)
    [rules] = [event for event in await messages(alice, room_id) if event["content"].get("allow")]
    (await alice.put(f"{alice.room(room_id)}/redact/{seg(rules['event_id'])}/2", {})).ok()
    assert await alice.state(room_id, "m.room.join_rules") == rule


@pytest.mark.parametrize(("rule", "since"), [("knock", 7), ("knock_restricted", 10)])
async def test_knocking(alice: SyncPerson, bob: SyncPerson, version: str, rule: str, since: int) -> None:
    room_id = await alice.create_room(room_version=version, name="Door")
    assert await set_state(alice, room_id, "m.room.join_rules", {"join_rule": rule, "allow": []}) == DONE
    knocked = await bob.post(f"{V3}/knock/{seg(room_id)}", {"reason": "tea?"})
    if int(version) < since:
        assert knocked.error() == FORBIDDEN
        return
    knocked.ok()
    told = (await bob.sync())["rooms"]["knock"][room_id]["knock_state"]["events"]
    assert {"m.room.create", "m.room.name", "m.room.join_rules"} <= {event["type"] for event in told}
    assert (await bob.post(f"{bob.room(room_id)}/join")).error() == FORBIDDEN
    (await alice.post(f"{alice.room(room_id)}/invite", {"user_id": bob.user_id})).ok()
    await bob.join(room_id)
    assert (await bob.state(room_id, "m.room.member", bob.user_id))["membership"] == "join"


async def test_aliases_are_state_of_any_member_up_to_version_5(
    alice: SyncPerson, bob: SyncPerson, version: str
) -> None:
    room_id = await alice.create_room(room_version=version, preset="public_chat")
    await bob.join(room_id)
    content = {"aliases": [f"#tea:{SERVER}"]}
    set_by_bob = await set_state(bob, room_id, "m.room.aliases", content, SERVER)
    if int(version) >= 6:
        assert set_by_bob == FORBIDDEN
        return
    assert set_by_bob == DONE
    assert await set_state(bob, room_id, "m.room.aliases", content, "elsewhere.org") == FORBIDDEN
    [event] = [event for event in await messages(bob, room_id) if event["type"] == "m.room.aliases"]
    (await alice.put(f"{alice.room(room_id)}/redact/{seg(event['event_id'])}/1", {})).ok()
    assert await alice.state(room_id, "m.room.aliases", SERVER) == content


async def test_numbers_that_are_not_canonical(alice: SyncPerson, version: str) -> None:
    room_id = await alice.create_room(room_version=version)
    path = f"{alice.room(room_id)}/send/org.example.number/1"
    sent = await alice.put(path, b'{"half":0.5,"large":9007199254740993}')
    if int(version) >= 6:
        assert sent.error() == (400, "M_BAD_JSON")
        return
    event_id = sent.ok()["event_id"]
    seen = (await alice.get(f"{alice.room(room_id)}/event/{seg(event_id)}")).ok()
    assert seen["content"] == {"half": 0.5, "large": 9007199254740993}

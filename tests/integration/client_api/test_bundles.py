"""Client-Server API, "Aggregations of child events": what is told with an event of its children."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.client_api.relating import (
    bundle,
    edit,
    ids,
    ignore,
    react,
    redact,
    relates,
    relations,
    reply_in_thread,
    say,
    send,
    threads,
)
from tests.support.house import Person
from tests.support.http import Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def shared_room(alice: Person, *others: Person) -> str:
    room_id = await alice.create_room(preset="public_chat")
    for person in others:
        await person.join(room_id)
    return room_id


async def test_a_thread(alice: Person, bob: Person, carol: Person) -> None:
    room_id = await shared_room(alice, bob, carol)
    root = await say(alice, room_id, "root")
    assert await bundle(alice, room_id, root) == {}
    first = await reply_in_thread(bob, room_id, root, "first")
    last = await reply_in_thread(bob, room_id, root, "last")
    await edit(bob, room_id, last, "last indeed")
    await react(carol, room_id, last, "👍")
    for person, took_part in ((alice, True), (bob, True), (carol, False)):
        told = (await bundle(person, room_id, root))["m.thread"]
        assert (told["count"], told["current_user_participated"]) == (2, took_part)
        latest = told["latest_event"]
        assert (latest["event_id"], latest["room_id"]) == (last, room_id)
        # "child events of the latest_event should themselves be aggregated".
        inner = latest["unsigned"]["m.relations"]
        assert set(inner) == {"m.replace"}
        assert inner["m.replace"]["content"]["m.new_content"]["body"] == "last indeed"
    await redact(bob, room_id, last)
    told = (await bundle(alice, room_id, root))["m.thread"]
    assert (told["count"], told["latest_event"]["event_id"]) == (1, first)
    await redact(bob, room_id, first)
    assert await bundle(alice, room_id, root) == {}


async def test_a_replacement(alice: Person, bob: Person) -> None:
    room_id = await shared_room(alice, bob)
    said = await say(alice, room_id, "original")
    await edit(alice, room_id, said, "first edit")
    second = await edit(alice, room_id, said, "second edit")
    event = (await bob.get(f"{bob.room(room_id)}/event/{seg(said)}")).ok()
    # "the content of the original event is left intact".
    assert event["content"]["body"] == "original"
    told = event["unsigned"]["m.relations"]["m.replace"]
    # "the most recent valid replacement event, formatted as normal"
    whole = (await bob.get(f"{bob.room(room_id)}/event/{seg(second)}")).ok()
    for each in (told, whole):
        each["unsigned"] = {}
    assert told == whole
    # "it removes that edit revision"
    await redact(alice, room_id, second)
    told = (await bundle(bob, room_id, said))["m.replace"]
    assert told["content"]["m.new_content"]["body"] == "first edit"
    # "If the original event is redacted, any m.replace relationship should not be bundled with it".
    await redact(alice, room_id, said)
    assert await bundle(bob, room_id, said) == {}


async def test_replacements_that_are_not_valid_are_not_told(alice: Person, bob: Person) -> None:
    room_id = await shared_room(alice, bob)
    new = {"m.new_content": {"body": "new", "msgtype": "m.text"}}
    said = await say(alice, room_id, "original")
    # Somebody else's; of another type; without new content; a state event's; an edit's.
    await edit(bob, room_id, said, "by another")
    await send(alice, room_id, {**new, **relates("m.replace", said)}, "org.example.other")
    await say(alice, room_id, "no new content", **relates("m.replace", said))
    await say(alice, room_id, "of another form", **{"m.new_content": "x"}, **relates("m.replace", said))
    state = f"{alice.room(room_id)}/state/m.room.message/key"
    (await alice.put(state, {"body": "state", **new, **relates("m.replace", said)})).ok()
    assert await bundle(alice, room_id, said) == {}
    valid = await edit(alice, room_id, said, "valid")
    await edit(alice, room_id, valid, "an edit of an edit")
    assert await bundle(alice, room_id, valid) == {}
    assert (await bundle(alice, room_id, said))["m.replace"]["event_id"] == valid
    named = (await alice.put(f"{alice.room(room_id)}/state/org.example.s/x", {"a": 1})).ok()["event_id"]
    await send(alice, room_id, {**new, **relates("m.replace", named)}, "org.example.s")
    assert await bundle(alice, room_id, named) == {}


async def test_an_encrypted_replacement_keeps_its_new_content_to_itself(alice: Person) -> None:
    room_id = await alice.create_room()
    cipher: dict[str, Any] = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "ciphertext": "x",
        "session_id": "s",
    }
    said = await send(alice, room_id, cipher, "m.room.encrypted")
    edited = await send(alice, room_id, {**cipher, **relates("m.replace", said)}, "m.room.encrypted")
    assert (await bundle(alice, room_id, said))["m.replace"]["event_id"] == edited


async def test_references_and_annotations(alice: Person, bob: Person) -> None:
    room_id = await shared_room(alice, bob)
    said = await say(alice, room_id, "a poll")
    await react(bob, room_id, said, "👍")
    # "m.annotation is not included in the m.relations property".
    assert await bundle(alice, room_id, said) == {}
    votes = [await say(person, room_id, "a vote", **relates("m.reference", said)) for person in (bob, alice)]
    chunk = [{"event_id": vote} for vote in votes]
    assert await bundle(alice, room_id, said) == {"m.reference": {"chunk": chunk}}


async def test_of_ignored_users_nothing_counts(alice: Person, bob: Person, carol: Person) -> None:
    room_id = await shared_room(alice, bob, carol)
    root = await say(alice, room_id, "root")
    hers = await reply_in_thread(carol, room_id, root, "hers")
    await reply_in_thread(bob, room_id, root, "his")
    reference = await say(carol, room_id, "see there", **relates("m.reference", root))
    await say(bob, room_id, "see there", **relates("m.reference", root))
    await ignore(alice, bob)
    told = await bundle(alice, room_id, root)
    assert (told["m.thread"]["count"], told["m.thread"]["latest_event"]["event_id"]) == (1, hers)
    assert told["m.reference"] == {"chunk": [{"event_id": reference}]}
    assert (await bundle(carol, room_id, root))["m.thread"]["count"] == 2
    await ignore(alice, bob, carol)
    assert await bundle(alice, room_id, root) == {}


async def test_what_one_may_not_see_does_not_count(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    root = await say(alice, room_id, "root")
    visibility = f"{alice.room(room_id)}/state/m.room.history_visibility"
    (await alice.put(visibility, {"history_visibility": "joined"})).ok()
    await reply_in_thread(alice, room_id, root, "behind the curtain")
    await edit(alice, room_id, root, "behind the curtain")
    await bob.join(room_id)
    assert await bundle(bob, room_id, root) == {}
    seen = await reply_in_thread(alice, room_id, root, "on stage")
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    await reply_in_thread(alice, room_id, root, "after the show")
    told = await bundle(bob, room_id, root)
    assert set(told) == {"m.thread"}
    assert (told["m.thread"]["count"], told["m.thread"]["latest_event"]["event_id"]) == (1, seen)
    assert (await bundle(alice, room_id, root))["m.thread"]["count"] == 3


async def test_wherever_the_event_is_told(alice: Person, bob: Person) -> None:
    room_id = await shared_room(alice, bob)
    root = await say(alice, room_id, "root")
    child = await reply_in_thread(bob, room_id, root)
    await edit(alice, room_id, root, "a better root")
    await edit(bob, room_id, child, "a better child")
    plain = await say(alice, room_id, "plain")
    room = alice.room(room_id)
    messages = (await alice.get(f"{room}/messages", dir="b")).ok()["chunk"]
    context = (await alice.get(f"{room}/context/{seg(child)}", limit=10)).ok()
    around = (await alice.get(f"{room}/context/{seg(root)}", limit=10)).ok()
    told: list[list[Json]] = [
        messages,
        [*context["events_before"], context["event"], *context["events_after"]],
        [around["event"], *around["events_after"]],
    ]
    for events in told:
        by_id = {event["event_id"]: event["unsigned"].get("m.relations", {}) for event in events}
        assert set(by_id[root]) == {"m.thread", "m.replace"}
        assert set(by_id[child]) == {"m.replace"}
        assert by_id[plain] == {}
    page = (await relations(alice, room_id, root, "m.thread")).ok()
    assert ids(page) == [child]
    assert set(page["chunk"][0]["unsigned"]["m.relations"]) == {"m.replace"}
    (thread,) = (await threads(alice, room_id)).ok()["chunk"]
    assert set(thread["unsigned"]["m.relations"]) == {"m.thread", "m.replace"}

"""Receipts and read markers, by the endpoints that set them. What others are told is seen in sync's tests."""

import asyncio
from typing import Any

import pytest

from tests.support.house import V3, House, Person
from tests.support.http import Answer, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = (403, "M_FORBIDDEN")
INVALID = (400, "M_INVALID_PARAM")


async def read(person: Person, room_id: str, event_id: str, type: str = "m.read", body: Any = None) -> Answer:
    path = f"{person.room(room_id)}/receipt/{type}/{seg(event_id)}"
    return await person.post(path, {} if body is None else body)


async def in_thread(person: Person, room_id: str, root: str, text: str) -> str:
    relation = {"rel_type": "m.thread", "event_id": root}
    return await related(person, room_id, relation, text)


async def related(person: Person, room_id: str, relation: dict[str, Any], text: str) -> str:
    content = {"msgtype": "m.text", "body": text, "m.relates_to": relation}
    answer = await person.put(f"{person.room(room_id)}/send/m.room.message/{seg(text)}", content)
    event_id: str = answer.ok()["event_id"]
    return event_id


async def place(house: House, person: Person, room_id: str) -> Any:
    ref = await house.rooms.ref(room_id)
    assert ref is not None
    return (await house.rooms.read_places([ref], person.user_id))[ref]


async def ordinal(house: House, room_id: str, event_id: str) -> int:
    event = await house.rooms.event(room_id, event_id, viewer=None)
    return event.place.ordinal


async def test_a_receipt_goes_forward_and_never_back(house: House, alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    first, second, third = [await alice.send(room_id, text) for text in ("one", "two", "three")]
    (await read(bob, room_id, second)).ok()
    assert (await place(house, bob, room_id)).room.ordinal == await ordinal(house, room_id, second)
    (await read(bob, room_id, first)).ok()
    assert (await place(house, bob, room_id)).room.ordinal == await ordinal(house, room_id, second)
    # "The receipt which is more ahead is used when determining the highest read-up-to mark."
    (await read(bob, room_id, third, "m.read.private")).ok()
    assert (await place(house, bob, room_id)).room.ordinal == await ordinal(house, room_id, third)
    assert (await place(house, alice, room_id)).room is None


async def test_receipts_that_come_together_leave_the_furthest(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    events = [await alice.send(room_id, str(number)) for number in range(8)]
    before = await house.count("lanes.fact")
    answers = await asyncio.gather(*(read(alice, room_id, event_id) for event_id in reversed(events)))
    assert [answer.status for answer in answers] == [200] * 8
    assert (await place(house, alice, room_id)).room.ordinal == await ordinal(house, room_id, events[-1])
    # "Coalesced": not a fact each.
    assert await house.count("lanes.fact") - before <= 2


async def test_threads_have_receipts_of_their_own(house: House, alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    root = await alice.send(room_id, "root")
    reply = await in_thread(alice, room_id, root, "in the thread")
    edit = await related(
        alice, room_id, {"rel_type": "m.replace", "event_id": reply}, "an edit of what is in the thread"
    )
    reaction = await related(
        alice, room_id, {"rel_type": "m.reference", "event_id": root}, "about the root, not in its thread"
    )
    beside = await alice.send(room_id, "beside")
    for event_id, thread in ((reply, root), (edit, root), (root, "main"), (reaction, "main")):
        (await read(bob, room_id, event_id, body={"thread_id": thread})).ok()
    places = await place(house, bob, room_id)
    assert places.room is None
    assert places.of(root).ordinal == await ordinal(house, room_id, edit)
    assert places.of("main").ordinal == await ordinal(house, room_id, reaction)
    # An unthreaded one holds for all threads.
    (await read(bob, room_id, beside)).ok()
    places = await place(house, bob, room_id)
    assert places.of(root) == places.of("main") == places.of("$another") == places.room

    # "The event_id is not related to the thread_id."
    for event_id, thread in ((reply, "main"), (edit, "main"), (beside, root), (root, root), (reply, beside)):
        assert (await read(bob, room_id, event_id, body={"thread_id": thread})).error() == INVALID
    # "It is not a string", "It is empty", "It is provided for an incompatible receipt type".
    for wrong in (7, "", None, ["main"], "no event"):
        assert (await read(bob, room_id, beside, body={"thread_id": wrong})).error() == INVALID
    assert (await read(bob, room_id, beside, "m.fully_read", {"thread_id": "main"})).error() == INVALID


async def test_what_is_no_receipt(house: House, alice: Person, bob: Person) -> None:
    room_id = await alice.create_room()
    event_id = await alice.send(room_id, "here")
    elsewhere = await alice.send(await alice.create_room(), "there")
    before = await house.count("rooms.receipt")
    for type_ in ("m.read", "m.read.private", "m.fully_read"):
        assert (await read(alice, room_id, elsewhere, type_)).error() == (404, "M_NOT_FOUND")
        assert (await read(bob, room_id, event_id, type_)).error() == FORBIDDEN
        assert (await read(bob, room_id, elsewhere, type_)).error() == FORBIDDEN
        assert (await read(alice, "!no:where.org", event_id, type_)).error() == FORBIDDEN
    assert (await read(alice, room_id, event_id, "m.seen")).error() == INVALID
    assert (await read(alice, room_id, "event")).error() == INVALID
    path = f"{alice.room(room_id)}/receipt/m.read/{seg(event_id)}"
    assert (await alice.post(path, [])).error() == (400, "M_BAD_JSON")
    assert (await alice.post(path, b"{")).error() == (400, "M_NOT_JSON")
    assert (await house.client().post(path, {})).error() == (401, "M_MISSING_TOKEN")
    assert await house.count("rooms.receipt") == before


async def test_read_markers_set_what_they_name(house: House, alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    first, second = [await alice.send(room_id, text) for text in ("first", "second")]
    path = f"{bob.room(room_id)}/read_markers"
    stored = f"{V3}/user/{seg(bob.user_id)}/rooms/{seg(room_id)}/account_data/m.fully_read"
    (await bob.post(path, {"m.fully_read": first, "m.read": first, "m.read.private": second})).ok()
    assert (await bob.get(stored)).ok() == {"event_id": first}
    assert (await place(house, bob, room_id)).room.ordinal == await ordinal(house, room_id, second)
    (await read(bob, room_id, second, "m.fully_read")).ok()
    (await bob.post(path, {"m.fully_read": first})).ok()
    assert (await bob.get(stored)).ok() == {"event_id": second}
    (await bob.post(path, {})).ok()
    # "The event MUST belong to the room": otherwise nothing is set.
    third = await alice.send(room_id, "third")
    wrong = {"m.fully_read": "$nothing", "m.read": third, "m.read.private": third}
    assert (await bob.post(path, wrong)).error() == (404, "M_NOT_FOUND")
    assert (await place(house, bob, room_id)).room.ordinal == await ordinal(house, room_id, second)
    assert (await bob.post(path, {"m.fully_read": 1})).errcode in ("M_BAD_JSON", "M_INVALID_PARAM")
    outside = f"{V3}/rooms/{seg(await alice.create_room())}/read_markers"
    for body in ({}, {"m.read": third}, {"m.fully_read": third}):
        assert (await bob.post(outside, body)).error() == FORBIDDEN


async def test_who_has_left_reads_no_further(house: House, alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    event_id = await alice.send(room_id, "hello")
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    assert (await read(bob, room_id, event_id)).error() == FORBIDDEN
    assert (await place(house, bob, room_id)).room is None


async def test_what_was_redacted_can_be_read_in_its_thread(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    root = await alice.send(room_id, "root")
    reply = await in_thread(alice, room_id, root, "soon gone")
    (await alice.put(f"{alice.room(room_id)}/redact/{seg(reply)}/gone", {})).ok()
    (await read(alice, room_id, reply, body={"thread_id": root})).ok()
    assert (await place(house, alice, room_id)).of(root).ordinal == await ordinal(house, room_id, reply)

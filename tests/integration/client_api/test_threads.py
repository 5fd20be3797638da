"""Client-Server API, "Querying threads in a room"."""

from __future__ import annotations

import pytest

from tests.integration.client_api.relating import ids, ignore, redact, reply_in_thread, say, threads
from tests.support.house import House, Person
from tests.support.http import seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_those_first_in_which_something_was_said_last(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    assert (await threads(alice, room_id)).ok() == {"chunk": []}
    roots = [await say(alice, room_id, f"root {n}") for n in range(3)]
    for root in roots:
        await reply_in_thread(bob, room_id, root)
    assert ids((await threads(alice, room_id)).ok()) == roots[::-1]
    last = await reply_in_thread(alice, room_id, roots[0], "once more")
    first, *_ = (await threads(bob, room_id)).ok()["chunk"]
    told = first["unsigned"]["m.relations"]["m.thread"]
    assert first["event_id"] == roots[0]
    assert (told["count"], told["latest_event"]["event_id"]) == (2, last)
    await redact(alice, room_id, last)
    assert ids((await threads(bob, room_id)).ok()) == roots[::-1]


async def test_pages_fit_together_whatever_is_said_meanwhile(alice: Person) -> None:
    room_id = await alice.create_room()
    roots = [await say(alice, room_id, f"root {n}") for n in range(5)]
    for number in range(3):
        for root in roots:
            await reply_in_thread(alice, room_id, root, f"round {number}")
    found: list[str] = []
    page = (await threads(alice, room_id, limit=2)).ok()
    while True:
        found += ids(page)
        # What was last moves to the top, and what is new comes there.
        await reply_in_thread(alice, room_id, roots[0], f"after {len(found)}")
        await reply_in_thread(alice, room_id, await say(alice, room_id, f"new {len(found)}"), "new")
        if "next_batch" not in page:
            break
        page = (await threads(alice, room_id, limit=2, **{"from": page["next_batch"]})).ok()
    assert found == roots[::-1]


async def test_a_busy_thread_does_not_hide_the_others(alice: Person) -> None:
    room_id = await alice.create_room()
    quiet = await say(alice, room_id, "quiet")
    await reply_in_thread(alice, room_id, quiet)
    busy = await say(alice, room_id, "busy")
    for number in range(40):
        await reply_in_thread(alice, room_id, busy, str(number))
    first = (await threads(alice, room_id, limit=1)).ok()
    second = (await threads(alice, room_id, limit=1, **{"from": first["next_batch"]})).ok()
    assert ids(first) + ids(second) == [busy, quiet]
    assert ids((await threads(alice, room_id, limit=3)).ok()) == [busy, quiet]


async def test_those_in_which_one_took_part(alice: Person, bob: Person, carol: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    for person in (bob, carol):
        await person.join(room_id)
    of_alice = await say(alice, room_id, "by Alice")
    of_bob = await say(bob, room_id, "by Bob")
    await reply_in_thread(alice, room_id, of_alice, "to myself")
    await reply_in_thread(bob, room_id, of_bob, "to myself")
    await reply_in_thread(bob, room_id, of_alice, "to Alice")

    async def participated(person: Person) -> list[str]:
        return ids((await threads(person, room_id, include="participated")).ok())

    assert ids((await threads(alice, room_id, include="all")).ok()) == [of_alice, of_bob]
    assert await participated(alice) == [of_alice]
    assert await participated(bob) == [of_alice, of_bob]
    assert await participated(carol) == []


async def test_only_what_one_may_see(alice: Person, bob: Person, carol: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    visibility = f"{alice.room(room_id)}/state/m.room.history_visibility"
    (await alice.put(visibility, {"history_visibility": "joined"})).ok()
    hidden = await say(alice, room_id, "before Bob came")
    await bob.join(room_id)
    shown = await say(alice, room_id, "while Bob was there")
    quiet = await say(alice, room_id, "spoken of when he had left")
    for root in (shown, hidden):
        await reply_in_thread(alice, room_id, root)
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    await reply_in_thread(alice, room_id, quiet)
    assert ids((await threads(alice, room_id)).ok()) == [quiet, hidden, shown]
    assert ids((await threads(bob, room_id, limit=1)).ok()) == [shown]
    assert (await threads(carol, room_id)).error() == (403, "M_FORBIDDEN")
    (await alice.put(visibility, {"history_visibility": "world_readable"})).ok()
    told = await say(alice, room_id, "to the world")
    await reply_in_thread(alice, room_id, told)
    assert ids((await threads(carol, room_id)).ok()) == [told]


async def test_threads_of_ignored_users(alice: Person, bob: Person, carol: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    for person in (bob, carol):
        await person.join(room_id)
    his = await say(bob, room_id, "by Bob")
    hers = await say(carol, room_id, "by Carol")
    await reply_in_thread(carol, room_id, his, "to Bob")
    await reply_in_thread(alice, room_id, hers, "to Carol")
    await reply_in_thread(bob, room_id, his, "on top")
    only_bob = await say(carol, room_id, "where only Bob spoke")
    await reply_in_thread(bob, room_id, only_bob, "alone")
    await ignore(alice, bob)
    answer = (await threads(alice, room_id)).ok()
    # "If the thread root event was sent by an ignored user, the event is returned redacted to the caller."
    assert [(event["event_id"], event["content"].get("body")) for event in answer["chunk"]] == [
        (hers, "by Carol"),
        (his, None),
    ]
    assert answer["chunk"][1]["unsigned"]["m.relations"]["m.thread"]["count"] == 1
    assert ids((await threads(carol, room_id)).ok()) == [only_bob, his, hers]


async def test_bad_questions(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    for query in ({"limit": 0}, {"limit": "many"}, {"include": "mine"}, {"from": "t1_0"}, {"from": "x"}):
        assert (await threads(alice, room_id, **query)).error() == (400, "M_INVALID_PARAM"), query
    assert (await threads(alice, "!none:here.example.org")).error() == (403, "M_FORBIDDEN")
    refused = await house.client().get(f"/_matrix/client/v1/rooms/{seg(room_id)}/threads")
    assert refused.error() == (401, "M_MISSING_TOKEN")

"""Client-Server API, ``POST /account/deactivate``, ``erase``: who joins later is served redacted copies."""

from __future__ import annotations

import asyncio

import pytest
from plexus.client_api.search.indexing import search_worker

from tests.integration.client_api.relating import (
    bundle,
    edit,
    relations,
    reply_in_thread,
    say,
    threads,
)
from tests.support.erasing import erase
from tests.support.house import V3, House, Person
from tests.support.http import Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def one(person: Person, room_id: str, event_id: str) -> Json:
    event: Json = (await person.get(f"{person.room(room_id)}/event/{seg(event_id)}")).ok()
    return event


async def messages(person: Person, room_id: str, **query: str) -> Json:
    page: Json = (await person.get(f"{person.room(room_id)}/messages", dir="b", limit=50, **query)).ok()
    return page


def by_id(events: list[Json]) -> dict[str, Json]:
    return {event["event_id"]: event for event in events}


async def test_who_joined_before_still_sees_and_who_joins_later_does_not(
    house: House, alice: Person, bob: Person, carol: Person
) -> None:
    await house.users.set_profile_field(alice.user_id, "displayname", "Alice Liddell")
    room_id = await bob.create_room(preset="public_chat")
    await alice.join(room_id)
    said = await say(alice, room_id, "my secret")
    answer = await say(bob, room_id, "I see")
    await erase(house.users, alice)
    await carol.join(room_id)

    assert (await one(bob, room_id, said))["content"]["body"] == "my secret"
    seen = await one(carol, room_id, said)
    assert seen["content"] == {} and seen["sender"] == alice.user_id
    assert "redacted_because" not in seen["unsigned"]
    assert (await one(carol, room_id, answer))["content"]["body"] == "I see"

    filtered = {"filter": '{"lazy_load_members":true}'}
    for person, content in ((bob, {"body": "my secret", "msgtype": "m.text"}), (carol, {})):
        assert by_id((await messages(person, room_id))["chunk"])[said]["content"] == content
        around = (await person.get(f"{person.room(room_id)}/context/{seg(answer)}", limit=6)).ok()
        assert by_id(around["events_before"])[said]["content"] == content
        named = (await person.get(f"{person.room(room_id)}/context/{seg(said)}", limit=2)).ok()
        assert named["event"]["content"] == content
        shown = str([named, await messages(person, room_id), await messages(person, room_id, **filtered)])
        assert ("Alice Liddell" in shown) is (person is bob)
        assert ("my secret" in shown) is (person is bob)
    # The membership is told, for the state of the room is what it was.
    joins = [
        event
        for event in (await messages(carol, room_id))["chunk"]
        if event.get("state_key") == alice.user_id
    ]
    assert [event["content"] for event in joins] == [{"membership": "leave"}, {"membership": "join"}]


async def test_who_came_before_the_erasure_still_sees_what_was_said_before_they_came(
    house: House, alice: Person, bob: Person, carol: Person
) -> None:
    """ "Users which had visibility on those events prior to the erasure are still able to see unredacted
    copies."
    """
    dave, erin = [await house.person(name + alice.user_id[1:].split(":")[0]) for name in ("dave", "erin")]
    room_id = await bob.create_room(preset="public_chat")
    await alice.join(room_id)
    said = await say(alice, room_id, "my secret")
    for person in (carol, dave):
        await person.join(room_id)
    (await dave.post(f"{dave.room(room_id)}/leave")).ok()
    await erase(house.users, alice)
    await erin.join(room_id)
    # That she is banned when all is over does not make it later.
    (await bob.post(f"{bob.room(room_id)}/ban", {"user_id": alice.user_id})).ok()
    await dave.join(room_id)
    for person, sees in ((bob, True), (carol, True), (dave, True), (erin, False)):
        assert ("body" in (await one(person, room_id, said))["content"]) is sees
        page = by_id((await messages(person, room_id))["chunk"])
        assert ("body" in page[said]["content"]) is sees


async def test_in_a_room_that_she_had_left_nobody_knows_who_came_before_the_erasure(
    house: House, alice: Person, bob: Person, carol: Person
) -> None:
    room_id = await bob.create_room(preset="public_chat")
    await alice.join(room_id)
    said = await say(alice, room_id, "another secret")
    (await alice.post(f"{alice.room(room_id)}/leave")).ok()
    await carol.join(room_id)
    await erase(house.users, alice)
    assert "body" in (await one(bob, room_id, said))["content"]
    assert (await one(carol, room_id, said))["content"] == {}


async def test_what_she_wrote_in_relations_and_threads(
    house: House, alice: Person, bob: Person, carol: Person
) -> None:
    room_id = await bob.create_room(preset="public_chat")
    await alice.join(room_id)
    root = await say(alice, room_id, "root")
    await edit(alice, room_id, root, "better root")
    other = await say(bob, room_id, "another")
    reply = await reply_in_thread(bob, room_id, root, "harmless")
    latest = await reply_in_thread(alice, room_id, other, "in her words")
    await erase(house.users, alice)
    await carol.join(room_id)

    for person in (bob, carol):
        is_old = person is bob
        roots = by_id((await threads(person, room_id)).ok()["chunk"])
        assert set(roots) == {root, other}
        assert roots[root]["content"] == ({"msgtype": "m.text", "body": "root"} if is_old else {})
        assert ("m.replace" in roots[root]["unsigned"]["m.relations"]) is is_old
        told = roots[other]["unsigned"]["m.relations"]["m.thread"]["latest_event"]
        assert told["event_id"] == latest
        assert ("body" in told["content"]) is is_old
        [child] = (await relations(person, room_id, other, "m.thread")).ok()["chunk"]
        assert ("body" in child["content"]) is is_old
        with_root = await bundle(person, room_id, root)
        assert with_root["m.thread"]["latest_event"]["event_id"] == reply
        assert ("m.replace" in with_root) is is_old


async def test_a_look_from_outside_and_a_deactivation_without_erasure(
    house: House, alice: Person, bob: Person, carol: Person
) -> None:
    visible = {
        "type": "m.room.history_visibility",
        "state_key": "",
        "content": {"history_visibility": "world_readable"},
    }
    room_id = await bob.create_room(preset="public_chat", initial_state=[visible])
    await alice.join(room_id)
    said = await say(alice, room_id, "for everybody")
    other = await house.person("kept" + alice.user_id[1:].split(":")[0])
    await other.join(room_id)
    kept = await say(other, room_id, "goodbye")
    # Who has not joined is shown it until then.
    assert (await one(carol, room_id, said))["content"]["body"] == "for everybody"
    await erase(house.users, alice)
    await house.users.deactivate(other.user_id, erase=False)

    async def is_gone() -> bool:
        return not (await one(carol, room_id, said))["content"]

    async with asyncio.timeout(5):
        while not await is_gone():
            await asyncio.sleep(0.05)
    assert (await one(bob, room_id, said))["content"]["body"] == "for everybody"
    assert (await one(carol, room_id, kept))["content"]["body"] == "goodbye"


async def test_search_does_not_show_it_to_who_came_later(
    house: House, alice: Person, bob: Person, carol: Person
) -> None:
    worker = search_worker(house.platform, house.rooms)
    await worker.start()
    room_id = await bob.create_room(preset="public_chat")
    await alice.join(room_id)
    said = await say(alice, room_id, "a bandersnatch")
    answer = await say(bob, room_id, "what bandersnatch?")
    await erase(house.users, alice)
    await carol.join(room_id)

    async def found(person: Person) -> list[str]:
        body = {"search_categories": {"room_events": {"search_term": "bandersnatch"}}}
        results = (await person.post(f"{V3}/search", body)).ok()["search_categories"]["room_events"]
        assert results["count"] == len(results["results"])
        return [result["result"]["event_id"] for result in results["results"]]

    try:
        assert set(await found(bob)) == {said, answer}
        assert await found(carol) == [answer]
    finally:
        await worker.stop()


async def test_the_state_of_the_room_says_that_she_left_and_not_why(
    house: House, alice: Person, bob: Person, carol: Person
) -> None:
    room_id = await bob.create_room(preset="public_chat")
    await alice.join(room_id)
    (await alice.post(f"{alice.room(room_id)}/leave", {"reason": "my own words"})).ok()
    await erase(house.users, alice)
    await carol.join(room_id)
    member = f"state/m.room.member/{seg(alice.user_id)}"
    for path in ("state", "members", "members?not_membership=join", member):
        for person in (bob, carol):
            shown = str((await person.get(f"{person.room(room_id)}/{path}")).ok())
            assert "leave" in shown
            assert ("my own words" in shown) is (person is bob), (path, person.user_id)
    assert set((await carol.get(f"{carol.room(room_id)}/joined_members")).ok()["joined"]) == {
        bob.user_id,
        carol.user_id,
    }


async def test_nor_is_it_shown_in_other_events(
    house: House, alice: Person, bob: Person, carol: Person
) -> None:
    """As the content that a kick replaced, or as why something was redacted."""
    await house.users.set_profile_field(alice.user_id, "displayname", "Alice Liddell")
    room_id = await bob.create_room(preset="public_chat")
    await alice.join(room_id)
    said = await say(alice, room_id, "too much")
    redaction = f"{alice.room(room_id)}/redact/{seg(said)}/why"
    (await alice.put(redaction, {"reason": "my secret"})).ok()
    (await bob.post(f"{bob.room(room_id)}/kick", {"user_id": alice.user_id, "reason": "the rules"})).ok()
    await erase(house.users, alice)
    await carol.join(room_id)
    member = f"{carol.room(room_id)}/state/m.room.member/{seg(alice.user_id)}"
    [kick] = [
        event["event_id"]
        for event in (await messages(carol, room_id))["chunk"]
        if event.get("state_key") == alice.user_id and event["sender"] == bob.user_id
    ]
    for person in (bob, carol):
        # The schema of the answer with the state event is one of two, of which it is both.
        shown = [
            await messages(person, room_id),
            (await person.get(f"{person.room(room_id)}/context/{seg(kick)}", limit=10)).ok(),
            (await Person(person.app, person.token, recorded=False).get(member, format="event")).ok(),
            [await one(person, room_id, kick), await one(person, room_id, said)],
        ]
        for each in shown:
            assert ("Alice Liddell" in str(each)) is (person is bob)
        assert ("my secret" in str(shown)) is (person is bob)
        page = by_id((await messages(person, room_id))["chunk"])
        assert page[kick]["content"]["reason"] == "the rules"
        assert ("prev_content" in page[kick]["unsigned"]) is (person is bob)
        because = page[said]["unsigned"]["redacted_because"]
        assert because["content"].get("reason") == ("my secret" if person is bob else None)


async def test_nor_in_events_at_which_one_is_there(
    house: House, alice: Person, bob: Person, carol: Person
) -> None:
    room_id = await bob.create_room(preset="public_chat")
    await alice.join(room_id)
    (await alice.post(f"{alice.room(room_id)}/leave", {"reason": "my secret"})).ok()
    await erase(house.users, alice)
    await carol.join(room_id)
    (await bob.post(f"{bob.room(room_id)}/ban", {"user_id": alice.user_id})).ok()
    for person, sees in ((bob, True), (carol, False)):
        page = (await person.get(f"{person.room(room_id)}/messages", dir="b", limit=1)).ok()["chunk"]
        assert [event["content"]["membership"] for event in page] == ["ban"]
        assert ("my secret" in str(page)) is sees

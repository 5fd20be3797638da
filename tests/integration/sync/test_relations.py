"""What /sync tells with an event of those that relate to it. Client-Server API, "Aggregations of child
events".
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.client_api.relating import edit, ignore, redact, relates, reply_in_thread, say, send
from tests.integration.sync.building import Building, SyncPerson
from tests.support.http import Json

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def shared_room(*people: SyncPerson) -> str:
    room_id = await people[0].create_room(preset="public_chat")
    for other in people[1:]:
        await other.join(room_id)
    return room_id


async def told(person: SyncPerson, room_id: str, since: str | None = None, **timeline: Any) -> Json:
    """By event of the room's timeline, what is told with it."""
    await person.hear()
    answer = await person.sync(since, filter={"room": {"timeline": timeline}})
    section = answer["rooms"]["join"][room_id]["timeline"]
    return {event["event_id"]: event["unsigned"].get("m.relations") for event in section["events"]}


async def test_with_a_limited_timeline(alice: SyncPerson, bob: SyncPerson, carol: SyncPerson) -> None:
    room_id = await shared_room(alice, bob, carol)
    await carol.hear()
    since = (await carol.sync())["next_batch"]
    for number in range(5):
        await alice.send(room_id, f"long ago {number}")
    root = await say(alice, room_id, "root")
    child = await reply_in_thread(bob, room_id, root)
    edited = await edit(bob, room_id, child, "better")
    vote = await say(carol, room_id, "a vote", **relates("m.reference", root))
    for token in (None, since):
        for person, took_part in ((alice, True), (bob, True), (carol, False)):
            relations = await told(person, room_id, token, limit=4)
            assert list(relations) == [root, child, edited, vote]
            assert (relations[edited], relations[vote]) == (None, None)
            assert relations[child]["m.replace"]["event_id"] == edited
            assert relations[root]["m.reference"] == {"chunk": [{"event_id": vote}]}
            thread = relations[root]["m.thread"]
            assert (thread["count"], thread["current_user_participated"]) == (1, took_part)
            latest = thread["latest_event"]
            assert (latest["event_id"], "room_id" in latest) == (child, False)
            assert latest["unsigned"]["m.relations"]["m.replace"]["event_id"] == edited


async def test_who_has_all_events_is_told_nothing_besides(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await shared_room(alice, bob)
    since = await bob.now()
    root = await say(alice, room_id, "root")
    child = await reply_in_thread(alice, room_id, root)
    assert await told(bob, room_id, since) == {root: None, child: None}


async def test_it_ends_where_the_answer_ends(building: Building, alice: SyncPerson, bob: SyncPerson) -> None:
    """However far a replica is behind: whoever counts on from there counts everything once."""
    room_id = await shared_room(alice, bob)
    for number in range(8):
        await alice.send(room_id, f"long ago {number}")
    root = await say(alice, room_id, "root")
    await bob.hear()
    other = (await building.device(bob)).at(await building.replica())
    for number in range(1, 7):
        await reply_in_thread(alice, room_id, root, str(number))
        for person in (bob, other):
            answer = await person.sync(filter={"room": {"timeline": {"limit": number + 1}}})
            events = answer["rooms"]["join"][room_id]["timeline"]["events"]
            [parent] = [event for event in events if event["event_id"] == root]
            children = [event for event in events if "m.relates_to" in event["content"]]
            thread = parent["unsigned"].get("m.relations", {}).get("m.thread", {"count": 0})
            assert thread["count"] == len(children)


async def test_also_of_what_a_filter_leaves_out(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await shared_room(alice, bob)
    await say(alice, room_id, "long ago")
    poll = await say(alice, room_id, "a poll")
    votes = [
        await send(person, room_id, relates("m.reference", poll), "org.example.vote")
        for person in (alice, bob)
    ]
    shown = await told(bob, room_id, limit=1, types=["m.room.message"])
    assert shown == {poll: {"m.reference": {"chunk": [{"event_id": vote} for vote in votes]}}}
    await ignore(bob, alice)
    assert await told(bob, room_id, limit=1, types=["m.room.message"]) == {}
    await ignore(alice, bob)
    shown = await told(alice, room_id, limit=1, types=["m.room.message"])
    assert shown == {poll: {"m.reference": {"chunk": [{"event_id": votes[0]}]}}}


async def test_a_redaction_takes_it_away(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await shared_room(alice, bob)
    said = await say(alice, room_id, "said")
    edited = await edit(alice, room_id, said, "better said")
    for person in (alice, bob):
        assert (await told(person, room_id, limit=2))[said]["m.replace"]["event_id"] == edited
    redaction = await redact(alice, room_id, edited)
    for person in (alice, bob):
        assert await told(person, room_id, limit=3) == {said: None, edited: None, redaction: None}

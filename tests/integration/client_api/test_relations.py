"""Client-Server API, "Forming relationships between events": what relates to an event, page by page."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.client_api.relating import (
    edit,
    ids,
    ignore,
    put,
    react,
    redact,
    related,
    relates,
    relations,
    reply_in_thread,
    say,
    send,
)
from tests.support.house import House, Person
from tests.support.http import seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_children_by_type_of_relation_and_of_event(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    parent = await say(alice, room_id, "a question")
    answer = await reply_in_thread(bob, room_id, parent)
    thumb = await react(bob, room_id, parent, "👍")
    poll = await send(bob, room_id, relates("m.annotation", parent, key="👍"), "org.example.vote")
    edited = await edit(alice, room_id, parent, "a better question")
    odd = await say(bob, room_id, "odd", **relates("org.example.odd/type", parent))
    await say(bob, room_id, "a reply", **{"m.relates_to": {"m.in_reply_to": {"event_id": parent}}})
    assert await related(alice, room_id, parent) == [odd, edited, poll, thumb, answer]
    assert await related(bob, room_id, parent, dir="f") == [answer, thumb, poll, edited, odd]
    assert await related(bob, room_id, parent, "m.annotation") == [poll, thumb]
    assert await related(bob, room_id, parent, "m.annotation", "m.reaction") == [thumb]
    assert await related(bob, room_id, parent, "org.example.odd/type") == [odd]
    assert await related(bob, room_id, parent, "m.reference") == []
    assert await related(bob, room_id, thumb) == []
    (child,) = (await relations(bob, room_id, parent, "m.thread")).ok()["chunk"]
    assert child["content"]["body"] == "in the thread"
    assert child["unsigned"]["membership"] == "join"


@pytest.mark.parametrize("direction", ["b", "f"])
async def test_pages_join_without_a_gap_and_without_an_overlap(alice: Person, direction: str) -> None:
    room_id = await alice.create_room()
    parent = await say(alice, room_id, "root")
    children = []
    for number in range(7):
        children.append(await reply_in_thread(alice, room_id, parent, str(number)))
        await say(alice, room_id, f"between {number}")
    found: list[str] = []
    query: dict[str, Any] = {"dir": direction, "limit": 3}
    sizes = []
    while True:
        page = (await relations(alice, room_id, parent, **query)).ok()
        # "The absence of this token means this is the start of the result set".
        assert ("prev_batch" in page) == ("from" in query)
        assert "recursion_depth" not in page
        found += ids(page)
        sizes.append(len(page["chunk"]))
        if "next_batch" not in page:
            break
        query["from"] = page["next_batch"]
    assert sizes == [3, 3, 1]
    assert found == (children[::-1] if direction == "b" else children)
    nothing = (await relations(alice, room_id, parent, limit=0)).ok()
    assert nothing["chunk"] == []
    assert await related(alice, room_id, parent, **{"from": nothing["next_batch"]}) == children[::-1]


async def test_tokens_of_messages_and_of_relations_are_of_one_order(alice: Person) -> None:
    room_id = await alice.create_room()
    parent = await say(alice, room_id, "root")
    early = [await reply_in_thread(alice, room_id, parent, f"early {n}") for n in range(2)]
    page = (await alice.get(f"{alice.room(room_id)}/messages", dir="b", limit=1)).ok()
    now = page["start"]
    late = [await reply_in_thread(alice, room_id, parent, f"late {n}") for n in range(2)]
    assert await related(alice, room_id, parent, **{"from": now}) == early[::-1]
    assert await related(alice, room_id, parent, to=now) == late[::-1]
    assert await related(alice, room_id, parent, **{"from": now, "dir": "f"}) == late
    assert await related(alice, room_id, parent, dir="f", to=now) == early
    half = (await relations(alice, room_id, parent, limit=3)).ok()["next_batch"]
    older = (await alice.get(f"{alice.room(room_id)}/messages", **{"dir": "b", "from": half})).ok()
    assert ids(older)[0] == early[0]


async def test_indirect_relations(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    parent = await say(alice, room_id, "root")
    child = await reply_in_thread(bob, room_id, parent)
    thumb = await react(alice, room_id, child, "👍")
    edited = await edit(bob, room_id, child, "better")
    deeper = await say(alice, room_id, "of the edit", **relates("m.reference", edited))
    deepest = await say(alice, room_id, "of that", **relates("m.reference", deeper))
    page = (await relations(bob, room_id, parent, recurse="true")).ok()
    assert ids(page) == [deeper, edited, thumb, child]
    assert page["recursion_depth"] == 3
    assert deepest not in ids(page)
    page = (await relations(bob, room_id, parent, recurse="false")).ok()
    assert (ids(page), page["recursion_depth"]) == ([child], 1)
    # "Events that would match the filter, but whose only relation to the original given event is through a
    # non-matching intermediate event, will not be included."
    assert await related(bob, room_id, parent, "m.thread", recurse="true") == [child]
    assert await related(bob, room_id, parent, "m.annotation", recurse="true") == []
    assert await related(bob, room_id, edited, "m.reference", recurse="true") == [deepest, deeper]
    first = (await relations(bob, room_id, parent, recurse="true", limit=3)).ok()
    rest = await related(bob, room_id, parent, recurse="true", **{"from": first["next_batch"]})
    assert ids(first) + rest == [deeper, edited, thumb, child]


async def test_a_redacted_child_relates_to_nothing(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    parent = await say(alice, room_id, "root")
    children = [await reply_in_thread(bob, room_id, parent, str(n)) for n in range(3)]
    await redact(bob, room_id, children[1])
    assert await related(alice, room_id, parent) == [children[2], children[0]]
    # "When a parent event is redacted, the child events which pointed to that parent remain".
    await redact(alice, room_id, parent)
    assert await related(bob, room_id, parent) == [children[2], children[0]]


async def test_only_what_one_may_see(alice: Person, bob: Person, carol: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    visibility = f"{alice.room(room_id)}/state/m.room.history_visibility"
    parent = await say(alice, room_id, "root")
    early = await reply_in_thread(alice, room_id, parent, "before the curtain")
    (await alice.put(visibility, {"history_visibility": "joined"})).ok()
    hidden = await reply_in_thread(alice, room_id, parent, "behind the curtain")
    secret = await say(alice, room_id, "not for Bob")
    await bob.join(room_id)
    late = await reply_in_thread(alice, room_id, parent, "on stage")
    assert await related(alice, room_id, parent) == [late, hidden, early]
    assert await related(bob, room_id, parent) == [late, early]
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    await reply_in_thread(alice, room_id, parent, "after the show")
    assert await related(bob, room_id, parent) == [late, early]
    for person, event_id in ((bob, secret), (carol, parent), (alice, "$no-such-event")):
        assert (await relations(person, room_id, event_id)).error() == (404, "M_NOT_FOUND")
    # A room that anybody may read may be peeked into.
    (await alice.put(visibility, {"history_visibility": "world_readable"})).ok()
    told = await say(alice, room_id, "to the world")
    child = await reply_in_thread(alice, room_id, told)
    assert await related(carol, room_id, told) == [child]


async def test_of_ignored_users_nothing_relates(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    parent = await say(alice, room_id, "root")
    mine = await reply_in_thread(alice, room_id, parent, "mine")
    his = await reply_in_thread(bob, room_id, parent, "his")
    await ignore(alice, bob)
    assert await related(alice, room_id, parent) == [mine]
    assert await related(bob, room_id, parent) == [his, mine]


async def test_what_may_not_relate(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    elsewhere = await alice.create_room()
    await bob.join(room_id)
    parent = await say(alice, room_id, "root")
    thumb = relates("m.annotation", parent, key="👍")
    await send(bob, room_id, thumb, "m.reaction")
    again = await put(bob, room_id, thumb, "m.reaction")
    assert again.error() == (400, "M_DUPLICATE_ANNOTATION")
    await send(alice, room_id, thumb, "m.reaction")
    foreign = await put(alice, elsewhere, {"body": "x", **relates("m.reference", parent)})
    assert foreign.error() == (400, "M_UNKNOWN")
    child = await reply_in_thread(bob, room_id, parent)
    nested = await put(bob, room_id, {"body": "x", **relates("m.thread", child)})
    assert nested.error() == (400, "M_UNKNOWN")
    # A client that did not hear of the first success is told of it, not of a duplicate.
    path = f"{alice.room(room_id)}/send/m.reaction/once"
    heart = relates("m.annotation", parent, key="♥")
    first, second = await asyncio.gather(alice.put(path, heart), alice.put(path, heart))
    assert first.ok() == second.ok()


async def test_bad_questions(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    parent = await say(alice, room_id, "root")
    for query in ({"dir": "up"}, {"limit": "many"}, {"limit": -1}, {"recurse": "deep"}, {"from": "?"}):
        assert (await relations(alice, room_id, parent, **query)).error() == (400, "M_INVALID_PARAM"), query
    assert (await relations(alice, room_id, "not an event")).error() == (400, "M_INVALID_PARAM")
    for types in ((), ("m.thread",), ("m.thread", "m.room.message")):
        stranger = house.client()
        path = "/".join(map(seg, (parent, *types)))
        refused = await stranger.get(f"/_matrix/client/v1/rooms/{seg(room_id)}/relations/{path}")
        assert refused.error() == (401, "M_MISSING_TOKEN")
        answer = await relations(alice, "!none:here.example.org", parent, *types)
        assert answer.error() == (404, "M_NOT_FOUND")

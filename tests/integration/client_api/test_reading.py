"""Reading a room: pages, filters, members, context, and the view of who has left."""

from typing import Any

import orjson
import pytest
from plexus.platform.lanes import SyncToken

from tests.support.house import V3, House, Person
from tests.support.http import seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["event_id"] for event in events]


async def test_pages_meet_without_gap_or_overlap_in_both_directions(alice: Person) -> None:
    room_id = await alice.create_room()
    sent = [await alice.send(room_id, f"m{number}") for number in range(23)]
    path = f"{alice.room(room_id)}/messages"
    for direction, limit in (("b", 5), ("f", 7), ("b", 1)):
        seen: list[str] = []
        token = None
        while True:
            page = (await alice.get(path, dir=direction, limit=limit, **{"from": token})).ok()
            assert len(page["chunk"]) <= limit
            if token is not None:
                assert page["start"] == token
            seen += ids(page["chunk"])
            token = page.get("end")
            if token is None:
                break
        if direction == "b":
            seen.reverse()
        assert seen[-23:] == sent
        assert len(seen) == len(set(seen)) == 23 + 6


async def test_to_stops_the_page(alice: Person) -> None:
    room_id = await alice.create_room()
    sent = [await alice.send(room_id, f"m{number}") for number in range(6)]
    path = f"{alice.room(room_id)}/messages"
    stop = (await alice.get(path, dir="b", limit=4)).ok()["end"]
    page = (await alice.get(path, dir="b", limit=100, to=stop)).ok()
    assert ids(page["chunk"]) == sent[:1:-1]


async def test_a_sync_token_is_a_place_too(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    before = [await alice.send(room_id, f"m{number}") for number in range(3)]
    heads = await house.platform.log.heads()
    token = SyncToken(heads.generation, tuple(heads.rooms), tuple(heads.users)).encode()
    after = [await alice.send(room_id, f"n{number}") for number in range(3)]
    path = f"{alice.room(room_id)}/messages"
    back = (await alice.get(path, dir="b", limit=3, **{"from": token})).ok()
    assert ids(back["chunk"]) == before[::-1]
    forth = (await alice.get(path, dir="f", limit=9, **{"from": token})).ok()
    assert ids(forth["chunk"]) == after


async def test_filters(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    hers, his = await alice.send(room_id, "hers"), await bob.send(room_id, "his")
    path = f"{alice.room(room_id)}/messages"

    async def filtered(**wanted: Any) -> list[str]:
        page = await alice.get(path, dir="b", limit=50, filter=orjson.dumps(wanted).decode())
        return ids(page.ok()["chunk"])

    assert await filtered(types=["m.room.message"]) == [his, hers]
    assert await filtered(types=["m.room.*"], not_types=["m.room.[!m]*"], senders=[bob.user_id])
    assert await filtered(types=["m.room.message"], senders=[bob.user_id]) == [his]
    assert await filtered(types=["m.room.message"], not_senders=[bob.user_id]) == [hers]
    assert await filtered(types=["m.room.message"], contains_url=True) == []
    assert await filtered(types=[]) == []
    for bad, code in (("{", "M_NOT_JSON"), ("[]", "M_BAD_JSON"), ('{"types":1}', "M_BAD_JSON")):
        assert (await alice.get(path, dir="b", filter=bad)).error() == (400, code)


async def test_members_are_loaded_lazily(alice: Person, bob: Person, carol: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    await carol.join(room_id)
    await bob.send(room_id, "only me")
    page = await alice.get(
        f"{alice.room(room_id)}/messages", dir="b", limit=1, filter='{"lazy_load_members":true}'
    )
    state = page.ok()["state"]
    assert [(event["type"], event["state_key"]) for event in state] == [("m.room.member", bob.user_id)]
    plain = (await alice.get(f"{alice.room(room_id)}/messages", dir="b", limit=1)).ok()
    assert "state" not in plain


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"dir": "x"}, "M_INVALID_PARAM"),
        ({"dir": "b", "limit": "-1"}, "M_INVALID_PARAM"),
        ({"dir": "b", "limit": "ten"}, "M_INVALID_PARAM"),
        ({"dir": "b", "limit": "1.5"}, "M_INVALID_PARAM"),
        ({"dir": "b", "limit": "9" * 30}, "M_INVALID_PARAM"),
        ({"dir": "b", "from": "nonsense"}, "M_INVALID_PARAM"),
        ({"dir": "b", "from": "t1"}, "M_INVALID_PARAM"),
        ({"dir": "b", "from": "t1_1"}, "M_INVALID_PARAM"),
        ({"dir": "b", "from": "s" + "A" * 40}, "M_INVALID_PARAM"),
        ({"dir": "b", "from": ""}, "M_INVALID_PARAM"),
        ({"dir": "b", "to": "nonsense"}, "M_INVALID_PARAM"),
    ],
)
async def test_bad_pagination(alice: Person, query: dict[str, str], errcode: str) -> None:
    room_id = await alice.create_room()
    answer = await alice.request("GET", f"{alice.room(room_id)}/messages", query=query)
    assert answer.error() == (400, errcode)


async def test_any_limit_is_bounded_and_none_is_ten(alice: Person) -> None:
    room_id = await alice.create_room()
    for number in range(12):
        await alice.send(room_id, f"m{number}")
    path = f"{alice.room(room_id)}/messages"
    assert len((await alice.get(path, dir="b")).ok()["chunk"]) == 10
    assert len((await alice.get(path, dir="b", limit=2**40)).ok()["chunk"]) == 18
    assert (await alice.get(path, dir="b", limit=0)).ok()["chunk"] == []


async def test_who_has_left_sees_the_room_as_it_was(alice: Person, bob: Person, carol: Person) -> None:
    room_id = await alice.create_room(preset="public_chat", name="before")
    room = alice.room(room_id)
    await bob.join(room_id)
    (await bob.post(f"{room}/leave")).ok()
    (await alice.put(f"{room}/state/m.room.name", {"name": "after"})).ok()
    await carol.join(room_id)
    assert await bob.state(room_id, "m.room.name") == {"name": "before"}
    assert await alice.state(room_id, "m.room.name") == {"name": "after"}
    state = (await bob.get(f"{room}/state")).ok()
    names = [event["content"] for event in state if event["type"] == "m.room.name"]
    assert names == [{"name": "before"}]
    members = (await bob.get(f"{room}/members")).ok()["chunk"]
    assert {event["state_key"] for event in members} == {alice.user_id, bob.user_id}
    page = (await bob.get(f"{room}/messages", dir="b", limit=1)).ok()["chunk"]
    assert page[0]["state_key"] == bob.user_id and page[0]["content"]["membership"] == "leave"
    # "The current user must be in the room for it to work"
    assert (await bob.get(f"{room}/joined_members")).error() == (403, "M_FORBIDDEN")


async def test_strangers_see_nothing_unless_the_world_may(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    room = alice.room(room_id)
    event_id = await alice.send(room_id, "hello")
    closed = ("state", "members", "messages?dir=b", "state/m.room.name", "joined_members", "aliases")
    for path in closed:
        assert (await bob.get(f"{room}/{path}")).error() == (403, "M_FORBIDDEN"), path
    for path in (f"event/{seg(event_id)}", f"context/{seg(event_id)}"):
        assert (await bob.get(f"{room}/{path}")).error() == (404, "M_NOT_FOUND"), path
    visibility = {"history_visibility": "world_readable"}
    (await alice.put(f"{room}/state/m.room.history_visibility", visibility)).ok()
    later = await alice.send(room_id, "for everybody")
    (await bob.get(f"{room}/event/{seg(later)}")).ok()
    (await bob.get(f"{room}/state")).ok()
    assert (await bob.get(f"{room}/aliases")).ok() == {"aliases": []}
    assert (await bob.get(f"{room}/event/{seg(event_id)}")).error() == (404, "M_NOT_FOUND")


async def test_history_for_members_since_they_joined(alice: Person, bob: Person) -> None:
    hidden = [{"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}]
    room_id = await alice.create_room(preset="public_chat", initial_state=hidden)
    early = await alice.send(room_id, "early")
    await bob.join(room_id)
    late = await alice.send(room_id, "late")
    room = bob.room(room_id)
    seen = ids((await bob.get(f"{room}/messages", dir="b", limit=50)).ok()["chunk"])
    assert late in seen and early not in seen
    assert (await bob.get(f"{room}/event/{seg(early)}")).error() == (404, "M_NOT_FOUND")


async def test_members_by_kind_and_at_a_point(alice: Person, bob: Person, carol: Person) -> None:
    room_id = await alice.create_room(preset="public_chat", invite=[carol.user_id])
    room = alice.room(room_id)
    before = (await alice.get(f"{room}/messages", dir="b", limit=1)).ok()["start"]
    await bob.join(room_id)
    (await bob.post(f"{room}/leave")).ok()

    async def of(**query: str) -> set[str]:
        chunk = (await alice.get(f"{room}/members", **query)).ok()["chunk"]
        return {event["state_key"] for event in chunk}

    assert await of() == {alice.user_id, bob.user_id, carol.user_id}
    assert await of(membership="join") == {alice.user_id}
    assert await of(membership="leave") == {bob.user_id}
    assert await of(not_membership="leave") == {alice.user_id, carol.user_id}
    # "the two parameters create an 'or' condition"
    assert await of(membership="join", not_membership="leave") == {alice.user_id, carol.user_id}
    assert await of(at=before) == {alice.user_id, carol.user_id}
    assert (await alice.get(f"{room}/members", at="x")).error() == (400, "M_INVALID_PARAM")
    assert (await alice.get(f"{room}/members", membership="x")).error() == (400, "M_INVALID_PARAM")


async def test_context(alice: Person) -> None:
    room_id = await alice.create_room()
    room = alice.room(room_id)
    sent = [await alice.send(room_id, f"m{number}") for number in range(9)]
    around = (await alice.get(f"{room}/context/{seg(sent[4])}", limit=4)).ok()
    assert around["event"]["event_id"] == sent[4]
    assert ids(around["events_before"]) == [sent[3], sent[2]]
    assert ids(around["events_after"]) == [sent[5], sent[6]]
    assert {event["type"] for event in around["state"]} >= {"m.room.create", "m.room.member"}
    # "paginate backwards" and "forwards" from there.
    back = (await alice.get(f"{room}/messages", dir="b", limit=2, **{"from": around["start"]})).ok()
    assert ids(back["chunk"]) == [sent[1], sent[0]]
    forth = (await alice.get(f"{room}/messages", dir="f", limit=9, **{"from": around["end"]})).ok()
    assert ids(forth["chunk"]) == sent[7:]
    # "The requested event ID is always returned in `event` even if `limit` is 0."
    alone = (await alice.get(f"{room}/context/{seg(sent[4])}", limit=0)).ok()
    assert (alone["events_before"], alone["events_after"]) == ([], [])
    assert alone["event"]["event_id"] == sent[4]
    back = (await alice.get(f"{room}/messages", dir="b", limit=1, **{"from": alone["start"]})).ok()
    assert ids(back["chunk"]) == [sent[3]]
    first = around["state"][0]["event_id"]
    assert (await alice.get(f"{room}/event/{seg(first)}")).ok()["event_id"] == first


@pytest.mark.parametrize(
    ("path", "status", "errcode"),
    [
        ("rooms/nope/state", 400, "M_INVALID_PARAM"),
        ("rooms/nope/members", 400, "M_INVALID_PARAM"),
        ("rooms/nope/joined_members", 400, "M_INVALID_PARAM"),
        ("rooms/nope/messages?dir=b", 400, "M_INVALID_PARAM"),
        ("rooms/nope/event/%24x", 400, "M_INVALID_PARAM"),
        ("rooms/nope/context/%24x", 400, "M_INVALID_PARAM"),
        ("rooms/nope/aliases", 400, "M_INVALID_PARAM"),
        ("rooms/nope/state/m.room.name/", 400, "M_INVALID_PARAM"),
        ("rooms/!no%3Ax.org/state", 403, "M_FORBIDDEN"),
        ("rooms/!no%3Ax.org/members", 403, "M_FORBIDDEN"),
        ("rooms/!no%3Ax.org/joined_members", 403, "M_FORBIDDEN"),
        ("rooms/!no%3Ax.org/messages?dir=b", 403, "M_FORBIDDEN"),
        ("rooms/!no%3Ax.org/state/m.room.name", 403, "M_FORBIDDEN"),
        ("rooms/!no%3Ax.org/aliases", 403, "M_FORBIDDEN"),
        ("rooms/!no%3Ax.org/event/%24x", 404, "M_NOT_FOUND"),
        ("rooms/!no%3Ax.org/context/%24x", 404, "M_NOT_FOUND"),
        ("rooms/!no%3Ax.org/event/nope", 400, "M_INVALID_PARAM"),
        ("rooms/!no%3Ax.org/threads", 404, "M_UNRECOGNIZED"),
        ("rooms/!no%3Ax.org", 404, "M_UNRECOGNIZED"),
    ],
)
async def test_rooms_that_are_none(alice: Person, path: str, status: int, errcode: str) -> None:
    assert (await alice.get(f"{V3}/{path}")).error() == (status, errcode)

"""Jump to date."""

from typing import Any

import pytest

from tests.support.house import House, Person
from tests.support.http import Answer, AsgiClient, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ask(client: AsgiClient, room_id: str, **query: Any) -> Answer:
    return await client.get(f"/_matrix/client/v1/rooms/{seg(room_id)}/timestamp_to_event", **query)


async def test_the_closest_event_in_each_direction(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    event_id = await alice.send(room_id, "what was said")
    event = (await alice.get(f"{alice.room(room_id)}/event/{seg(event_id)}")).ok()
    ts = event["origin_server_ts"]
    told = {"event_id": event_id, "origin_server_ts": ts}
    assert (await ask(alice, room_id, ts=ts, dir="b")).ok() == told
    assert (await ask(alice, room_id, ts=ts + 86_400_000, dir="b")).ok() == told
    first = (await ask(alice, room_id, ts=0, dir="f")).ok()
    assert (
        first["event_id"]
        == (await alice.get(f"{alice.room(room_id)}/messages", dir="f")).ok()["chunk"][0]["event_id"]
    )
    # "After calling this endpoint, clients can call /rooms/{roomId}/context/{eventId}".
    around = (await alice.get(f"{alice.room(room_id)}/context/{seg(event_id)}", limit=0)).ok()
    assert around["event"]["event_id"] == event_id
    # "404: No event was found."
    assert (await ask(alice, room_id, ts=ts + 86_400_000, dir="f")).error() == (404, "M_NOT_FOUND")
    assert (await ask(alice, room_id, ts=1, dir="b")).error() == (404, "M_NOT_FOUND")
    assert (await ask(bob, room_id, ts=0, dir="f")).error() == (403, "M_FORBIDDEN")
    await bob.join(room_id)
    assert (await ask(bob, room_id, ts=0, dir="f")).ok() == first


async def test_bad_questions(house: House, alice: Person) -> None:
    room_id = await alice.create_room()
    assert (await ask(alice, room_id, dir="f")).error() == (400, "M_MISSING_PARAM")
    assert (await ask(alice, room_id, ts=1)).error() == (400, "M_MISSING_PARAM")
    for query in ({"ts": "soon", "dir": "f"}, {"ts": 1, "dir": "up"}, {"ts": 2**63, "dir": "f"}):
        assert (await ask(alice, room_id, **query)).error() == (400, "M_INVALID_PARAM")
    assert (await ask(alice, "!a:elsewhere.org", ts=1, dir="f")).error() == (403, "M_FORBIDDEN")
    assert (await ask(house.client(), room_id, ts=1, dir="f")).error() == (401, "M_MISSING_TOKEN")

"""The API of before /sync: /initialSync, /events, and a look into a world-readable room."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from plexus.sync.event_stream import stream
from plexus.users import NewDevice

from tests.integration.sync.building import SOON, Building, SyncPerson
from tests.support.house import V3
from tests.support.http import Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORLD_READABLE = {
    "type": "m.room.history_visibility",
    "state_key": "",
    "content": {"history_visibility": "world_readable"},
}


async def events(person: SyncPerson, start: str | None = None, **query: Any) -> Json:
    return (await person.get(f"{V3}/events", **({} if start is None else {"from": start}), **query)).ok()


async def initial(person: SyncPerson, **query: Any) -> Json:
    return (await person.get(f"{V3}/initialSync", **query)).ok()


async def one_room(person: SyncPerson, room_id: str) -> Json:
    return (await person.get(f"{person.room(room_id)}/initialSync")).ok()


async def guest(building: Building) -> SyncPerson:
    user_id, session = await building.users.register(None, None, guest=True, device=NewDevice())
    assert session is not None
    person = SyncPerson(building.replicas[0], session.access_token)
    person.user_id, person.device_id = user_id, session.device_id
    return person


def ids(answer: Json) -> list[str]:
    return [event["event_id"] for event in answer["chunk"]]


async def test_the_stream_goes_on_from_the_initial_sync(alice: SyncPerson, bob: SyncPerson) -> None:
    rooms = [await alice.create_room(preset="public_chat", name="Tea") for _ in range(2)]
    for room_id in rooms:
        await bob.join(room_id)
    await alice.send(rooms[0], "before")
    await alice.sync()
    path = f"{V3}/user/{seg(bob.user_id)}"
    (await bob.put(f"{path}/account_data/org.example.all", {"a": 1})).ok()
    (await bob.put(f"{path}/rooms/{seg(rooms[0])}/account_data/org.example.one", {"b": 2})).ok()
    await bob.hear()
    start = await initial(bob, limit=1)
    # Alice has synced, and is there.
    assert [event["sender"] for event in start["presence"]] == [alice.user_id]
    assert {room["room_id"] for room in start["rooms"]} == set(rooms)
    tea = next(room for room in start["rooms"] if room["room_id"] == rooms[0])
    assert tea["membership"] == "join" and tea["visibility"] == "private"
    assert [event["content"]["body"] for event in tea["messages"]["chunk"]] == ["before"]
    assert {"m.room.name", "m.room.create"} <= {event["type"] for event in tea["state"]}
    assert tea["account_data"] == [{"type": "org.example.one", "content": {"b": 2}}]
    assert {"type": "org.example.all", "content": {"a": 1}} in start["account_data"]
    earlier = await bob.get(
        f"{bob.room(rooms[0])}/messages", **{"from": tea["messages"]["start"], "dir": "b", "limit": 1}
    )
    assert earlier.ok()["chunk"][0]["type"] == "m.room.member"

    sent = [
        await alice.send(room_id, f"after {number}")
        for number, room_id in enumerate((rooms[0], rooms[1], rooms[0]))
    ]
    await bob.hear()
    told = await events(bob, start["end"])
    assert sorted(ids(told)) == sorted(sent)
    assert {event["room_id"] for event in told["chunk"]} == set(rooms)
    assert told["start"] == start["end"]
    assert await events(bob, told["end"]) == {"start": told["end"], "chunk": [], "end": told["end"]}
    # The tokens are those of /sync.
    assert (await bob.sync(told["end"]))["rooms"]["join"] == {}


async def test_the_stream_is_held_until_there_is_something(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    end = (await events(bob))["end"]
    began = time.monotonic()
    assert (await events(bob, end, timeout=400))["chunk"] == []
    assert time.monotonic() - began >= 0.4
    waiting = asyncio.create_task(events(bob, end, timeout=20_000))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    event_id = await alice.send(room_id, "wake up")
    assert ids(await asyncio.wait_for(waiting, 5)) == [event_id]
    assert time.monotonic() - began < SOON


async def test_who_comes_and_goes_is_told_what_was_theirs_to_see(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(name="Tea", invite=[bob.user_id])
    await bob.hear()
    start = await initial(bob)
    [room] = start["rooms"]
    assert room["membership"] == "invite" and room["room_id"] == room_id
    assert room["invite"]["state_key"] == bob.user_id and room["invite"]["sender"] == alice.user_id
    await alice.send(room_id, "not for who is invited")
    await bob.hear()
    told = await events(bob, start["end"])
    assert told["chunk"] == []
    await bob.join(room_id)
    said = await alice.send(room_id, "hello")
    await bob.hear()
    told = await events(bob, told["end"])
    assert [event["type"] for event in told["chunk"]] == ["m.room.member", "m.room.message"]
    last = await alice.send(room_id, "goodbye")
    assert await bob.act(room_id, "leave") == 200
    await alice.send(room_id, "among ourselves")
    await bob.hear()
    told = await events(bob, told["end"])
    assert ids(told)[0] == last and len(told["chunk"]) == 2
    assert told["chunk"][1]["content"]["membership"] == "leave"
    assert (await events(bob, told["end"]))["chunk"] == []

    assert (await initial(bob))["rooms"] == []
    [room] = (await initial(bob, archived="true"))["rooms"]
    assert room["membership"] == "leave"
    assert [event["event_id"] for event in room["messages"]["chunk"]][-3:-1] == [said, last]
    again = await one_room(bob, room_id)
    assert again["membership"] == "leave"
    assert ids(again["messages"]) == ids(room["messages"])


async def test_an_invite_comes_by_the_stream(alice: SyncPerson, bob: SyncPerson) -> None:
    end = (await events(bob))["end"]
    waiting = asyncio.create_task(events(bob, end, timeout=20_000))
    await asyncio.sleep(0.05)
    room_id = await alice.create_room(invite=[bob.user_id])
    told = await asyncio.wait_for(waiting, 5)
    [invite] = told["chunk"]
    assert (invite["room_id"], invite["state_key"]) == (room_id, bob.user_id)
    assert invite["content"]["membership"] == "invite"


async def test_a_long_absence_is_told_in_parts_and_whole(
    alice: SyncPerson, bob: SyncPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = [await alice.create_room(preset="public_chat") for _ in range(6)]
    for room_id in rooms:
        await bob.join(room_id)
    await bob.hear()
    end = (await events(bob))["end"]
    sent = {await alice.send(room_id, f"{room_id} {number}") for room_id in rooms for number in range(4)}
    await bob.hear()
    monkeypatch.setattr(stream, "MANY", 5)
    got: list[str] = []
    parts = 0
    while told := (await events(bob, end))["chunk"]:
        got += [event["event_id"] for event in told]
        end = (await events(bob, end))["end"]
        parts += 1
    assert len(got) == len(sent) and set(got) == sent
    assert parts > 1


async def test_anybody_looks_into_a_world_readable_room(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    """Room Previews: initialSync of the room, then /events; also for guests."""
    room_id = await alice.create_room(preset="public_chat", name="Market", initial_state=[WORLD_READABLE])
    first = await alice.send(room_id, "for everybody")
    for peeker in (bob, await guest(building)):
        await peeker.hear()
        room = await one_room(peeker, room_id)
        assert "membership" not in room
        assert room["messages"]["chunk"][-1]["event_id"] == first
        assert "Market" in [event["content"].get("name") for event in room["state"]]
        end = room["messages"]["end"]
        waiting = asyncio.create_task(events(peeker, end, timeout=20_000, room_id=room_id))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        event_id = await alice.send(room_id, f"a look is enough for {peeker.user_id}")
        told = await asyncio.wait_for(waiting, 5)
        assert ids(told) == [event_id] and time.monotonic() - began < SOON
        first = event_id
        assert not building.replicas[0].sync.replica.interest.looking
        # Nobody is told of who looks, and nothing of it is in what they sync.
        assert room_id not in (await peeker.sync())["rooms"]["join"]

    await bob.hear()
    end = (await events(bob, room_id=room_id))["end"]
    await alice.set_state(room_id, "m.room.history_visibility", {"history_visibility": "shared"})
    hidden = await alice.send(room_id, "for members")
    await bob.hear()
    answer = await bob.get(f"{V3}/events", **{"from": end, "room_id": room_id})
    assert answer.error() == (403, "M_FORBIDDEN")
    assert hidden not in str(await events(bob, end))


async def test_one_room_of_many(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id, other = [await alice.create_room(preset="public_chat") for _ in range(2)]
    for each in (room_id, other):
        await bob.join(each)
    await bob.hear()
    end = (await events(bob))["end"]
    mine = await alice.send(room_id, "here")
    await alice.send(other, "there")
    await bob.hear()
    assert ids(await events(bob, end, room_id=room_id)) == [mine]


async def test_an_event_by_its_id_for_who_may_see_it(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await alice.create_room()
    event_id = await alice.send(room_id, "hello")
    found = (await alice.get(f"{V3}/events/{seg(event_id)}")).ok()
    assert (found["event_id"], found["room_id"], found["content"]["body"]) == (event_id, room_id, "hello")
    assert (await bob.get(f"{V3}/events/{seg(event_id)}")).error() == (404, "M_NOT_FOUND")
    assert (await alice.get(f"{V3}/events/{seg('$nowhere')}")).error() == (404, "M_NOT_FOUND")
    refused = await (await guest(building)).get(f"{V3}/events/{seg(event_id)}")
    assert refused.error() == (403, "M_GUEST_ACCESS_FORBIDDEN")


async def test_ignored_users_are_not_heard(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    ignored: Json = {"ignored_users": {alice.user_id: {}}}
    path = f"{V3}/user/{seg(bob.user_id)}/account_data/m.ignored_user_list"
    end = (await events(bob))["end"]
    (await bob.put(path, ignored)).ok()
    await alice.send(room_id, "hello?")
    topic = await alice.set_state(room_id, "m.room.topic", {"topic": "still told"})
    await bob.hear()
    assert ids(await events(bob, end)) == [topic]


@pytest.mark.parametrize(
    ("path", "query", "error"),
    [
        ("events", {"from": "nonsense"}, (400, "M_INVALID_PARAM")),
        ("events", {"timeout": "soon"}, (400, "M_INVALID_PARAM")),
        ("events", {"room_id": "nowhere"}, (400, "M_INVALID_PARAM")),
        ("events", {"room_id": "!nowhere:here.example.org"}, (403, "M_FORBIDDEN")),
        ("events/nonsense", {}, (400, "M_INVALID_PARAM")),
        ("initialSync", {"limit": "-1"}, (400, "M_INVALID_PARAM")),
        ("initialSync", {"archived": "perhaps"}, (400, "M_INVALID_PARAM")),
        ("rooms/nowhere/initialSync", {}, (400, "M_INVALID_PARAM")),
        ("rooms/!nowhere:here.example.org/initialSync", {}, (403, "M_FORBIDDEN")),
    ],
)
async def test_what_is_asked_wrongly_is_refused(
    alice: SyncPerson, path: str, query: dict[str, str], error: tuple[int, str]
) -> None:
    assert (await alice.get(f"{V3}/{path}", **query)).error() == error
    assert (await alice.with_token(None).get(f"{V3}/{path}", **query)).error() == (401, "M_MISSING_TOKEN")


async def test_guests_have_the_room_preview_only(building: Building) -> None:
    person = await guest(building)
    for path in ("initialSync", "events"):
        assert (await person.get(f"{V3}/{path}")).error() == (403, "M_GUEST_ACCESS_FORBIDDEN")

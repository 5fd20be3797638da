"""``getNotifications``: what somebody has been notified of, and whether they have read it."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from tests.support.house import V3, House, Person
from tests.support.http import Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

_txns = count()


async def notifications(person: Person, **query: Any) -> list[Json]:
    """All pages."""
    found: list[Json] = []
    while True:
        answer = (await person.get(f"{V3}/notifications", **query)).ok()
        found += answer["notifications"]
        if "next_token" not in answer:
            return found
        query["from"] = answer["next_token"]


async def bodies(person: Person, **query: Any) -> list[Any]:
    return [each["event"]["content"].get("body") for each in await notifications(person, **query)]


async def send(person: Person, room_id: str, body: str, *mentioned: Person, **more: Any) -> str:
    mentions = {"user_ids": [each.user_id for each in mentioned]} if mentioned else {}
    content = {"msgtype": "m.text", "body": body, "m.mentions": mentions, **more}
    path = f"{person.room(room_id)}/send/m.room.message/n{next(_txns)}"
    event_id: str = (await person.put(path, content)).ok()["event_id"]
    return event_id


async def shared_room(alice: Person, *others: Person) -> str:
    room_id = await alice.create_room(preset="public_chat")
    for other in others:
        await other.join(room_id)
    return room_id


async def test_what_one_was_notified_of(house: House, alice: Person, bob: Person, carol: Person) -> None:
    assert await notifications(bob) == []
    one = await shared_room(alice, bob, carol)
    two = await shared_room(carol, bob)
    first = await send(alice, one, "first")
    second = await send(carol, two, "second")
    third = await send(alice, one, "third", bob)
    await send(bob, one, "his own")
    await send(alice, one, "a bot", msgtype="m.notice")
    by_id = {each["event"]["event_id"]: each for each in await notifications(bob)}
    assert set(by_id) == {first, second, third}
    a, b, c = by_id[first], by_id[second], by_id[third]
    assert [each["room_id"] for each in (a, b, c)] == [one, two, one]
    assert "room_id" not in a["event"]
    assert a["actions"] == ["notify"]
    # In a room of two, and by being named.
    assert b["actions"] == ["notify", {"set_tweak": "sound", "value": "default"}]
    assert {"set_tweak": "highlight"} in c["actions"]
    assert a["ts"] == a["event"]["origin_server_ts"]
    assert [each["read"] for each in (a, b, c)] == [False, False, False]
    (await bob.post(f"{bob.room(one)}/receipt/m.read.private/{seg(first)}", {})).ok()
    read = {each["event"]["event_id"]: each["read"] for each in await notifications(bob)}
    assert read == {first: True, second: False, third: False}
    # "only ... where the notification had the highlight tweak set".
    assert await bodies(bob, only="highlight") == ["third"]
    assert await bodies(carol) == ["his own", "third", "first"]


async def test_it_is_read_page_by_page(house: House, alice: Person, bob: Person, carol: Person) -> None:
    rooms = [await shared_room(alice, bob, carol) for _ in range(3)]
    for n in range(11):
        await send(alice, rooms[n % 3], str(n), *([bob] if n % 4 == 0 else []))
    # Of the same millisecond, in different rooms, no one is newer.
    everything = await bodies(bob)
    assert sorted(everything, key=int) == [str(n) for n in range(11)]
    for n in range(3):
        of_room = [int(body) for body in everything if int(body) % 3 == n]
        assert of_room == sorted(of_room, reverse=True)
    for size in (1, 3, 11, 1000):
        assert await bodies(bob, limit=size) == everything
    highlights = [body for body in everything if int(body) % 4 == 0]
    assert await bodies(bob, limit=2, only="highlight") == highlights
    answer = (await bob.get(f"{V3}/notifications", limit=11)).ok()
    assert "next_token" not in answer


async def test_by_rules_of_ones_own(house: House, alice: Person, bob: Person, carol: Person) -> None:
    room_id = await shared_room(alice, bob, carol)
    loud = {"actions": ["notify", {"set_tweak": "highlight"}], "pattern": "cake"}
    (await bob.put(f"{V3}/pushrules/global/content/cake", loud)).ok()
    await send(alice, room_id, "cake")
    (await bob.put(f"{V3}/pushrules/global/room/{seg(room_id)}", {"actions": []})).ok()
    await send(alice, room_id, "unheard")
    assert [(each["event"]["content"]["body"], each["actions"]) for each in await notifications(bob)] == [
        ("cake", ["notify", {"set_tweak": "highlight"}])
    ]
    (await bob.delete(f"{V3}/pushrules/global/room/{seg(room_id)}")).ok()
    sound = ["notify", {"set_tweak": "sound", "value": "default"}]
    rule = f"{V3}/pushrules/global/underride/.m.rule.message/actions"
    (await bob.put(rule, {"actions": sound})).ok()
    await send(alice, room_id, "with a sound")
    assert (await notifications(bob))[0]["actions"] == sound


async def test_the_room_is_mentioned(house: House, alice: Person, bob: Person, carol: Person) -> None:
    room_id = await shared_room(alice, bob, carol)
    await send(alice, room_id, "all of you", **{"m.mentions": {"room": True}})
    await send(bob, room_id, "he may not", **{"m.mentions": {"room": True}})
    assert await bodies(carol) == ["he may not", "all of you"]
    [mention] = await notifications(carol, only="highlight")
    assert mention["actions"] == ["notify", {"set_tweak": "highlight"}]


async def test_an_invite_is_a_notification(house: House, alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(invite=[bob.user_id])
    [invite] = await notifications(bob)
    assert (invite["room_id"], invite["event"]["type"]) == (room_id, "m.room.member")
    assert invite["event"]["state_key"] == bob.user_id
    # Nobody else has been invited.
    assert await notifications(alice) == []


async def test_redacted_left_and_forgotten(house: House, alice: Person, bob: Person, carol: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await carol.join(room_id)
    await send(alice, room_id, "before he came")
    await bob.join(room_id)
    await send(alice, room_id, "stays")
    mistake = await send(alice, room_id, "a mistake", bob)
    assert await bodies(bob) == ["a mistake", "stays"]
    (await alice.put(f"{alice.room(room_id)}/redact/{seg(mistake)}/1", {})).ok()
    assert await bodies(bob) == ["stays"]
    assert await bodies(bob, only="highlight") == []
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    await send(alice, room_id, "while he is away", bob)
    assert await bodies(bob) == ["stays"]
    (await bob.post(f"{bob.room(room_id)}/forget")).ok()
    assert await bodies(bob) == []
    assert await bodies(carol) == ["while he is away", "stays", "before he came"]


async def test_a_thread_is_read_by_itself(house: House, alice: Person, bob: Person, carol: Person) -> None:
    room_id = await shared_room(alice, bob, carol)
    root = await send(alice, room_id, "root")
    relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
    in_thread = await send(alice, room_id, "in the thread", **relation)
    await send(alice, room_id, "after it")
    body = {"thread_id": root}
    (await bob.post(f"{bob.room(room_id)}/receipt/m.read/{seg(in_thread)}", body)).ok()
    assert [each["read"] for each in await notifications(bob)] == [False, True, False]


@pytest.mark.parametrize(
    "query", [{"from": "x"}, {"from": "n1_2_9999999999_1"}, {"limit": 0}, {"limit": "many"}, {"only": "all"}]
)
async def test_what_cannot_be_listed(alice: Person, query: dict[str, Any]) -> None:
    assert (await alice.get(f"{V3}/notifications", **query)).error() == (400, "M_INVALID_PARAM")


async def test_notifications_of_nobody(house: House) -> None:
    assert (await house.client().get(f"{V3}/notifications")).error() == (401, "M_MISSING_TOKEN")

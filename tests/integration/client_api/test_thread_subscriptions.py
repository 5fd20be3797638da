"""Subscriptions of threads, and pages of them. MSC4306 and MSC4308."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.client_api.relating import edit, react, redact, reply_in_thread, say
from tests.support.house import V3, House, Person
from tests.support.http import Answer, Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNSTABLE = "/_matrix/client/unstable"
CONFLICT = (409, "IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION")
NOT_IN_THREAD = (400, "IO.ELEMENT.MSC4306.M_NOT_IN_THREAD")
NOT_FOUND = (404, "M_NOT_FOUND")


def path(room_id: str, root: str) -> str:
    return f"{UNSTABLE}/io.element.msc4306/rooms/{seg(room_id)}/thread/{seg(root)}/subscription"


async def subscribe(person: Person, room_id: str, root: str, automatic: str | None = None) -> Answer:
    return await person.put(path(room_id, root), {} if automatic is None else {"automatic": automatic})


async def unsubscribe(person: Person, room_id: str, root: str) -> Answer:
    return await person.delete(path(room_id, root))


async def subscription(person: Person, room_id: str, root: str) -> Answer:
    return await person.get(path(room_id, root))


async def page(person: Person, **query: Any) -> Json:
    query = {"dir": "b", **query}
    return (await person.get(f"{UNSTABLE}/io.element.msc4308/thread_subscriptions", **query)).ok()


def error(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["errcode"]


async def shared_room(alice: Person, *others: Person) -> str:
    room_id = await alice.create_room(preset="public_chat")
    for other in others:
        await other.join(room_id)
    return room_id


async def test_a_thread_is_subscribed_and_unsubscribed(alice: Person, bob: Person) -> None:
    """ "The default state is unsubscribed.\""""
    room_id = await shared_room(alice, bob)
    root = await say(alice, room_id, "root")
    await reply_in_thread(alice, room_id, root)
    assert error(await subscription(bob, room_id, root)) == NOT_FOUND
    assert (await unsubscribe(bob, room_id, root)).ok() == {}
    assert (await subscribe(bob, room_id, root)).ok() == {}
    assert (await subscription(bob, room_id, root)).ok() == {"automatic": False}
    # It is a matter of each user.
    assert error(await subscription(alice, room_id, root)) == NOT_FOUND
    for _ in range(2):
        assert (await unsubscribe(bob, room_id, root)).ok() == {}
        assert error(await subscription(bob, room_id, root)) == NOT_FOUND


async def test_manual_subscriptions_take_precedence_over_automatic_ones(alice: Person, bob: Person) -> None:
    room_id = await shared_room(alice, bob)
    root = await say(alice, room_id, "root")
    mention = await reply_in_thread(alice, room_id, root, "Bob?")
    (await subscribe(bob, room_id, root, mention)).ok()
    assert (await subscription(bob, room_id, root)).ok() == {"automatic": True}
    (await subscribe(bob, room_id, root)).ok()
    (await subscribe(bob, room_id, root, mention)).ok()
    assert (await subscription(bob, room_id, root)).ok() == {"automatic": False}


async def test_an_unsubscription_holds_against_what_was_there_before_it(
    house: House, alice: Person, bob: Person
) -> None:
    """ "Prevent automatic subscriptions being re-applied when an unsubscription occurred after receipt of the
    event causing a subscription", for instance by "a dormant device".
    """
    dormant = await house.device(bob)
    room_id = await shared_room(alice, bob)
    root = await say(alice, room_id, "root")
    first = await reply_in_thread(alice, room_id, root, "Bob?")
    (await subscribe(bob, room_id, root, first)).ok()
    second = await reply_in_thread(alice, room_id, root, "Bob!")
    (await unsubscribe(bob, room_id, root)).ok()
    for cause in (first, second):
        assert error(await subscribe(dormant, room_id, root, cause)) == CONFLICT
    third = await reply_in_thread(alice, room_id, root, "And now?")
    # Who unsubscribes once more has seen that too.
    (await unsubscribe(bob, room_id, root)).ok()
    assert error(await subscribe(dormant, room_id, root, third)) == CONFLICT
    assert error(await subscription(bob, room_id, root)) == NOT_FOUND
    fourth = await reply_in_thread(alice, room_id, root, "New")
    (await subscribe(dormant, room_id, root, fourth)).ok()
    assert (await subscription(bob, room_id, root)).ok() == {"automatic": True}
    # What the user wants themselves is always possible.
    (await unsubscribe(bob, room_id, root)).ok()
    (await subscribe(bob, room_id, root)).ok()
    assert (await subscription(bob, room_id, root)).ok() == {"automatic": False}


async def test_the_event_that_causes_it_is_in_the_thread(alice: Person, bob: Person) -> None:
    room_id = await shared_room(alice, bob)
    root, other = [await say(alice, room_id, text) for text in ("root", "other")]
    elsewhere = await reply_in_thread(alice, room_id, other)
    redacted = await reply_in_thread(alice, room_id, root)
    await redact(alice, room_id, redacted)
    another_room = await shared_room(alice, bob)
    far = await say(alice, another_room, "far")
    for cause in (root, other, elsewhere, redacted, far, "$unknown"):
        assert error(await subscribe(bob, room_id, root, cause)) == NOT_IN_THREAD, cause
    assert error(await subscription(bob, room_id, root)) == NOT_FOUND
    reply = await reply_in_thread(alice, room_id, root)
    edited = await edit(alice, room_id, reply, "Bob, look")
    (await subscribe(bob, room_id, root, edited)).ok()


async def test_only_a_thread_that_one_may_see(alice: Person, bob: Person, carol: Person) -> None:
    """ "If the thread does not exist, or if the user does not have access to it": 404."""
    room_id = await alice.create_room(preset="private_chat", invite=[bob.user_id])
    await bob.join(room_id)
    root = await say(alice, room_id, "root")
    reply = await reply_in_thread(alice, room_id, root)
    reaction = await react(alice, room_id, root, "+1")
    other_room = await alice.create_room()
    for person, room, event in (
        (carol, room_id, root),
        (bob, room_id, "$unknown"),
        (bob, "!unknown:here.example.org", root),
        (alice, other_room, root),
        (bob, room_id, reply),
        (bob, room_id, reaction),
    ):
        for call in (subscribe, unsubscribe, subscription):
            assert error(await call(person, room, event)) == NOT_FOUND, (call, event)


async def test_a_thread_may_be_subscribed_while_its_first_message_is_sent(alice: Person, bob: Person) -> None:
    """ "The user's client SHOULD simultaneously perform a manual subscription.\""""
    room_id = await shared_room(alice, bob)
    root = await say(alice, room_id, "root")
    _, answer = await asyncio.gather(
        reply_in_thread(bob, room_id, root), subscribe(bob, room_id, root), return_exceptions=False
    )
    assert answer.ok() == {}
    assert (await subscription(bob, room_id, root)).ok() == {"automatic": False}


async def test_what_is_malformed(alice: Person) -> None:
    room_id = await alice.create_room()
    root = await say(alice, room_id, "root")
    for body, code in (({"automatic": 1}, "M_BAD_JSON"), ({"automatic": "no event"}, "M_INVALID_PARAM")):
        assert error(await alice.put(path(room_id, root), body)) == (400, code)
    assert error(await alice.put(path(room_id, "root"), {})) == (400, "M_INVALID_PARAM")
    place = f"{UNSTABLE}/io.element.msc4308/thread_subscriptions"
    assert error(await alice.get(place)) == (400, "M_MISSING_PARAM")
    for query in (
        {"dir": "f"},
        {"limit": "0"},
        {"limit": "-1"},
        {"from": "nothing"},
        {"from": "u-1"},
        {"to": "nothing"},
        {"to": "p1.nothing"},
    ):
        assert error(await alice.get(place, **{"dir": "b", **query})) == (400, "M_INVALID_PARAM"), query


async def test_pages_lead_backwards_through_all_subscriptions(alice: Person, bob: Person) -> None:
    """ "If two changes occur to the same subscription, only the latter change": each thread is told once."""
    assert await page(bob) == {}
    rooms = [await shared_room(alice, bob) for _ in range(2)]
    roots = [(room_id, await say(alice, room_id, f"root {n}")) for n in range(3) for room_id in rooms]
    for room_id, root in roots:
        (await subscribe(bob, room_id, root)).ok()
    cause = await reply_in_thread(alice, *roots[1])
    (await unsubscribe(bob, *roots[0])).ok()
    (await unsubscribe(bob, *roots[1])).ok()
    again = await reply_in_thread(alice, *roots[1])
    assert error(await subscribe(bob, *roots[1], cause)) == CONFLICT
    (await subscribe(bob, *roots[1], again)).ok()

    everything = await page(bob)
    assert "end" not in everything
    told = stamps(everything)
    assert list(everything["unsubscribed"]) == [roots[0][0]]
    assert everything["subscribed"][roots[1][0]][roots[1][1]]["automatic"] is True
    assert everything["subscribed"][roots[2][0]][roots[2][1]]["automatic"] is False
    assert sorted(told, key=told.__getitem__) == [*roots[2:], *roots[:2]]

    found: list[tuple[str, str]] = []
    one = await page(bob, limit=1)
    while True:
        found += stamps(one)
        assert (
            sum(
                len(threads)
                for kind in ("subscribed", "unsubscribed")
                for threads in one.get(kind, {}).values()
            )
            == 1
        )
        if "end" not in one:
            break
        one = await page(bob, limit=1, **{"from": one["end"]})
    assert found == [roots[1], roots[0], *roots[:1:-1]]
    assert await page(alice) == {}


def stamps(sections: Json) -> dict[tuple[str, str], int]:
    """The ``bump_stamp`` of each thread."""
    return {
        (room_id, root): told["bump_stamp"]
        for kind in ("subscribed", "unsubscribed")
        for room_id, threads in sections.get(kind, {}).items()
        for root, told in threads.items()
    }


async def test_devices_that_change_it_at_once_agree(house: House, alice: Person, bob: Person) -> None:
    """ "Servers should be ready to handle concurrent updates by multiple of the user's devices.\""""
    room_id = await shared_room(alice, bob)
    root = await say(alice, room_id, "root")
    cause = await reply_in_thread(alice, room_id, root)
    devices = [bob, *[await house.device(bob) for _ in range(3)]]
    answers = await asyncio.gather(
        *(subscribe(device, room_id, root, cause) for device in devices),
        *(unsubscribe(device, room_id, root) for device in devices[:2]),
    )
    assert {answer.status for answer in answers} <= {200, 409}
    is_there = (await subscription(bob, room_id, root)).status == 200
    told = await page(bob)
    assert (list(told.get("subscribed", {})), list(told.get("unsubscribed", {}))) == (
        ([room_id], []) if is_there else ([], [room_id])
    )


async def test_an_account_that_ends_follows_nothing(house: House, alice: Person, bob: Person) -> None:
    room_id = await shared_room(alice, bob)
    root = await say(alice, room_id, "root")
    (await subscribe(bob, room_id, root)).ok()
    before = await house.count("users.thread_subscription")
    await house.users.deactivate(bob.user_id, erase=False)
    assert await house.count("users.thread_subscription") == before - 1


async def test_by_default_they_do_not_decide_what_notifies(alice: Person, bob: Person) -> None:
    """Clients that know nothing of subscriptions would hear no more of threads: the operator decides."""
    flags = (await bob.get("/_matrix/client/versions")).ok()["unstable_features"]
    assert "org.matrix.msc4306" not in flags
    rules = f"{V3}/pushrules/global"
    assert "postcontent" not in (await bob.get(f"{rules}/")).ok()
    rule = f"{rules}/postcontent/.io.element.msc4306.rule.unsubscribed_thread"
    for refused in (await bob.get(rule), await bob.put(f"{rule}/enabled", {"enabled": False})):
        assert error(refused) == (400, "M_INVALID_PARAM")
    room_id = await shared_room(alice, bob)
    reply = await reply_in_thread(alice, room_id, await say(alice, room_id, "root"))
    told = (await bob.get(f"{V3}/notifications")).ok()["notifications"]
    assert reply in [each["event"]["event_id"] for each in told]

"""Thread subscriptions in sliding sync, in both spellings. MSC4308."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.client_api.relating import reply_in_thread, say
from tests.integration.client_api.test_thread_subscriptions import page, subscribe, unsubscribe
from tests.integration.sync.building import SOON, Building, SyncPerson
from tests.integration.sync.test_sliding import STABLE, UNSTABLE, ask, slide, slide_unstable
from tests.support.http import Json

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = "io.element.msc4308.thread_subscriptions"


def extension(**more: Any) -> Json:
    return {NAME: {"enabled": True, **more}}


async def threads_of(alice: SyncPerson, bob: SyncPerson, count: int) -> tuple[str, list[str]]:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    return room_id, [await say(alice, room_id, f"root {n}") for n in range(count)]


@pytest.mark.parametrize("look", [slide, slide_unstable])
async def test_changes_are_told_in_both_spellings(look: Any, alice: SyncPerson, bob: SyncPerson) -> None:
    room_id, (one, two) = await threads_of(alice, bob, 2)
    cause = await reply_in_thread(alice, room_id, one)
    (await subscribe(bob, room_id, one, cause)).ok()
    first = await look(bob, extensions=extension())
    told = first["extensions"][NAME]
    stamp = told["subscribed"][room_id][one].pop("bump_stamp")
    assert told == {"subscribed": {room_id: {one: {"automatic": True}}}}

    (await subscribe(bob, room_id, one)).ok()
    (await subscribe(bob, room_id, two)).ok()
    second = await look(bob, first["pos"], extensions=extension())
    told = second["extensions"][NAME]["subscribed"][room_id]
    assert {root: each["automatic"] for root, each in told.items()} == {one: False, two: False}
    assert told[one]["bump_stamp"] > stamp

    (await unsubscribe(bob, room_id, one)).ok()
    (await unsubscribe(bob, room_id, two)).ok()
    (await subscribe(bob, room_id, one, await reply_in_thread(alice, room_id, one))).ok()
    third = await look(bob, second["pos"], extensions=extension())
    told = third["extensions"][NAME]
    assert told["subscribed"][room_id].keys() == {one}
    assert told["unsubscribed"][room_id].keys() == {two}
    assert told["unsubscribed"][room_id][two].keys() == {"bump_stamp"}
    nothing = await look(bob, third["pos"], extensions=extension())
    assert nothing["extensions"][NAME] == {}
    # A subscription is a matter of its user.
    assert (await look(alice, extensions=extension()))["extensions"][NAME] == {}


async def test_who_does_not_ask_is_told_nothing(alice: SyncPerson, bob: SyncPerson) -> None:
    """ "Must be specified and true to enable the extension.\""""
    room_id, (root,) = await threads_of(alice, bob, 1)
    (await subscribe(bob, room_id, root)).ok()
    asked: list[Json] = [
        {},
        {NAME: {}},
        {NAME: {"enabled": False}},
        {"thread_subscriptions": {"enabled": True}},
    ]
    for extensions in asked:
        assert (await slide(bob, extensions=extensions))["extensions"] == {}


async def test_a_held_request_is_answered_when_another_device_subscribes(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    phone = await building.device(bob)
    room_id, (root,) = await threads_of(alice, bob, 1)
    first = await slide(bob, extensions=extension())
    held = asyncio.create_task(ask(bob, first["pos"], extensions=extension(), timeout=20_000))
    await asyncio.sleep(0.2)
    assert not held.done()
    (await subscribe(phone, room_id, root)).ok()
    answer = (await asyncio.wait_for(held, SOON + 2)).ok()
    assert answer["extensions"][NAME]["subscribed"][room_id].keys() == {root}


async def test_what_is_beyond_the_limit_is_fetched_by_pages(alice: SyncPerson, bob: SyncPerson) -> None:
    """ "Only the latest changes are returned in this window"; the others by ``prev_batch``, back to the
    ``pos`` of the request.
    """
    room_id, roots = await threads_of(alice, bob, 6)
    (await subscribe(bob, room_id, roots[0])).ok()
    first = await slide(bob, extensions=extension(limit=2))
    assert first["extensions"][NAME].keys() == {"subscribed"}
    for root in roots[1:]:
        (await subscribe(bob, room_id, root)).ok()
    second = await slide(bob, first["pos"], extensions=extension(limit=2))
    told = second["extensions"][NAME]
    assert list(told["subscribed"][room_id]) == [roots[5], roots[4]]
    # What changes meanwhile is told by the next sync, not by the pages.
    (await unsubscribe(bob, room_id, roots[1])).ok()
    older = await page(bob, **{"from": told["prev_batch"], "to": first["pos"], "limit": 1})
    assert list(older["subscribed"][room_id]) == [roots[3]]
    rest = await page(bob, **{"from": older["end"], "to": first["pos"]})
    assert list(rest["subscribed"][room_id]) == [roots[2]]
    assert rest.keys() == {"subscribed"}
    third = await slide(bob, second["pos"], extensions=extension(limit=2))
    assert third["extensions"][NAME]["unsubscribed"][room_id].keys() == {roots[1]}
    assert "prev_batch" not in third["extensions"][NAME]
    everything = await page(bob, **{"from": told["prev_batch"]})
    assert list(everything["subscribed"][room_id]) == [roots[3], roots[2], roots[0]]


async def test_another_replica_goes_on(building: Building, alice: SyncPerson, bob: SyncPerson) -> None:
    room_id, roots = await threads_of(alice, bob, 2)
    (await subscribe(bob, room_id, roots[0])).ok()
    first = await slide(bob, extensions=extension())
    (await subscribe(bob, room_id, roots[1])).ok()
    elsewhere = bob.at(await building.replica())
    second = await slide(elsewhere, first["pos"], extensions=extension())
    assert second["extensions"][NAME]["subscribed"][room_id].keys() == {roots[1]}


async def test_a_limit_is_a_number_greater_than_zero(alice: SyncPerson) -> None:
    for place in (STABLE, UNSTABLE):
        for limit, code in ((0, "M_INVALID_PARAM"), (-1, "M_BAD_JSON"), ("10", "M_BAD_JSON")):
            answer = await alice.post(place, {"extensions": extension(limit=limit)})
            assert (answer.status, answer.json["errcode"]) == (400, code)

"""Several requests of one connection of sliding sync: given up, sent again, with other wishes.

MSC4186, "Connections": "The server MUST ensure that any per-connection state it tracks correctly handles
receiving multiple requests with the latest `pos` token (e.g. the client retries the request or decides to
cancel and resend a request with different parameters)".
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from plexus.platform.clock import ManualClock
from plexus.protocol.errors import UnknownPos
from plexus.sync.sliding.connections import BESIDE, Connection, Connections

from tests.integration.sync.building import Building, SyncPerson
from tests.integration.sync.test_connection_memory import connections, key, rooms
from tests.integration.sync.test_sliding import LITTLE, STABLE, ask, bodies, slide, slide_unstable, top
from tests.support.http import Json

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIDE = {"required_state": {"include": [{}]}, "timeline_limit": 20}


async def test_a_request_that_was_given_up_does_not_end_the_connection(
    alice: SyncPerson, bob: SyncPerson
) -> None:
    """The client opens a room while a poll is held, and goes on; then the poll ends with news of its own."""
    opened = await alice.create_room(preset="public_chat")
    other = await alice.create_room(preset="public_chat")
    for room_id in (opened, other):
        await bob.join(room_id)
        await bob.send(room_id, "before")
    first = await slide(alice, lists=top(10))
    narrow: Json = {"lists": {}, "room_subscriptions": {other: LITTLE}}
    wide: Json = {"lists": {}, "room_subscriptions": {opened: WIDE, other: LITTLE}}
    pos = (await slide(alice, first["pos"], **narrow))["pos"]
    given_up = asyncio.create_task(slide(alice, pos, timeout=20_000, **narrow))
    await asyncio.sleep(0.1)
    second = await slide(alice, pos, **wide)
    assert bodies(second["rooms"][opened])[-1] == "before"
    # The request that was given up notes that news were held back, and ends with others.
    await bob.send(opened, "news")
    await bob.send(other, "more")
    await asyncio.wait_for(given_up, 5)
    pos = second["pos"]
    told = []
    for _ in range(3):
        answer = await slide(alice, pos, **wide)
        told += [each for room in answer["rooms"].values() for each in bodies(room)]
        pos = answer["pos"]
    assert sorted(told) == ["more", "news"]


async def test_a_poll_that_a_newer_one_ends_stays_where_it_was(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    pos = (await slide(alice, lists=top(10)))["pos"]
    older = asyncio.create_task(slide(alice, pos, timeout=20_000, lists=top(10)))
    await asyncio.sleep(0.1)
    newer = asyncio.create_task(slide(alice, pos, timeout=20_000, lists=top(10)))
    ended = await asyncio.wait_for(older, 5)
    assert (ended["pos"], ended["rooms"], ended["lists"]["all"]["count"]) == (pos, {}, 1)
    await bob.send(room_id, "news")
    for answer in (await asyncio.wait_for(newer, 5), await slide(alice, ended["pos"], lists=top(10))):
        assert bodies(answer["rooms"][room_id]) == ["news"]


async def test_two_requests_that_begin_a_connection(
    alice: SyncPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client gave the first one up because it took long: what the second one began is good."""
    for number in range(30):
        await alice.create_room(name=str(number))
    monkeypatch.setattr("plexus.sync.sliding.rooms.BATCH", 1)
    await alice.hear()
    for conn_id in ("one", "two", "three"):
        older = asyncio.create_task(alice.post(STABLE, {"conn_id": conn_id, "lists": top(100, WIDE)}))
        await asyncio.sleep(0.02)
        newer = (await alice.post(STABLE, {"conn_id": conn_id, "lists": top(1)})).ok()
        answer = await older
        assert answer.status in (200, 503)
        again = await slide(alice, newer["pos"], conn_id=conn_id, lists=top(1))
        assert again["rooms"] == {}
        assert (await slide(alice, again["pos"], conn_id=conn_id, lists=top(1)))["rooms"] == {}


async def test_states_that_follow_the_same_one_live_until_the_client_goes_on(
    building: Building, alice: SyncPerson
) -> None:
    one, other = connections(building), connections(building)
    base = await one.save(Connection(key(alice, building, "beside")), rooms(1))
    beside = [await each.save(base, rooms(2 + n)) for n, each in enumerate((one, other, one))]
    for state in beside:
        assert (await connections(building).get(state.key, state.number)).rooms == state.rooms
    went_on = await one.save(beside[0], rooms(9))
    assert (await other.get(went_on.key, went_on.number)).rooms == rooms(9)
    assert (await connections(building).get(base.key, beside[0].number)).rooms == rooms(2)
    for gone in (base, beside[1], beside[2]):
        with pytest.raises(UnknownPos):
            await connections(building).get(gone.key, gone.number)
    # What was asked with the one before is answered too late: it takes nothing away, and is not kept.
    with pytest.raises(UnknownPos):
        await other.save(base, rooms(7))
    assert (await connections(building).get(base.key, went_on.number)).rooms == rooms(9)


async def test_so_many_states_follow_the_same_one(building: Building, alice: SyncPerson) -> None:
    kept = connections(building)
    base = await kept.save(Connection(key(alice, building, "many")), rooms(1))
    beside = [await kept.save(base, rooms(2 + number)) for number in range(BESIDE + 3)]
    known = 0
    for state in (base, *beside):
        with contextlib.suppress(UnknownPos):
            known += bool(await connections(building).get(state.key, state.number))
    assert known == 1 + BESIDE + 1
    assert (await connections(building).get(base.key, beside[-1].number)).rooms == beside[-1].rooms


async def test_a_connection_in_use_outlives_those_that_are_not(building: Building, alice: SyncPerson) -> None:
    """Its state never changes, so that it is in use has to be said."""
    clock = ManualClock(building.platform.clock.now_ms())

    def replica() -> Connections:
        return Connections(building.platform.db, clock, limit=100, limit_bytes=2**24, per_user=3)

    kept = replica()
    used = await kept.save(Connection(key(alice, building, "used")), rooms(1))
    unused = await kept.save(Connection(key(alice, building, "unused")), rooms(1))
    for _ in range(40):
        clock.advance(24 * 3600 + 60)
        await kept.get(used.key, used.number)
    newer = [await kept.save(Connection(key(alice, building, f"n{n}")), rooms(1)) for n in range(2)]
    for state in (used, *newer):
        assert (await replica().get(state.key, state.number)).rooms == rooms(1)
    with pytest.raises(UnknownPos):
        await replica().get(unused.key, unused.number)
    # Of those that are in use the one goes that was used longest ago.
    clock.advance(24 * 3600 + 60)
    for state in (used, newer[1]):
        await kept.get(state.key, state.number)
    await kept.save(Connection(key(alice, building, "n2")), rooms(1))
    with pytest.raises(UnknownPos):
        await replica().get(newer[0].key, newer[0].number)
    assert (await replica().get(used.key, used.number)).rooms == rooms(1)


async def test_the_unstable_form_takes_many_subscriptions(alice: SyncPerson) -> None:
    """Clients of that form keep what they have looked at."""
    room_id = await alice.create_room()
    config: Json = {"required_state": [], "timeline_limit": 1}
    subscriptions = {f"!{number}:example.org": config for number in range(500)} | {room_id: config}
    assert set((await slide_unstable(alice, room_subscriptions=subscriptions))["rooms"]) == {room_id}
    stable = dict.fromkeys(subscriptions, LITTLE)
    assert (await ask(alice, room_subscriptions=stable)).status == 400

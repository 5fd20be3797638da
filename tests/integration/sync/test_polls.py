"""Held requests of every kind: which of them end for a newer one, and all when their replica leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from plexus.platform.peer import Peer
from plexus.sync.own_writes import GATHER_SECONDS

from tests.integration.sync.building import SYNC, Building, SyncPerson, open_building
from tests.support.house import V3
from tests.support.http import Json
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

STABLE = "/_matrix/client/v4/sync"
UNSTABLE = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
HOLD = 20_000
SLIDING: Json = {"required_state": {}, "timeline_limit": 10, "range": [0, 9]}
SLIDING_UNSTABLE: Json = {"required_state": [], "timeline_limit": 10, "ranges": [[0, 9]]}


class Poller:
    """One way of syncing, by one device. ``variant``: another filter, or another connection."""

    def __init__(self, kind: str, person: SyncPerson, variant: int = 0) -> None:
        self.kind = kind
        self.person = person
        self.variant = variant

    async def begin(self) -> str:
        """A token from which on there is nothing to tell."""
        answer = await self._ask(None, 0)
        if self.kind == "events":
            token: str = (await self.person.get(f"{V3}/sync")).ok()["next_batch"]
            return token
        return self.token(answer)

    async def hold(self, token: str, ms: int = HOLD) -> asyncio.Task[Json]:
        """A request that is held, as nothing happens."""
        poll = asyncio.create_task(self._ask(token, ms))
        await asyncio.sleep(0.1)
        return poll

    def token(self, answer: Json) -> str:
        return str(answer[{"sync": "next_batch", "events": "end"}.get(self.kind, "pos")])

    def told(self, answer: Json, room_id: str) -> list[str]:
        if self.kind == "events":
            events = [event for event in answer["chunk"] if event.get("room_id") == room_id]
        elif self.kind == "sync":
            room = answer["rooms"].get("join", {}).get(room_id, {})
            events = room.get("timeline", {}).get("events", [])
        else:
            events = answer["rooms"].get(room_id, {}).get("timeline", [])
        return [event["event_id"] for event in events]

    async def _ask(self, token: str | None, ms: int) -> Json:
        body: Json = {"conn_id": f"c{self.variant}"} | ({} if token is None else {"pos": token})
        if self.kind == "sliding":
            return (await self.person.post(STABLE, body | {"lists": {"all": SLIDING}, "timeout": ms})).ok()
        if self.kind == "unstable":
            query = f"?timeout={ms}" + ("" if token is None else f"&pos={token}")
            return (
                await self.person.post(UNSTABLE + query, body | {"lists": {"all": SLIDING_UNSTABLE}})
            ).ok()
        if self.kind == "events":
            return (
                await self.person.get(f"{V3}/events", timeout=ms, **{"from": token} if token else {})
            ).ok()
        wanted = f'{{"room":{{"timeline":{{"limit":{10 + self.variant}}}}}}}'
        query_: dict[str, Any] = {"since": token} if token else {}
        return (await self.person.get(SYNC, filter=wanted, timeout=ms, **query_)).ok()


KINDS = ("sync", "sliding", "unstable", "events")
NO_ANSWER = r"\(0, b''\)"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_newer_poll_of_a_device_ends_its_older_one(
    building: Building, alice: SyncPerson, bob: SyncPerson, kind: str
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    await bob.hear()
    mine = Poller(kind, bob)
    others = [Poller(kind, await building.device(bob))]
    if kind != "events":
        others.append(Poller(kind, bob, variant=1))
    begun = [(poller, await poller.begin()) for poller in others]
    token = await mine.begin()
    stay = [(poller, await poller.hold(since)) for poller, since in begun]
    older = await mine.hold(token)
    assert not older.done()
    newer = await mine.hold(token)
    answer = await asyncio.wait_for(older, 2)
    assert mine.told(answer, room_id) == []
    assert not newer.done()

    event_id = await alice.send(room_id, "to all who wait")
    for poller, poll in [(mine, newer), *stay]:
        assert poller.told(await asyncio.wait_for(poll, 5), room_id) == [event_id]
    # Nothing is lost with the one that was ended.
    again = await (await mine.hold(mine.token(answer), 0))
    assert mine.told(again, room_id) == [event_id]


@pytest.mark.parametrize("kind", ["sync", "sliding", "unstable"])
async def test_a_device_may_hold_a_few_polls_and_the_oldest_ends(alice: SyncPerson, kind: str) -> None:
    """As many as ``sync.polls_per_device``, whatever they are for."""
    pollers = [Poller(kind, alice, variant) for variant in range(6)]
    tokens = [await poller.begin() for poller in pollers]
    polls = [await poller.hold(token) for poller, token in zip(pollers, tokens, strict=True)]
    await asyncio.wait_for(asyncio.gather(*polls[:2]), 5)
    held = polls[2:]
    assert not any(poll.done() for poll in held)
    for poll in held:
        poll.cancel()
    await asyncio.wait(held)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_poll_whose_client_has_gone_ends_without_an_answer(
    building: Building, alice: SyncPerson, kind: str
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    replica, peer = building.replicas[0].sync.replica, Peer()
    stays, leaves = Poller(kind, alice), Poller(kind, (await building.device(alice)).over(peer))
    since, token = await stays.begin(), await leaves.begin()
    kept, left = await stays.hold(since), await leaves.hold(token)
    assert replica.held == 2 and not left.done()
    peer.leave()
    with pytest.raises(AssertionError, match=NO_ANSWER):
        await asyncio.wait_for(left, 2)
    assert replica.held == 1 and not kept.done()
    # Who has gone before their request is held is not held at all.
    with pytest.raises(AssertionError, match=NO_ANSWER):
        await asyncio.wait_for(await leaves.hold(token), 2)
    event_id = await alice.send(room_id, "to who has stayed")
    assert stays.told(await asyncio.wait_for(kept, 5), room_id) == [event_id]
    assert replica.held == 0


@pytest_asyncio.fixture(loop_scope="module")
async def strict(database: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Building]:
    """Where a user may hold three polls, and a replica four."""
    limits = {"polls_per_user": 3, "max_polls": 4}
    async with open_building(
        database, tmp_path_factory.mktemp("strict"), sync=limits, presence={"enabled": False}
    ) as opened:
        yield opened


async def test_a_user_may_hold_a_few_polls_and_the_oldest_ends(strict: Building) -> None:
    """As many as ``sync.polls_per_user``, whatever they are, and from whichever device."""
    first = await strict.person("holds-many")
    pollers = [Poller("sync", first)]
    pollers += [
        Poller(kind, await strict.device(first)) for kind in ("sliding", "events", "unstable", "sync")
    ]
    tokens = [await poller.begin() for poller in pollers]
    polls = [await poller.hold(token) for poller, token in zip(pollers, tokens, strict=True)]
    await asyncio.wait_for(asyncio.gather(*polls[:2]), 5)
    held = polls[2:]
    assert not any(poll.done() for poll in held)
    assert strict.replicas[0].sync.replica.held == len(held) == 3
    for poll in held:
        poll.cancel()
    await asyncio.wait(held)


async def test_a_replica_that_holds_as_many_as_it_may_sends_the_next_one_away(strict: Building) -> None:
    """``sync.max_polls``; who has something to hear is told it all the same."""
    people = [await strict.person(f"full-{number}") for number in range(5)]
    room_id = await people[0].create_room(preset="public_chat")
    await people[4].join(room_id)
    await people[4].hear()
    pollers = [Poller("sync", person) for person in people]
    tokens = [await poller.begin() for poller in pollers]
    polls = [await poller.hold(token) for poller, token in zip(pollers[:4], tokens[:4], strict=True)]
    # A poll that is woken for nothing leaves its place for a moment. What wakes these is over by then.
    await asyncio.sleep(3 * GATHER_SECONDS)
    for kind in KINDS:
        last = Poller(kind, people[4])
        refused = await last.hold(await last.begin())
        with pytest.raises(AssertionError, match="503"):
            await asyncio.wait_for(refused, 2)
    event_id = await people[0].send(room_id, "to those who are held, and to those who ask")
    await people[4].hear()
    answer = await asyncio.wait_for(await pollers[4].hold(tokens[4]), 5)
    assert pollers[4].told(answer, room_id) == [event_id]
    assert pollers[0].told(await asyncio.wait_for(polls[0], 5), room_id) == [event_id]
    for poll in polls[1:]:
        poll.cancel()
    await asyncio.wait(polls)


async def test_a_draining_replica_answers_its_polls_at_once(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    """They come back to another one and miss nothing. Until it drains they are held, though it is not ready
    any more: those who were answered would come back at once, and to the same one.
    """
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    await bob.hear()
    replica = await building.replica()
    people = [alice, bob, await building.device(alice), await building.device(bob)]
    pollers = [Poller(kind, person) for kind, person in zip(KINDS, people, strict=True)]
    tokens = [await poller.begin() for poller in pollers]
    leaving = [Poller(poller.kind, poller.person.at(replica)) for poller in pollers]
    building.platform.drain.draining = True
    try:
        polls = [await poller.hold(token) for poller, token in zip(leaving, tokens, strict=True)]
        async with asyncio.timeout(5):
            while replica.sync.replica.held < len(polls):
                await asyncio.sleep(0.01)
        assert not any(poll.done() for poll in polls)
        await replica.service.drain()
        answers = await asyncio.wait_for(asyncio.gather(*polls), 2)
        late = [await poller.hold(token) for poller, token in zip(leaving, tokens, strict=True)]
        await asyncio.wait_for(asyncio.gather(*late), 2)
    finally:
        building.platform.drain.draining = False
    assert replica.sync.replica.held == 0

    event_id = await alice.send(room_id, "after that")
    for poller, answer in zip(pollers, answers, strict=True):
        assert poller.told(answer, room_id) == []
        again = await (await poller.hold(poller.token(answer)))
        assert poller.told(again, room_id) == [event_id]

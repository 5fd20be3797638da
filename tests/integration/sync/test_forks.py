"""Sync in rooms that fork: what a resolution changes is told as surely as what an event says.

Alice, bob and carol are here; root and dan are members from elsewhere. Events that others send are made by
hand, upon any event of the room, and received as they would be from other servers.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import pytest
from plexus.protocol.events import Event
from plexus.rooms import Fate, Wanted

from tests.integration.rooms.forking import Model, adopt
from tests.integration.rooms.test_random_forks import shuffled
from tests.integration.sync.building import Building, SyncPerson
from tests.integration.sync.folding import Fold, differences
from tests.integration.sync.test_sliding import slide
from tests.integration.sync.test_sync import ids, joined, state
from tests.support.http import Json
from tests.support.room_graph import go_on

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT, DAN = "@root:afar", "@dan:beyond"


@dataclass
class Room:
    """A room with members from elsewhere, and its history as a graph."""

    building: Building
    room_id: str
    model: Model

    async def make(
        self,
        type: str,
        sender: str,
        content: dict[str, Any],
        key: str | None = None,
        after: Event | None = None,
        ts: int | None = None,
    ) -> Event:
        """An event made elsewhere, which has not arrived yet."""
        graph = self.model.graph
        at = None if after is None else (after.event_id,)
        return graph.send(type, sender, content, key, after=at, ts=ts)

    async def arrive(self, event: Event, fate: Fate = Fate.LIVE) -> Event:
        received = await self.building.rooms.receive(event)
        assert received.fate is fate is self.model.take(event), received.reason
        await self.told()
        return event

    async def told(self) -> None:
        """Until the replicas have heard of it: nobody here has written it, so nobody waits to see it."""
        for replica in self.building.replicas:
            assert replica.ended or await replica.reach_heads()

    async def say(self, sender: str, body: str, after: Event) -> Event:
        return await self.arrive(await self.make("m.room.message", sender, {"body": body}, None, after))


async def make_room(building: Building, owner: SyncPerson, *others: SyncPerson) -> tuple[Room, Event]:
    """A public room with root as a moderator, and the event after which it forks."""
    room_id = await owner.create_room(
        preset="public_chat",
        room_version="11",
        power_level_content_override={"users": {owner.user_id: 100, ROOT: 50}},
    )
    for other in others:
        await other.join(room_id)
    room = Room(building, room_id, await adopt(building.rooms, room_id, "11"))
    event: Event | None = None
    for user in (ROOT, DAN):
        event = await room.arrive(await room.make("m.room.member", user, {"membership": "join"}, user))
    assert event is not None
    return room, event


NOW = 2_000_000_000_000
"""A time after all that this server sends, in milliseconds."""


async def test_a_ban_that_comes_into_force_by_a_merge(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    """Root bans bob and leaves, on two branches. Where the leaving is known first the ban is soft-failed,
    until somebody builds upon it.
    """
    room, fork = await make_room(building, alice, bob)
    since, seen = await bob.now(), await alice.now()
    leaves = await room.make("m.room.member", ROOT, {"membership": "leave"}, ROOT, fork, NOW + 1)
    await room.arrive(leaves)
    ban = await room.make("m.room.member", ROOT, {"membership": "ban"}, bob.user_id, fork, NOW)
    await room.arrive(ban, Fate.SOFT_FAILED)
    answer = await bob.sync(since)
    assert ids(joined(answer, room.room_id)) == [leaves.event_id], "soft-failed events are not shown"
    only_rooms: Json = {"presence": {"types": []}}
    poll = asyncio.create_task(bob.sync(answer["next_batch"], timeout=10_000, filter=only_rooms))
    await asyncio.sleep(0.1)

    message = await room.say(DAN, "he was banned", ban)

    told = await asyncio.wait_for(poll, 5)
    assert room.room_id not in told["rooms"]["join"]
    left = told["rooms"]["leave"][room.room_id]
    assert state(left)["m.room.member", bob.user_id] == {"membership": "ban"}
    # The same by a replica that knows nothing of it, for one who was away, and for a member.
    other = await building.replica()
    again = await bob.at(other).sync(since)
    assert state(again["rooms"]["leave"][room.room_id])["m.room.member", bob.user_id] == {"membership": "ban"}
    for person in (alice, alice.at(other)):
        section = joined(await person.sync(seen), room.room_id)
        assert ids(section) == [leaves.event_id, message.event_id]
        assert state(section)["m.room.member", bob.user_id] == {"membership": "ban"}
        assert section["summary"]["m.joined_member_count"] == 2
    await other.finish()
    assert room.room_id not in (await bob.sync())["rooms"]["join"]
    assert (await alice.send(room.room_id, "all branches are joined")) != ""
    assert room.room_id not in (await bob.sync(told["next_batch"]))["rooms"]["join"]


@pytest.mark.parametrize("after", [False, True])
async def test_a_topic_that_changes_by_a_merge(building: Building, alice: SyncPerson, after: bool) -> None:
    room, fork = await make_room(building, alice)
    ways: dict[str, Any] = {"use_state_after": "true"} if after else {}
    part = "state_after" if after else "state"
    leaves = await room.make("m.room.member", ROOT, {"membership": "leave"}, ROOT, fork, NOW + 9)
    await room.arrive(leaves)
    mine = await room.make("m.room.topic", alice.user_id, {"topic": "mine"}, "", leaves, NOW + 1)
    await room.arrive(mine)
    theirs = await room.make("m.room.topic", ROOT, {"topic": "theirs"}, "", fork, NOW + 2)
    await room.arrive(theirs, Fate.SOFT_FAILED)
    since = (await alice.sync())["next_batch"]

    message = await room.say(DAN, "a fine topic", theirs)

    section = joined(await alice.sync(since, **ways), room.room_id)
    assert ids(section) == [message.event_id]
    assert state(section, part) == {("m.room.topic", ""): {"topic": "theirs"}}
    assert await alice.state(room.room_id, "m.room.topic") == {"topic": "theirs"}


async def test_a_topic_that_loses_is_not_mistaken_for_the_topic(
    building: Building, alice: SyncPerson
) -> None:
    room, fork = await make_room(building, alice)
    mine = await room.make("m.room.topic", alice.user_id, {"topic": "mine"}, "", fork, NOW + 2)
    await room.arrive(mine)
    since = (await alice.sync())["next_batch"]
    theirs = await room.make("m.room.topic", ROOT, {"topic": "theirs"}, "", fork, NOW + 1)
    await room.arrive(theirs)
    message = await room.say(ROOT, "is it?", theirs)

    after = joined(await alice.sync(since, use_state_after="true"), room.room_id)
    assert ids(after) == [theirs.event_id, message.event_id]
    assert state(after, "state_after") == {}
    # A client that takes the topic from the timeline does not find it there, but is told that there is more.
    section = joined(await alice.sync(since), room.room_id)
    assert ids(section) == [message.event_id]
    assert section["timeline"]["limited"] is True
    assert state(section) == {}
    page = await alice.get(
        f"{alice.room(room.room_id)}/messages",
        dir="b",
        **{"from": section["timeline"]["prev_batch"]},
        limit=1,
    )
    assert [event["event_id"] for event in page.ok()["chunk"]] == [theirs.event_id]
    fresh = joined(await alice.sync(), room.room_id)
    assert ids(fresh) == [message.event_id] and state(fresh)["m.room.topic", ""] == {"topic": "mine"}


async def test_a_join_that_loses_its_force(building: Building, alice: SyncPerson, carol: SyncPerson) -> None:
    """Carol joins where the room is public; on another branch it is not any more."""
    room, fork = await make_room(building, alice)
    since, before = await carol.now(), await alice.now()
    joins = await room.make("m.room.member", carol.user_id, {"membership": "join"}, carol.user_id, fork, NOW)
    await room.arrive(joins)
    answer = await carol.sync(since)
    assert room.room_id in answer["rooms"]["join"]
    closed = await room.make("m.room.join_rules", alice.user_id, {"join_rule": "invite"}, "", fork, NOW + 1)
    await room.arrive(closed)

    told = await carol.sync(answer["next_batch"])
    assert room.room_id in told["rooms"]["leave"]
    assert room.room_id not in told["rooms"]["join"]
    assert room.room_id not in (await carol.sync())["rooms"]["join"]
    assert await building.rooms.membership(room.room_id, carol.user_id) == "leave"
    section = joined(await alice.sync(before), room.room_id)
    assert section["summary"]["m.joined_member_count"] == 3
    # She may be invited, and then it is as ever.
    assert await alice.act(room.room_id, "invite", carol.user_id) == 200
    await carol.join(room.room_id)
    again = await carol.sync(told["next_batch"])
    assert room.room_id in again["rooms"]["join"]
    joined_now = [r.room_id for r in await building.rooms.rooms_of(carol.user_id)]
    assert joined_now == [room.room_id]


async def test_state_that_a_resolution_takes_away_is_told_as_a_stub(
    building: Building, alice: SyncPerson, carol: SyncPerson
) -> None:
    """MSC4186: "to handle state being deleted, the list may include a StateStub type"."""
    room, fork = await make_room(building, alice)
    config = {"timeline_limit": 10, "required_state": {"include": [{}]}}
    ask: Any = {"room_subscriptions": {room.room_id: config}}
    before = await slide(alice, **ask)
    joins = await room.make("m.room.member", carol.user_id, {"membership": "join"}, carol.user_id, fork, NOW)
    await room.arrive(joins)
    joined_ = await slide(alice, before["pos"], **ask)
    [told] = joined_["rooms"][room.room_id]["required_state"]
    assert (told["state_key"], told["content"]["membership"]) == (carol.user_id, "join")
    closed = await room.make("m.room.join_rules", alice.user_id, {"join_rule": "invite"}, "", fork, NOW + 1)
    await room.arrive(closed)
    after = await slide(alice, joined_["pos"], **ask)
    assert {"type": "m.room.member", "state_key": carol.user_id} in after["rooms"][room.room_id][
        "required_state"
    ]


async def test_what_a_resolution_takes_away_is_not_told_as_the_state_before(
    building: Building, alice: SyncPerson, bob: SyncPerson
) -> None:
    """There is no way to say that an entry is gone: who begins is not told of it in the first place."""
    room, fork = await make_room(building, alice, bob)
    topic = await room.arrive(await room.make("m.room.topic", ROOT, {"topic": "mine"}, "", fork, NOW))
    assert ids(joined(await bob.sync(), room.room_id))[-1] == topic.event_id
    levels = {"users": {alice.user_id: 100}}
    demoted = await room.make("m.room.power_levels", alice.user_id, levels, "", fork, NOW + 1)
    await room.arrive(demoted)
    for limit in (1, 2, 10):
        section = joined(await bob.sync(filter={"room": {"timeline": {"limit": limit}}}), room.room_id)
        assert ids(section) == [demoted.event_id]
        assert ("m.room.topic", "") not in state(section)
        assert ("m.room.create", "") in state(section)


WAYS: list[dict[str, Any]] = [
    {},
    {"use_state_after": "true"},
    {"filter": {"room": {"timeline": {"limit": 2}}}},
    {"filter": {"room": {"timeline": {"types": ["m.room.message", "m.room.topic"], "limit": 3}}}},
    {"filter": {"room": {"timeline": {"not_senders": [DAN], "limit": 6}}}},
]


@pytest.mark.parametrize("seed", range(3))
async def test_delta_equals_fresh(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson, seed: int
) -> None:
    """Random branches arrive in random order, between syncs of all kinds."""
    chance = random.Random(seed)
    room, _ = await make_room(building, alice, bob, carol)
    people = [alice, bob, carol]
    go_on(room.model.graph, chance, [person.user_id for person in people] + [ROOT, DAN], 60)
    other = await building.replica()
    folds = {(person.user_id, n): Fold() for person in people for n in range(len(WAYS))}

    async def sync_some(share: float) -> None:
        for person in people:
            for n, way in enumerate(WAYS):
                if chance.random() < share:
                    fold = folds[person.user_id, n]
                    client = chance.choice([person, person.at(other)])
                    fold.take(await client.sync(fold.since, **way))

    for event in shuffled(room.model.graph, set(room.model.fates), chance):
        received = await building.rooms.receive(event)
        assert received.fate is room.model.take(event)
        await room.told()
        await sync_some(0.3)
    assert any(step.is_fork for step in room.model.steps)
    await sync_some(1)
    members = await building.rooms.current_state(room.room_id, Wanted(types=frozenset({"m.room.member"})))
    in_force = {event.state_key for event in members}
    for person in people:
        for n, way in enumerate(WAYS):
            fold, fresh = folds[person.user_id, n], Fold()
            fresh.take(await person.sync(**way))
            forget_what_is_gone(fold, fresh)
            gone = {sender for told in fold.rooms.values() for sender in told.senders.values()} - in_force
            assert not (found := differences(fold, fresh, gone=gone)), f"{person.user_id} with {way}: {found}"
    await other.finish()


def forget_what_is_gone(fold: Fold, fresh: Fold) -> None:
    """A resolution can take an entry away, and there is no way to tell a client so."""
    for room_id in fold.rooms.keys() & fresh.rooms.keys():
        state = fold.rooms[room_id].state
        for key in state.keys() - fresh.rooms[room_id].state.keys():
            del state[key]

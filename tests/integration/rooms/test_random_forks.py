"""Random forks and merges over PostgreSQL end in the same state as the pure resolution of the whole graph.

People of five servers act at random, somewhere in a room; the events arrive in any order in which each comes
after those it names, some of them twice, by one engine or by two at once. After every event the room must be
what pure calculation makes of those that have arrived.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress

import pytest
from plexus.protocol.errors import AuthRejected, Forbidden
from plexus.protocol.events import Event
from plexus.rooms import Fate, Rooms

from tests.integration.rooms.conftest import ALICE, MakeRooms, TestGround, make_room, message, state
from tests.integration.rooms.forking import Model, adopt, check_history, check_now
from tests.support.room_graph import RoomGraph, go_on

PEOPLE = (ALICE, "@bob:two", "@carol:three", "@dan:two", "@eve:one", "@frank:three")
VERSIONS = ("1", "2", "6", "10", "11", "12")


def live_on(graph: RoomGraph, chance: random.Random) -> None:
    """A life for the room: everybody comes, and then they act, here and there in its history."""
    for user in PEOPLE[1:]:
        graph.send("m.room.member", user, {"membership": "join"}, user)
    for _ in range(14):
        go_on(graph, chance, PEOPLE, 6)
        places = list(graph.states)[-6:]
        after = (chance.choice(places),)
        sender = chance.choice(PEOPLE)
        match chance.randrange(3):
            case 0:
                _try(graph, "m.room.message", sender, {"body": "hello"}, None, after)
            case 1:
                value = chance.choice(("joined", "invited", "shared"))
                _try(graph, "m.room.history_visibility", ALICE, {"history_visibility": value}, "", after)
            case _:
                # Nobody who may speak here; others may build upon it all the same.
                wrong = graph.send_refused("m.room.message", "@ghost:four", {"body": "boo"}, after)
                _try(graph, "m.room.message", sender, {"body": "above"}, None, (wrong.event_id,))


def _try(
    graph: RoomGraph, type: str, sender: str, content: dict[str, str], key: str | None, after: tuple[str, ...]
) -> None:
    with suppress(AuthRejected):
        graph.send(type, sender, content, key, after=after)


def shuffled(graph: RoomGraph, known: set[str], chance: random.Random) -> list[Event]:
    """The events that are not ``known``, in an order of arrival."""
    waiting = [event for event_id, event in graph.events.items() if event_id not in known]
    here = set(known)
    order: list[Event] = []
    while waiting:
        ready = [
            event
            for event in waiting
            if here.issuperset(event.prev_events) and here.issuperset(event.auth_events)
        ]
        # The older ones come first, mostly.
        event = ready[0] if chance.random() < 0.6 else chance.choice(ready)
        order.append(event)
        here.add(event.event_id)
        waiting.remove(event)
    return order


async def send_here(rooms: Rooms, room_id: str, model: Model, chance: random.Random) -> None:
    """A message or a state event of this server, which joins all branches that are known here."""
    ends = set(model.extremities)
    try:
        written = await rooms.send(
            room_id, ALICE, chance.choice((message("here"), state("m.room.topic", topic=str(len(ends)))))
        )
    except Forbidden:
        return
    event = (await rooms.event(room_id, written.event_id, viewer=None)).event
    if event.event_id not in model.fates:
        assert set(event.prev_events) == ends
        model.graph.adopt(event)
        assert model.take(event) is Fate.LIVE


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("seed", range(2))
async def test_one_engine(make_rooms: MakeRooms, ground: TestGround, version: str, seed: int) -> None:
    chance = random.Random(f"{version}-{seed}")
    rooms = make_rooms()
    room_id = await make_room(rooms, version=version)
    ref = await rooms.ref(room_id)
    assert ref is not None
    model = await adopt(rooms, room_id, version)
    live_on(model.graph, chance)
    for event in shuffled(model.graph, set(model.fates), chance):
        received = await rooms.receive(event)
        assert received.fate is model.take(event), received.reason
        assert not received.known
        await check_now(ground, rooms, ref, model)
        if chance.random() < 0.1:
            await send_here(rooms, room_id, model, chance)
            await check_now(ground, rooms, ref, model)
        if chance.random() < 0.1:
            again = await rooms.receive(chance.choice([model.graph.events[known] for known in model.fates]))
            assert again.known and again.fate is model.fates[again.event_id]
    await check_history(ground, rooms, ref, model)
    fates = Counter(model.fates.values())
    print(fates, "forks:", sum(step.is_fork for step in model.steps))
    assert fates[Fate.LIVE] > 20
    assert any(step.is_fork for step in model.steps)


@pytest.mark.parametrize("version", ["1", "11", "12"])
async def test_two_engines_at_once(make_rooms: MakeRooms, ground: TestGround, version: str) -> None:
    chance = random.Random(f"two-{version}")
    engines = [make_rooms(), make_rooms()]
    room_id = await make_room(engines[0], version=version)
    ref = await engines[0].ref(room_id)
    assert ref is not None
    model = await adopt(engines[0], room_id, version)
    live_on(model.graph, chance)
    known = set(model.fates)
    await asyncio.gather(*(deliver(engine, model.graph, known, chance) for engine in engines))
    async with ground.db.read(primary=True) as session:
        rows = await session.fetch(
            "SELECT event_id FROM rooms.event WHERE lane = %s::smallint AND room = %s::integer ORDER BY num",
            (ref.lane, ref.room),
        )
    for (event_id,) in rows:
        model.take(model.graph.events[event_id])
    assert len(model.fates) == len(model.graph.events)
    await check_now(ground, engines[0], ref, model)
    await check_history(ground, engines[0], ref, model)


async def deliver(engine: Rooms, graph: RoomGraph, known: set[str], chance: random.Random) -> None:
    """All events, in an order of its own: so each engine has some first."""
    for event in shuffled(graph, known, chance):
        await engine.receive(event)

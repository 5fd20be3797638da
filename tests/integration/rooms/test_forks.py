"""Stories of rooms that fork: what becomes of events from other servers, and of the room's state.

Alice made the room and is here; root is a moderator from elsewhere, bob and dan members from elsewhere. Each
story ends with the whole room compared with a pure calculation over the same events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from plexus.platform.lanes import RoomFact
from plexus.platform.postgres import ReadSession
from plexus.protocol import auth_types_for_event, build_event
from plexus.protocol.errors import AuthRejected, InvalidEvent, NotFound
from plexus.protocol.events import Event
from plexus.protocol.room_versions import ROOM_VERSIONS
from plexus.rooms import Fate, RoomRef, Rooms, StoredEvent, Txn, UnknownPredecessors, Written
from plexus.rooms.builder import ChainBuilder, Signer
from plexus.rooms.head import RoomHead
from plexus.rooms.lane_writer import call_write
from plexus.rooms.placing import Unresolved, place
from plexus.rooms.reading_head import read_head, read_missing
from plexus.rooms.receiving import Resolutions
from plexus.rooms.wishes import Found, Missing, Wish
from plexus.rooms.writes import Result

from tests.integration.rooms.conftest import ALICE, SERVER, MakeRooms, TestGround, make_room, message, state
from tests.integration.rooms.forking import Model, adopt, check_history, check_now
from tests.support.making_events import KEY, server_of
from tests.support.room_graph import RoomGraph

ROOT, BOB, DAN = "@root:afar", "@bob:beyond", "@dan:beyond"
LATE = 1_900_000_000_000
"""A time after all that this server sends, in milliseconds."""


@dataclass
class Story:
    rooms: Rooms
    ground: TestGround
    ref: RoomRef
    model: Model

    @property
    def graph(self) -> RoomGraph:
        return self.model.graph

    def make(
        self,
        type: str,
        sender: str,
        content: dict[str, Any],
        key: str | None = None,
        *,
        after: Event | None = None,
        ts: int | None = None,
    ) -> Event:
        """An event that somebody sends elsewhere, after this one or all that are there."""
        at = None if after is None else (after.event_id,)
        return self.graph.send(type, sender, content, key, after=at, ts=ts)

    def say(self, sender: str, body: str, after: Event | None = None) -> Event:
        return self.make("m.room.message", sender, {"body": body}, after=after)

    def topic(self, sender: str, topic: str, *, after: Event, ts: int) -> Event:
        return self.make("m.room.topic", sender, {"topic": topic}, "", after=after, ts=ts)

    def move(self, sender: str, user: str, membership: str, *, after: Event, ts: int = LATE) -> Event:
        return self.make("m.room.member", sender, {"membership": membership}, user, after=after, ts=ts)

    async def arrive(self, *events: Event, fate: Fate = Fate.LIVE) -> None:
        for event in events:
            received = await self.rooms.receive(event)
            assert received.fate is fate is self.model.take(event), received.reason
            assert received.known is False

    async def sent(self, written: Written) -> Event:
        """An event that was sent here becomes part of the graph."""
        event = (await self.rooms.event(written.room_id, written.event_id, viewer=None)).event
        self.graph.adopt(event)
        assert self.model.take(event) is Fate.LIVE
        return event

    async def timeline(self) -> list[StoredEvent]:
        page = await self.rooms.timeline(self.ref.room_id, backwards=False, limit=1000, viewer=ALICE)
        return list(page.events)

    async def topic_now(self) -> str:
        event = await self.rooms.state_event(self.ref.room_id, "m.room.topic", "")
        assert event is not None
        return str(event.content["topic"])

    async def check(self) -> None:
        await check_now(self.ground, self.rooms, self.ref, self.model)
        await check_history(self.ground, self.rooms, self.ref, self.model)


@pytest_asyncio.fixture(params=["2", "11", "12"])
async def story(
    request: pytest.FixtureRequest, make_rooms: MakeRooms, ground: TestGround
) -> AsyncIterator[Story]:
    made = await begin(make_rooms(), ground, request.param)
    yield made
    await made.check()


async def begin(rooms: Rooms, ground: TestGround, version: str = "11") -> Story:
    room_id = await make_room(rooms, version=version)
    ref = await rooms.ref(room_id)
    assert ref is not None
    story = Story(rooms, ground, ref, await adopt(rooms, room_id, version))
    for user in (ROOT, BOB, DAN):
        await story.arrive(story.make("m.room.member", user, {"membership": "join"}, user))
    users = {ROOT: 50} if ROOM_VERSIONS[version].auth.creators_have_infinite_power else {ALICE: 100, ROOT: 50}
    await story.arrive(story.make("m.room.power_levels", ALICE, {"users": users}, ""))
    return story


def end(story: Story) -> Event:
    """The event at which the branches part."""
    [event_id] = story.graph.extremities
    return story.graph.events[event_id]


async def test_a_ban_beats_a_concurrent_message(story: Story) -> None:
    fork = end(story)
    await story.arrive(story.move(ROOT, BOB, "ban", after=fork))
    late = story.say(BOB, "you can't do that", after=fork)
    await story.arrive(late, fate=Fate.SOFT_FAILED)
    assert late.event_id not in [event.event_id for event in await story.timeline()]
    with pytest.raises(NotFound):
        await story.rooms.event(story.ref.room_id, late.event_id, viewer=ALICE)
    # What follows it is of the room, and takes its place at the end of that branch.
    await story.arrive(story.say(DAN, "he was banned", after=late))
    assert await story.rooms.membership(story.ref.room_id, BOB) == "ban"


async def test_a_message_before_a_concurrent_ban(story: Story) -> None:
    fork = end(story)
    early = story.say(BOB, "hello", after=fork)
    await story.arrive(early, story.move(ROOT, BOB, "ban", after=fork))
    assert [event.event_id for event in await story.timeline()][-2] == early.event_id
    assert await story.rooms.membership(story.ref.room_id, BOB) == "ban"


@pytest.mark.parametrize("first", [0, 1])
async def test_of_two_topics_the_later_one_stands(story: Story, first: int) -> None:
    fork = end(story)
    topics = [
        story.topic(ROOT, "earlier", after=fork, ts=LATE),
        story.topic(ALICE, "later", after=fork, ts=LATE + 1),
    ]
    await story.arrive(topics[first], topics[1 - first])
    expected = "earlier" if story.graph.version.state_resolution == "v1" else "later"
    assert await story.topic_now() in (expected, "later")
    assert [event.content["topic"] for event in (await story.timeline())[-2:]] == [
        topics[first].content["topic"],
        topics[1 - first].content["topic"],
    ]


async def test_a_demoted_moderator_bans_nobody(story: Story) -> None:
    fork = end(story)
    levels = {**story.graph.events[fork.event_id].content, "users": {}}
    if "users" in fork.content and ALICE in fork.content["users"]:
        levels["users"] = {ALICE: 100}
    await story.arrive(story.make("m.room.power_levels", ALICE, levels, "", after=fork, ts=LATE + 5))
    ban = story.move(ROOT, BOB, "ban", after=fork)
    await story.arrive(ban, fate=Fate.SOFT_FAILED)
    await story.arrive(story.say(DAN, "is bob banned?", after=ban))
    assert await story.rooms.membership(story.ref.room_id, BOB) == "join"


async def test_a_ban_of_a_moderator_who_is_demoted_on_another_branch(story: Story) -> None:
    """The same, but the ban is known first: it was in force, and is not any more."""
    fork = end(story)
    await story.arrive(story.move(ROOT, BOB, "ban", after=fork))
    assert await story.rooms.membership(story.ref.room_id, BOB) == "ban"
    levels = {"users": {ALICE: 100} if ALICE in fork.content["users"] else {}}
    await story.arrive(story.make("m.room.power_levels", ALICE, levels, "", after=fork, ts=LATE + 5))
    assert await story.rooms.membership(story.ref.room_id, BOB) == "join"
    [bob] = [room for room in await story.rooms.rooms_of(BOB) if room.room_id == story.ref.room_id]
    assert (bob.membership, bob.from_ordinal) == ("join", (await story.timeline())[-1].ordinal)


async def test_a_local_message_joins_the_branches(story: Story) -> None:
    fork = end(story)
    left, right = story.say(BOB, "left", after=fork), story.topic(ROOT, "right", after=fork, ts=LATE)
    await story.arrive(left, right)
    joined = await story.sent(await story.rooms.send(story.ref.room_id, ALICE, message("one again")))
    assert set(joined.prev_events) == {left.event_id, right.event_id}
    assert story.model.extremities == {joined.event_id}
    newest = (await story.timeline())[-1]
    assert not newest.is_beside
    # And the room goes on as any other.
    await story.sent(await story.rooms.send(story.ref.room_id, ALICE, state("m.room.topic", topic="on")))
    assert await story.topic_now() == "on"


async def test_what_came_before_changes_nothing(story: Story) -> None:
    fork = end(story)
    live = story.say(BOB, "x", after=fork)
    refused = story.graph.send_refused("m.room.message", "@ghost:four", {}, [fork.event_id])
    await story.arrive(live)
    await story.arrive(refused, fate=Fate.REJECTED)
    before = await story.rooms.room(story.ref.room_id)
    assert before is not None
    for event, fate in ((live, Fate.LIVE), (refused, Fate.REJECTED), (fork, Fate.LIVE)):
        again = await story.rooms.receive(event)
        assert (again.known, again.fate) == (True, fate)
    assert await story.rooms.room(story.ref.room_id) == before


async def test_unknown_predecessors_are_named(story: Story) -> None:
    fork = end(story)
    unseen = story.topic(ROOT, "unseen", after=fork, ts=LATE)
    levels = story.make("m.room.power_levels", ALICE, fork.content, "", after=unseen)
    after = story.make("m.room.name", ROOT, {"name": "x"}, "", after=levels)
    before = await story.rooms.room(story.ref.room_id)
    with pytest.raises(UnknownPredecessors) as refusal:
        await story.rooms.receive(after)
    assert refusal.value.prev_events == {levels.event_id}
    assert refusal.value.auth_events == {levels.event_id}
    with pytest.raises(UnknownPredecessors) as refusal:
        await story.rooms.receive(levels)
    assert (refusal.value.prev_events, refusal.value.auth_events) == ({unseen.event_id}, set())
    assert await story.rooms.room(story.ref.room_id) == before
    await story.arrive(unseen, levels, after)


async def test_a_rejected_event_changes_no_state(story: Story) -> None:
    """It is kept, and can be built upon; nobody hears of it."""
    fork = end(story)
    refused = story.graph.send_refused("m.room.message", "@ghost:four", {"body": "boo"}, [fork.event_id])
    facts = await story.ground.log.facts_of("r", story.ref.lane, story.ref.room_id, 0, 2**60)
    received = await story.rooms.receive(refused)
    assert received.fate is Fate.REJECTED is story.model.take(refused)
    assert isinstance(received.reason, AuthRejected)
    assert await story.ground.log.facts_of("r", story.ref.lane, story.ref.room_id, 0, 2**60) == facts
    assert facts[-1].position == received.position
    above = story.say(DAN, "above it", after=refused)
    await story.arrive(above)
    assert story.model.extremities == {above.event_id}


async def test_what_is_not_of_the_room(story: Story) -> None:
    stranger = RoomGraph(story.graph.version, ROOT)
    stranger.begin()
    other = stranger.send("m.room.message", ROOT, {})
    with pytest.raises(NotFound):
        await story.rooms.receive(other)
    with pytest.raises(UnknownPredecessors):
        await story.rooms.receive(replace(other, room_id=story.ref.room_id))
    with pytest.raises(InvalidEvent):
        await story.rooms.receive(replace(other, room_id=story.ref.room_id, prev_events=()))


async def test_a_redaction_from_elsewhere(story: Story) -> None:
    said = story.say(ALICE, "secret")
    await story.arrive(said)
    version = story.graph.version
    content = {"redacts": said.event_id} if version.redacts_in_content else {}
    by_bob = make_redaction(story, BOB, said, content)
    if version.event_ids == "given":
        await story.arrive(by_bob, fate=Fate.REJECTED)
    else:
        await story.arrive(by_bob)
    found = await story.rooms.event(story.ref.room_id, said.event_id, viewer=ALICE)
    assert found.content == {"body": "secret"}, "he may not"
    by_root = make_redaction(story, ROOT, said, content)
    await story.arrive(by_root)
    found = await story.rooms.event(story.ref.room_id, said.event_id, viewer=ALICE)
    assert found.content == {} and found.redaction is not None
    assert found.redaction.event_id == by_root.event_id
    facts = await story.ground.log.facts_of("r", story.ref.lane, story.ref.room_id, 0, 2**60)
    assert [fact.lo for fact in facts if fact.kind == RoomFact.REDACTED] == [found.num]


def make_redaction(story: Story, sender: str, target: Event, content: dict[str, Any]) -> Event:
    """Also one that the rules refuse: in versions that give IDs, whoever may not redact may not even try."""
    graph = story.graph
    prev = sorted(graph.extremities)
    before = graph.state_before(prev)
    keys = auth_types_for_event(graph.version, "m.room.redaction", None, sender, content)
    event = build_event(
        graph.version,
        room_id=graph.room_id,
        type="m.room.redaction",
        sender=sender,
        content=content,
        redacts=target.event_id,
        event_id=f"${sender[1:4]}-{target.event_id[1:9]}:{server_of(sender)}"
        if graph.version.event_ids == "given"
        else None,
        prev_events=prev,
        auth_events=[before[key] for key in keys if key in before],
        reference_hashes=graph.reference_hashes,
        depth=100,
        origin_server_ts=LATE,
        server_name=server_of(sender),
        key=KEY,
    )
    graph.adopt(event)
    if sender == BOB and graph.version.event_ids == "given":
        graph.refused.add(event.event_id)
    return event


async def test_two_processes_receive_two_branches_at_once(make_rooms: MakeRooms, ground: TestGround) -> None:
    story = await begin(make_rooms(), ground)
    fork, engines = end(story), [make_rooms(), make_rooms()]
    branches: list[list[Event]] = [[], []]
    for number, (branch, sender) in enumerate(zip(branches, (ROOT, BOB), strict=True)):
        last = fork
        for n in range(6):
            kind = ("m.room.topic", {"topic": f"{number}-{n}"}, "") if sender == ROOT and n % 2 else None
            if kind is not None:
                last = story.make(kind[0], sender, kind[1], kind[2], after=last, ts=LATE + n)
            else:
                last = story.say(sender, f"{number}-{n}", after=last)
            branch.append(last)

    async def deliver(engine: Rooms, branch: list[Event]) -> None:
        for event in branch:
            assert (await engine.receive(event)).fate is Fate.LIVE

    sending = asyncio.create_task(
        story.rooms.send(story.ref.room_id, ALICE, message("in between"), txn=Txn(ALICE, "D", "send", "1"))
    )
    await asyncio.gather(*(deliver(engine, b) for engine, b in zip(engines, branches, strict=True)))
    sent = await sending
    for event in (await story.timeline())[len(story.model.steps) :]:
        if event.event_id not in story.graph.events:
            story.graph.adopt(event.event)
        assert story.model.take(event.event) is Fate.LIVE
    assert sent.event_id in story.model.fates
    await story.check()
    again = await engines[0].send(
        story.ref.room_id, ALICE, message("in between"), txn=Txn(ALICE, "D", "send", "1")
    )
    assert (again.event_id, again.replayed) == (sent.event_id, True)


@pytest.mark.parametrize("version", ["1", "12"])
async def test_more_branches_than_an_event_can_follow(
    make_rooms: MakeRooms, ground: TestGround, version: str
) -> None:
    story = await begin(make_rooms(), ground, version)
    fork = end(story)
    await story.arrive(story.topic(ROOT, "root", after=fork, ts=LATE))
    for n in range(30):
        await story.arrive(story.make("m.x", ROOT, {}, str(n), after=fork, ts=LATE + n))
    await story.check()
    other = make_rooms()
    first = await story.sent(
        await story.rooms.send(
            story.ref.room_id, ALICE, state("m.room.topic", topic="alice"), txn=Txn(ALICE, "D", "send", "1")
        )
    )
    assert len(first.prev_events) == 20 and len(story.model.extremities) == 12
    await story.check()
    again = await other.send(
        story.ref.room_id, ALICE, state("m.room.topic", topic="alice"), txn=Txn(ALICE, "D", "send", "1")
    )
    assert (again.event_id, again.replayed) == (first.event_id, True)
    with pytest.raises(AuthRejected):
        await other.send(story.ref.room_id, "@stranger:here.example.org", message("x"))
    second = await story.sent(await other.send(story.ref.room_id, ALICE, message("all")))
    assert story.model.extremities == {second.event_id}
    await story.check()


async def test_a_fork_and_a_chain_in_one_group(make_rooms: MakeRooms, ground: TestGround) -> None:
    """What is said of the one in the arrays of the write is not taken for the other."""
    rooms = make_rooms()
    story = await begin(rooms, ground)
    while ground.lanes.room(plain := await make_room(rooms, version="11")) != story.ref.lane:
        continue
    fork = end(story)
    await story.arrive(story.say(BOB, "left", after=fork))
    right = story.topic(ROOT, "right", after=fork, ts=LATE)
    async with ground.db.read(primary=True) as session:
        heads = [await read_head(session, story.ref.lane, room_id) for room_id in (story.ref.room_id, plain)]
        assert heads[0] is not None and heads[1] is not None
        resolutions = Resolutions()
        with pytest.raises(Unresolved) as wanted:
            await place(session, heads[0], right, resolutions.known)
        await resolutions.resolve(ground, wanted.value)
        placed = await place(session, heads[0], right, resolutions.known)
        chain = ChainBuilder(await with_state(session, heads[1]), Signer(SERVER, ground.keys.current()))
    for body in ("one", "two"):
        chain.add(Wish(ALICE, message(body), Txn(ALICE, "D", "send", body), LATE))
    chain.add(Wish(ALICE, state("m.room.topic", topic="plain"), None, LATE))
    assert placed.write is not None
    writes = [chain.finish()[0], placed.write]
    for order in (writes, writes[::-1]):
        results = [found.result for found in await call_write(ground, story.ref.lane, order)]
        assert set(results) == {Result.WRITTEN if order is writes else Result.CONFLICT}
    assert story.model.take(right) is Fate.LIVE
    await story.check()
    other = await rooms.ref(plain)
    assert other is not None
    await check_now(ground, rooms, other, await adopt(rooms, plain, "11"))
    await check_history(ground, rooms, other, await adopt(rooms, plain, "11"))


async def with_state(session: ReadSession, head: RoomHead) -> RoomHead:
    """The head with all that a chain by alice needs."""
    keys = [
        ("m.room.create", ""),
        ("m.room.power_levels", ""),
        ("m.room.member", ALICE),
        ("m.room.topic", ""),
    ]
    return await read_missing(session, head, Missing(entries=set(keys), chain=True), Found())


async def test_a_place_that_was_refused_leaves_no_number(make_rooms: MakeRooms, ground: TestGround) -> None:
    """A new place in the state is given its number anew if the write found the room locked, even though the
    room has not moved on then.
    """
    story = await begin(make_rooms(), ground)
    fork = end(story)
    await story.arrive(story.topic(ROOT, "one", after=fork, ts=LATE))
    await story.arrive(story.topic(ALICE, "two", after=fork, ts=LATE + 1))
    joining = story.move("@zoe:beyond", "@zoe:beyond", "join", after=fork)
    async with ground.db.write() as session:
        await session.execute(
            "SELECT FROM rooms.room WHERE lane = %s::smallint AND room_id = %s FOR UPDATE",
            (story.ref.lane, story.ref.room_id),
        )
        arriving = asyncio.create_task(story.arrive(joining))
        async with asyncio.timeout(10), ground.db.read(primary=True) as other:
            while not await other.fetch(
                "SELECT FROM pg_locks WHERE NOT granted AND pid IN"
                " (SELECT pid FROM pg_stat_activity WHERE query LIKE '%%FOR NO KEY UPDATE')"
            ):
                await asyncio.sleep(0.01)
    await arriving
    await story.check()
    # Another engine compares the states of the three branches by the numbers that are stored.
    await make_rooms().send(story.ref.room_id, ALICE, message("hello"))

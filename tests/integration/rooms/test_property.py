"""Issue 3: random sends, state changes and redactions by random members from three writers on one room.

The timeline equals what was acknowledged; the current state equals a replay; the snapshot at each event
equals the replay up to it; each transaction id has made one event; memberships, hosts and counts equal the
replay; every other server would accept the chain.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import orjson
import pytest
from plexus.platform.lanes import RoomFact
from plexus.protocol.auth_rules import check_auth
from plexus.protocol.errors import Forbidden
from plexus.protocol.events import Event, reference_hash_of
from plexus.protocol.room_versions import ROOM_VERSIONS
from plexus.rooms import EVERYTHING, NewEvent, Rooms, StoredEvent, Txn, Written

from tests.integration.rooms.conftest import (
    ALICE,
    SERVER,
    Eyes,
    MakeRooms,
    TestGround,
    make_room,
    member,
    message,
    state,
)

PEOPLE = [f"@person{n}:{SERVER}" for n in range(6)]
ROUNDS = 40
SENDERS = 6


@dataclass
class Story:
    """What was done, and what was answered."""

    written: dict[str, tuple[str, NewEvent]] = field(default_factory=dict)
    by_txn: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    refused: int = 0


def random_event(chance: random.Random, sender: str, story: Story) -> NewEvent:
    kind = chance.random()
    if kind < 0.35:
        return message(str(chance.random()))
    if kind < 0.6:
        return state("m.x", str(chance.randint(0, 4)), value=chance.randint(0, 3))
    if kind < 0.7:
        return state("m.room.topic", topic=str(chance.randint(0, 2)))
    # Before version 11 a redacted redaction does not say any more what it took away, so no replay can tell.
    targets = [event_id for event_id, (_, event) in story.written.items() if event.type != "m.room.redaction"]
    if kind < 0.8 and targets:
        return NewEvent("m.room.redaction", {}, redacts=chance.choice(targets))
    if kind < 0.85:
        return state("m.room.history_visibility", history_visibility=chance.choice(["joined", "shared"]))
    if kind < 0.95:
        return member(sender, chance.choice(["join", "leave"]), displayname=str(chance.randint(0, 3)))
    return member(chance.choice(PEOPLE), chance.choice(["invite", "leave"]))


async def live(engines: list[Rooms], room_id: str, number: int, seed: int, story: Story) -> None:
    """One sender: each thing through any of the processes, now and then the same transaction once more."""
    chance = random.Random(seed * 1000 + number)
    for at in range(ROUNDS):
        sender = chance.choice([ALICE, *PEOPLE])
        event = random_event(chance, sender, story)
        txn = Txn(sender, f"D{number}", "send", str(at))
        for _ in range(chance.choice([1, 1, 1, 2])):
            try:
                answer: Written = await chance.choice(engines).send(room_id, sender, event, txn=txn)
            except Forbidden:
                story.refused += 1
                continue
            if not answer.replayed:
                assert answer.event_id not in story.written
                story.written[answer.event_id] = (sender, event)
                story.by_txn.setdefault((f"D{number}", str(at)), set()).add(answer.event_id)
            elif (f"D{number}", str(at)) in story.by_txn:
                assert story.by_txn[f"D{number}", str(at)] == {answer.event_id}


@pytest.mark.parametrize(
    ("version", "seed"), [("1", 5), ("3", 6), ("10", 1), ("11", 2), ("12", 3), ("12", 4)]
)
async def test_three_writers(make_rooms: MakeRooms, ground: TestGround, version: str, seed: int) -> None:
    engines = [make_rooms() for _ in range(3)]
    room_id = await make_room(engines[0], version=version, state_default=0, users_default=0, redact=50)
    story = Story()
    before = {e.event_id for e in (await engines[0].timeline(room_id, limit=1000)).events}
    await asyncio.gather(*(live(engines, room_id, number, seed, story) for number in range(SENDERS)))
    # Enough of both to mean something. How many are refused hangs on who bans or demotes whom first.
    assert story.refused > 10 and len(story.written) > 25

    reader = make_rooms()
    page = await reader.timeline(room_id, backwards=False, limit=10_000)
    events = list(page.events)
    assert {event.event_id for event in events} == before | set(story.written)
    assert len(events) == len(before) + len(story.written)
    assert [event.ordinal for event in events] == list(range(1, len(events) + 1))
    await check_replay(reader, version, room_id, events)
    check_transactions(events, story)
    await check_facts(ground, reader, room_id, events)


async def check_replay(rooms: Rooms, version: str, room_id: str, events: list[StoredEvent]) -> None:
    """State at each event, the rules, memberships, redactions: by doing it all again."""
    rules = ROOM_VERSIONS[version]
    ref = events[0].ref
    snapshots = list({event.snap_before: None for event in events} | {e.snap_after: None for e in events})
    read = await rooms.state_nums([(ref, snap, EVERYTHING) for snap in snapshots])
    state_of = dict(zip(snapshots, read, strict=True))
    current: dict[tuple[str, str], StoredEvent] = {}
    redacted: dict[str, str] = {}
    by_id = {event.event_id: event for event in events}
    previous: StoredEvent | None = None
    for event in events:
        assert event.event.prev_events == (() if previous is None else (previous.event_id,))
        assert state_of[event.snap_before] == {key: found.num for key, found in current.items()}
        if rules.references_with_hashes:
            pdu = event.event.pdu()
            for cited, hashes in pdu["prev_events"] + pdu["auth_events"]:
                assert hashes == {"sha256": reference_hash_of(rules, by_id[cited].raw)}
        lookup: dict[tuple[str, str], Event] = {key: found.event for key, found in current.items()}
        check_auth(
            rules,
            event.event,
            lambda kind, key, lookup=lookup: lookup.get((kind, key)),  # type: ignore[misc]
            create=lookup.get(("m.room.create", "")),
        )
        if event.state_key is not None:
            replaced = current.get(event.key)
            assert event.replaces == (None if replaced is None else replaced.num)
            current[event.key] = event
        else:
            assert event.snap_after == event.snap_before
        assert state_of[event.snap_after] == {key: found.num for key, found in current.items()}
        if event.event.redacts is not None and event.event.redacts in by_id:
            redacted.setdefault(event.event.redacts, event.event_id)
        previous = event
    for event in events:
        by = next((e.event_id for e in events if e.num == event.redacted_by), None)
        assert by == redacted.get(event.event_id)
        if by is not None and event.type == "m.room.message":
            assert event.content == {}
    now = {event.key: event for event in await rooms.current_state(room_id)}
    assert {key: event.num for key, event in now.items()} == {key: e.num for key, e in current.items()}
    for person in (ALICE, *PEOPLE):
        if await rooms.membership(room_id, person) == "join":
            in_force = await rooms.state_in_force(await rooms.view(room_id, person))
            assert in_force is not None
            printed = {
                event["event_id"]: event
                for event in orjson.loads(in_force.events(Eyes(0, person), b"[", b"]"))
            }
            assert printed == {e.event_id: e.client_dict(now_ms=0) for e in now.values()}
    for key, event in current.items():
        one = await rooms.state_event(room_id, *key)
        assert one is not None and one.num == event.num
    await check_memberships(rooms, room_id, current)


async def check_memberships(rooms: Rooms, room_id: str, current: dict[tuple[str, str], StoredEvent]) -> None:
    members = {key: e.content["membership"] for (kind, key), e in current.items() if kind == "m.room.member"}
    for user_id in (ALICE, *PEOPLE):
        assert await rooms.membership(room_id, user_id) == members.get(user_id)
        rooms_of = await rooms.rooms_of(user_id, {"join", "invite", "leave", "ban", "knock"})
        mine = next((room for room in rooms_of if room.room_id == room_id), None)
        assert (None if mine is None else mine.num) == (
            current["m.room.member", user_id].num if user_id in members else None
        )
    info = await rooms.room(room_id)
    assert info is not None
    counts = Counter(members.values())
    assert (info.joined_members, info.invited_members) == (counts["join"], counts["invite"])
    assert await rooms.hosts(room_id) == ([SERVER] if counts["join"] else [])


def check_transactions(events: list[StoredEvent], story: Story) -> None:
    made = Counter((event.txn_device, event.txn_id) for event in events if event.txn_id is not None)
    assert set(made.values()) == {1}
    assert dict.fromkeys(story.by_txn, 1) == dict(made)


async def check_facts(ground: TestGround, rooms: Rooms, room_id: str, events: list[StoredEvent]) -> None:
    """The facts cover each ordinal once, in order, and name each redaction once; all were published."""
    ref = events[0].ref
    facts = await ground.log.facts_of("r", ref.lane, room_id, 0, 2**60)
    covered = [n for fact in facts if fact.kind == RoomFact.EVENTS for n in range(fact.lo, fact.hi + 1)]
    assert covered == [event.ordinal for event in events]
    named = Counter(fact.lo for fact in facts if fact.kind == RoomFact.REDACTED)
    assert named == Counter(event.num for event in events if event.redacted_by is not None)
    await asyncio.sleep(0)
    published = {
        (fact.position, fact.kind, fact.lo, fact.hi)
        for group in ground.groups
        for fact in group.facts
        if fact.subject == room_id
    }
    assert published == {(fact.position, fact.kind, fact.lo, fact.hi) for fact in facts}
    for position in {fact.position for fact in facts}:
        last = max((f.hi for f in facts if f.kind == RoomFact.EVENTS and f.position <= position), default=0)
        assert await rooms.ordinal_at(ref, position) == last

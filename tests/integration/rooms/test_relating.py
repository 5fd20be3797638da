"""Relations in the write: what is refused, and what is noted of each event that relates to another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import plexus.rooms
import psycopg
import pytest
from plexus.platform.postgres import PackedStatement
from plexus.protocol.canonical_json import encode
from plexus.protocol.errors import MatrixError
from plexus.protocol.relations import may_replace, relation_of
from plexus.rooms import Asked, NewEvent, Rooms, Txn, Written
from plexus.rooms.actor import build_chain
from plexus.rooms.builder import Signer, needs
from plexus.rooms.reading_head import read_head, read_missing
from plexus.rooms.relating import annotation_of
from plexus.rooms.wishes import Found, Wish
from plexus.rooms.write_call import WRITE, arguments, outcomes
from plexus.rooms.writes import Result

from tests.integration.rooms.conftest import (
    ALICE,
    BOB,
    SERVER,
    MakeRooms,
    TestGround,
    join,
    make_room,
    message,
)
from tests.integration.rooms.test_forks import DAN, ROOT, begin
from tests.support.postgres import TestDatabase

FILLING = Path(plexus.rooms.__file__).parent / "migrations" / "0012-relations-before.sql"


def related(rel_type: str, parent: str, type: str = "m.room.message", **more: Any) -> NewEvent:
    key = {"key": more.pop("key")} if "key" in more else {}
    return NewEvent(type, {"m.relates_to": {"rel_type": rel_type, "event_id": parent, **key}, **more})


def reaction(parent: str, key: str) -> NewEvent:
    return related("m.annotation", parent, "m.reaction", key=key)


async def outcomes_of(*sent: Awaitable[Written]) -> list[str]:
    return list(await asyncio.gather(*map(outcome, sent)))


async def outcome(sent: Awaitable[Written]) -> str:
    try:
        await sent
    except MatrixError as error:
        return f"{error.status} {error.errcode}"
    return "sent"


@pytest.fixture
async def said(rooms: Rooms) -> Written:
    """A message of Alice in a room that Bob is in too."""
    room_id = await make_room(rooms)
    await join(rooms, room_id, BOB)
    return await rooms.send(room_id, ALICE, message("hello"))


async def test_the_same_annotation_is_made_once_however_many_replicas_are_asked(
    make_rooms: MakeRooms, said: Written
) -> None:
    replicas = [make_rooms() for _ in range(3)]
    for key in ("👍", "k" * 10_000, "a\0b"):
        sent = [replica.send(said.room_id, BOB, reaction(said.event_id, key)) for replica in replicas * 2]
        assert sorted(await outcomes_of(*sent)) == ["400 M_DUPLICATE_ANNOTATION"] * 5 + ["sent"]


async def test_annotations_that_differ_are_not_duplicates(rooms: Rooms, said: Written) -> None:
    first = await rooms.send(said.room_id, BOB, reaction(said.event_id, "👍"))
    await rooms.send(said.room_id, BOB, reaction(said.event_id, "👎"))
    await rooms.send(said.room_id, ALICE, reaction(said.event_id, "👍"))
    await rooms.send(said.room_id, BOB, reaction(first.event_id, "👍"))
    await rooms.send(said.room_id, BOB, related("m.annotation", said.event_id, "org.example.vote", key="👍"))


async def test_a_redacted_annotation_may_be_made_again(make_rooms: MakeRooms, said: Written) -> None:
    """Also when both are waiting for one write."""
    here, there = make_rooms(), make_rooms()
    first = await here.send(said.room_id, BOB, reaction(said.event_id, "👍"))
    away = NewEvent("m.room.redaction", {}, redacts=first.event_id)
    assert await outcomes_of(
        here.send(said.room_id, BOB, away),
        here.send(said.room_id, BOB, reaction(said.event_id, "👍")),
        here.send(said.room_id, BOB, reaction(said.event_id, "👍")),
    ) == ["sent", "sent", "400 M_DUPLICATE_ANNOTATION"]
    assert await outcome(there.send(said.room_id, BOB, reaction(said.event_id, "👍"))) != "sent"


async def test_a_retried_annotation_is_the_one_that_it_made(make_rooms: MakeRooms, said: Written) -> None:
    txn = Txn(BOB, "PHONE", "send", "1")
    first = await make_rooms().send(said.room_id, BOB, reaction(said.event_id, "👍"), txn=txn)
    again = await make_rooms().send(said.room_id, BOB, reaction(said.event_id, "👍"), txn=txn)
    assert again.event_id == first.event_id
    assert again.replayed


async def test_what_is_too_large_to_be_sent_leaves_no_annotation_behind(rooms: Rooms, said: Written) -> None:
    large = reaction(said.event_id, "👍")
    large = NewEvent(large.type, {**large.content, "pad": "x" * 70_000})
    assert await outcomes_of(
        rooms.send(said.room_id, BOB, large),
        rooms.send(said.room_id, BOB, reaction(said.event_id, "👍")),
    ) == ["413 M_TOO_LARGE", "sent"]


async def test_a_thread_starts_from_what_relates_to_nothing(rooms: Rooms, said: Written) -> None:
    in_thread = await rooms.send(said.room_id, BOB, related("m.thread", said.event_id))
    reply = {"m.relates_to": {"m.in_reply_to": {"event_id": said.event_id}}}
    replied = await rooms.send(said.room_id, BOB, NewEvent("m.room.message", reply))
    await rooms.send(said.room_id, ALICE, related("m.thread", replied.event_id))
    refused = rooms.send(said.room_id, ALICE, related("m.thread", in_thread.event_id))
    assert await outcome(refused) == "400 M_UNKNOWN"
    await rooms.send(said.room_id, ALICE, related("m.reference", in_thread.event_id))


@pytest.mark.parametrize("rel_type", ["m.thread", "m.annotation", "m.replace", "m.reference", "org.example"])
async def test_the_parent_is_in_the_same_room(rooms: Rooms, said: Written, rel_type: str) -> None:
    elsewhere = await make_room(rooms)
    for parent in (said.event_id, "$no-such-event"):
        refused = rooms.send(elsewhere, ALICE, related(rel_type, parent, key="k"))
        assert await outcome(refused) == "400 M_UNKNOWN"


ILL_FORMED: list[Any] = [
    "m.thread",
    {"rel_type": "m.thread"},
    {"rel_type": 1, "event_id": "$x"},
    {"rel_type": "", "event_id": "$x"},
    {"rel_type": "r" * 256, "event_id": "$x"},
    {"rel_type": "a\0b", "event_id": "$x"},
    {"rel_type": "m.thread", "event_id": "x"},
    {"rel_type": "m.thread", "event_id": "$" + "x" * 255},
    {"rel_type": "m.thread", "event_id": "$a\0b"},
    {"m.in_reply_to": {"event_id": "$x"}},
]


async def test_a_relation_of_another_form_is_no_relation(rooms: Rooms, said: Written) -> None:
    for relates in ILL_FORMED:
        await rooms.send(said.room_id, BOB, NewEvent("m.room.message", {"m.relates_to": relates}))


def test_what_the_database_reads_in_an_event_is_what_we_read(database: TestDatabase) -> None:
    """For those events that were written before relations were."""
    keys: list[dict[str, Any]] = [{}, {"key": "👍"}, {"key": "\\u0000"}, {"key": ""}, {"key": 1}]
    others: list[dict[str, Any]] = [{}, {"m.new_content": {}}, {"m.new_content": "x"}]
    well_formed: list[dict[str, Any]] = [
        {"m.relates_to": {"rel_type": rel_type, "event_id": "$x", **key}, **content}
        for rel_type in ("m.replace", "m.annotation", "org.example.ü")
        for key in keys
        for content in others
    ]
    contents: list[dict[str, Any]] = (
        well_formed + [{"m.relates_to": relates} for relates in ILL_FORMED] + [{}, {"body": "a\0b"}]
    )
    with psycopg.connect(database.writer) as connection:
        for content in contents:
            for kind, state_key in (("m.room.message", None), ("m.room.encrypted", None), ("org.x", "")):
                event: dict[str, Any] = {"type": kind, "content": content}
                if state_key is not None:
                    event["state_key"] = state_key
                read = connection.execute(
                    "SELECT parent, rel_type, key, edit FROM rooms.relation_of(%s)", (encode(event),)
                ).fetchall()
                assert read == expected(event), event


def expected(event: dict[str, Any]) -> list[tuple[Any, ...]]:
    content = event["content"]
    relation = relation_of(content)
    if relation is None:
        return []
    annotation = annotation_of(ALICE, event["type"], relation)
    edit = relation.rel_type == "m.replace" and may_replace(event["type"], event.get("state_key"), content)
    return [(relation.parent, relation.rel_type, annotation and annotation.key, edit)]


async def test_relations_of_before_are_filled_in(rooms: Rooms, database: TestDatabase, said: Written) -> None:
    gone = await rooms.send(said.room_id, BOB, reaction(said.event_id, "👎"))
    await rooms.send(said.room_id, BOB, reaction(said.event_id, "👍"))
    await rooms.send(said.room_id, BOB, related("m.thread", said.event_id))
    edit: dict[str, Any] = {"m.new_content": {"body": "hi"}}
    await rooms.send(said.room_id, ALICE, related("m.replace", said.event_id, **edit))
    await rooms.send(said.room_id, BOB, NewEvent("m.room.redaction", {}, redacts=gone.event_id))
    with psycopg.connect(database.owner, autocommit=True) as owner:
        select = "SELECT * FROM rooms.relation WHERE parent = %s ORDER BY num"
        noted = owner.execute(select, (said.event_id,)).fetchall()
        owner.execute("DELETE FROM rooms.relation")
        owner.execute(FILLING.read_bytes())
        assert owner.execute(select, (said.event_id,)).fetchall() == noted
    assert len(noted) == 3


async def test_the_call_of_the_version_before_notes_relations_too(
    rooms: Rooms, ground: TestGround, said: Written
) -> None:
    parameters = 64
    before = PackedStatement(
        b"SELECT * FROM rooms.write(%b)" % b", ".join(b"$%d" % (n + 1) for n in range(parameters)),
        WRITE.types[:parameters],
    )
    annotation = reaction(said.event_id, "👍")
    async with ground.db.read(primary=True) as session:
        head = await read_head(session, said.lane, said.room_id)
        assert head is not None
        wishes = [Wish(BOB, event, None, ground.clock.now_ms()) for event in (annotation, message("a"))]
        found = Found()
        head = await read_missing(session, head, needs(head, wishes), found)
    chain = build_chain(head, Signer(SERVER, ground.keys.current()), wishes, found)
    values = arguments(said.lane, [chain.write])[:parameters]
    [outcome_of_it] = outcomes(await ground.db.call_packed(before, values))
    assert outcome_of_it.result is Result.WRITTEN
    assert await outcome(rooms.send(said.room_id, BOB, annotation)) == "400 M_DUPLICATE_ANNOTATION"


async def test_events_from_elsewhere_relate_as_they_say(rooms: Rooms, ground: TestGround) -> None:
    """Duplicates are taken; what breaks the rules of a relation is not told with the event."""
    story = await begin(rooms, ground)
    said = story.say(DAN, "hello")
    await story.arrive(said)
    events = []
    for kind, sender, content in (
        ("m.reaction", ROOT, reaction(said.event_id, "👍").content),
        ("m.reaction", ROOT, reaction(said.event_id, "👍").content),
        ("m.room.message", ROOT, related("m.thread", said.event_id).content),
        ("m.room.message", ROOT, {**related("m.replace", said.event_id).content, "m.new_content": {}}),
    ):
        events.append(story.make(kind, sender, dict(content)))
        await story.arrive(events[-1])
    nested = story.make("m.room.message", DAN, dict(related("m.thread", events[2].event_id).content))
    await story.arrive(nested)
    page = await rooms.related(story.ref, Asked(said.event_id), viewer=ALICE, backwards=False)
    assert [event.event_id for event in page.events] == [event.event_id for event in events]
    asked = [await rooms.event(story.ref.room_id, each.event_id, viewer=ALICE) for each in (said, events[2])]
    [bundle] = (await rooms.bundles(asked, viewer=ALICE)).values()
    assert bundle.replacement is None
    assert bundle.thread is not None
    assert (bundle.thread.count, bundle.thread.latest.event_id) == (1, events[2].event_id)
    threads = await rooms.threads(story.ref, viewer=ALICE, upto=2**40)
    assert [root.event_id for root in threads.roots] == [said.event_id]

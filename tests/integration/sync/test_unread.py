"""``unread_notifications`` in /sync: with the event itself, by one's own rules, and gone when it is read.

Each count that an incremental sync tells, kept up by the events of the tail, is compared with that of a
replica that knows nothing and asks the database.
"""

from __future__ import annotations

import asyncio
import random
from itertools import count
from typing import Any

import pytest

from tests.integration.sync.building import SOON, Building, Replica, SyncPerson
from tests.support.house import V3
from tests.support.http import Json, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

_txns = count()

BY_THREAD = {"room": {"timeline": {"unread_thread_notifications": True}}}


def counts(answer: Json, room_id: str) -> tuple[int, int]:
    """(notifications, highlights) that an answer tells of a room."""
    found = answer["rooms"]["join"][room_id]["unread_notifications"]
    assert set(found) == {"notification_count", "highlight_count"}
    return found["notification_count"], found["highlight_count"]


def by_thread(answer: Json, room_id: str) -> dict[str, tuple[int, int]]:
    section = answer["rooms"]["join"][room_id]
    threads = {
        root: (each["notification_count"], each["highlight_count"])
        for root, each in section.get("unread_thread_notifications", {}).items()
    }
    return {"main": counts(answer, room_id), **threads}


class Reader:
    """Somebody who syncs on and on, and compares each count with that of a replica that has just begun."""

    def __init__(self, building: Building, person: SyncPerson) -> None:
        self.building, self.person = building, person
        self.since: str = ""

    async def begin(self) -> Reader:
        await self.person.hear()
        self.since = (await self.person.sync())["next_batch"]
        return self

    async def counts(self, room_id: str) -> tuple[int, int]:
        await self.person.hear()
        answer = await self.person.sync(self.since)
        self.since = answer["next_batch"]
        found = counts(answer, room_id)
        assert found == await self.fresh(room_id)
        return found

    async def fresh(self, room_id: str) -> tuple[int, int]:
        replica = await self.building.replica()
        found = counts(await self.person.at(replica).sync(), room_id)
        await replica.end()
        return found


async def shared_room(alice: SyncPerson, *others: SyncPerson, **more: Any) -> str:
    """A room of these, and of one more, so that it is no conversation of two."""
    room_id = await alice.create_room(preset="public_chat", **more)
    for other in others:
        await other.join(room_id)
    return room_id


async def read(person: SyncPerson, room_id: str, event_id: str, thread: str | None = None) -> None:
    body = {} if thread is None else {"thread_id": thread}
    (await person.post(f"{person.room(room_id)}/receipt/m.read/{seg(event_id)}", body)).ok()


def text(body: str, *mentioned: SyncPerson, **more: Any) -> Json:
    mentions = {"user_ids": [person.user_id for person in mentioned]} if mentioned else {}
    return {"msgtype": "m.text", "body": body, "m.mentions": mentions, **more}


def in_thread(root: str, body: str = "in a thread", *mentioned: SyncPerson) -> Json:
    return text(body, *mentioned, **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})


async def send(person: SyncPerson, room_id: str, content: Json, type: str = "m.room.message") -> str:
    path = f"{person.room(room_id)}/send/{type}/{next(_txns)}"
    event_id: str = (await person.put(path, content)).ok()["event_id"]
    return event_id


async def set_rule(person: SyncPerson, kind: str, rule_id: str, **body: Any) -> None:
    (await person.put(f"{V3}/pushrules/global/{kind}/{seg(rule_id)}", body)).ok()


async def test_the_count_comes_with_the_event(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob, carol)
    await send(alice, room_id, text("before"))
    reader = await Reader(building, bob).begin()
    waiting = asyncio.create_task(bob.sync(reader.since, timeout=20_000))
    await asyncio.sleep(0.05)
    event_id = await send(alice, room_id, text("hello", bob))
    async with asyncio.timeout(SOON):
        answer = await waiting
    # "The updated notification count from a new event MUST appear in the same /sync response".
    assert [e["event_id"] for e in answer["rooms"]["join"][room_id]["timeline"]["events"]] == [event_id]
    assert counts(answer, room_id) == (2, 1) == await reader.fresh(room_id)
    for n in range(3):
        await send(carol, room_id, text(str(n)))
    assert await reader.counts(room_id) == (5, 1)
    # Their senders have read them.
    assert counts(await carol.sync(), room_id) == (0, 0)
    assert counts(await alice.sync(), room_id) == (3, 0)


async def test_a_receipt_clears_up_to_its_event(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob, carol)
    sent = [await send(alice, room_id, text(str(n), bob)) for n in range(4)]
    reader = await Reader(building, bob).begin()
    waiting = asyncio.create_task(bob.sync(reader.since, timeout=20_000))
    await asyncio.sleep(0.05)
    await read(bob, room_id, sent[1])
    async with asyncio.timeout(SOON):
        answer = await waiting
    reader.since = answer["next_batch"]
    assert counts(answer, room_id) == (2, 2) == await reader.fresh(room_id)
    # One that lags behind rewinds nothing.
    path = f"{bob.room(room_id)}/receipt/m.read.private"
    (await bob.post(f"{path}/{seg(sent[0])}", {})).ok()
    assert await reader.fresh(room_id) == (2, 2)
    # "if the m.read.private receipt were to be updated to event D then the user has read up to D".
    (await bob.post(f"{path}/{seg(sent[3])}", {})).ok()
    assert await reader.counts(room_id) == (0, 0)
    await send(carol, room_id, text("next"))
    assert await reader.counts(room_id) == (1, 0)
    # Also for who wants no receipts.
    sender = await send(carol, room_id, text("last"))
    await bob.hear()
    since = (await bob.sync())["next_batch"]
    await read(bob, room_id, sender)
    await bob.hear()
    answer = await bob.sync(since, filter={"room": {"ephemeral": {"not_types": ["*"]}}})
    assert set(answer["rooms"]["join"][room_id]) == {"unread_notifications"}
    assert counts(answer, room_id) == (0, 0)


async def test_what_one_sends_one_has_read_up_to(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob, carol)
    reader = await Reader(building, bob).begin()
    await send(alice, room_id, text("one", bob))
    assert await reader.counts(room_id) == (1, 1)
    await send(bob, room_id, text("answer"))
    assert await reader.counts(room_id) == (0, 0)
    await send(alice, room_id, text("two"))
    assert await reader.counts(room_id) == (1, 0)


async def test_what_was_there_before_one_came_is_not_unread(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, carol)
    await send(alice, room_id, text("before", bob))
    reader = await Reader(building, bob).begin()
    await bob.join(room_id)
    assert await reader.counts(room_id) == (0, 0)
    await send(alice, room_id, text("after"))
    assert await reader.counts(room_id) == (1, 0)
    # Another display name is no other join.
    (await bob.put(f"{V3}/profile/{seg(bob.user_id)}/displayname", {"displayname": "Bobby"})).ok()
    await send(alice, room_id, text("later"))
    assert await reader.counts(room_id) == (2, 0)
    assert await bob.act(room_id, "leave") == 200
    await send(alice, room_id, text("meanwhile"))
    await bob.join(room_id)
    assert await reader.counts(room_id) == (0, 0)


async def test_what_does_not_notify(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob, carol)
    reader = await Reader(building, bob).begin()
    root = await send(alice, room_id, text("counts"))
    await send(alice, room_id, {**text("a bot"), "msgtype": "m.notice"})
    relation = {"rel_type": "m.annotation", "event_id": root, "key": "+1"}
    await send(carol, room_id, {"m.relates_to": relation}, "m.reaction")
    edit = {"m.new_content": text("counted"), "m.relates_to": {"rel_type": "m.replace", "event_id": root}}
    await send(alice, room_id, {**text("* counted"), **edit})
    await alice.set_state(room_id, "m.room.topic", {"topic": "nothing"})
    assert await reader.counts(room_id) == (1, 0)
    await send(alice, room_id, {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "?"}, "m.room.encrypted")
    assert await reader.counts(room_id) == (2, 0)


async def test_the_room_is_mentioned_by_who_may(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob, carol)
    reader = await Reader(building, bob).begin()
    everybody = {**text("@room"), "m.mentions": {"room": True}}
    await send(carol, room_id, everybody)
    assert await reader.counts(room_id) == (1, 0)
    # Of a moment in which somebody gets the power, each event by the power that there was.
    levels = (await alice.get(f"{alice.room(room_id)}/state/m.room.power_levels/")).ok()
    users = {**levels.get("users", {}), carol.user_id: 50}
    await alice.set_state(room_id, "m.room.power_levels", {**levels, "users": users})
    await send(carol, room_id, everybody)
    assert await reader.counts(room_id) == (3 - 1, 1)
    # Who does not want to hear of the room is highlighted by nothing.
    rule = f"{V3}/pushrules/global/override/.m.rule.is_room_mention"
    (await bob.put(f"{rule}/enabled", {"enabled": False})).ok()
    await bob.hear()
    await send(carol, room_id, everybody)
    assert await reader.counts(room_id) == (3, 1)
    # Who has set the power levels had read what was before.
    assert counts(await alice.sync(), room_id) == (2, 2)


async def test_rules_of_ones_own(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob, carol)
    loud = {"actions": ["notify", {"set_tweak": "highlight"}]}
    reader = await Reader(building, bob).begin()
    carols = await Reader(building, carol).begin()
    await set_rule(bob, "content", "cake", pattern="cake", **loud)
    await bob.hear()
    await send(alice, room_id, text("there is Cake!"))
    await send(alice, room_id, text("there are cakes"))
    assert await reader.counts(room_id) == (2, 1)
    assert await carols.counts(room_id) == (2, 0)
    # A name is looked for as it is in the room.
    (await bob.put(f"{V3}/profile/{seg(bob.user_id)}/displayname", {"displayname": "Bob the Builder"})).ok()
    named = {"conditions": [{"kind": "contains_display_name"}], **loud}
    await set_rule(bob, "override", "named", **named)
    await bob.hear()
    await send(alice, room_id, text("where is bob the builder?"))
    await send(alice, room_id, text("where is Bob?"))
    assert await reader.counts(room_id) == (4, 2)
    # A muted room.
    await set_rule(bob, "room", room_id, actions=[])
    await bob.hear()
    for n in range(3):
        await send(alice, room_id, text(str(n)))
    assert await reader.counts(room_id) == (4, 2)
    assert await carols.counts(room_id) == (7, 0)
    await send(alice, room_id, text("but you are meant", bob))
    assert await reader.counts(room_id) == (5, 3)
    # No notifications at all.
    (await bob.put(f"{V3}/pushrules/global/override/.m.rule.master/enabled", {"enabled": True})).ok()
    await bob.hear()
    await send(alice, room_id, text("even so", bob))
    assert await reader.counts(room_id) == (5, 3)


async def test_who_comes_brings_their_rules(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, carol)
    await send(alice, room_id, text("the members are known"))
    await set_rule(bob, "sender", alice.user_id, actions=[])
    await bob.hear()
    reader = await Reader(building, bob).begin()
    await bob.join(room_id)
    await send(alice, room_id, text("unheard"))
    await send(carol, room_id, text("heard"))
    assert await reader.counts(room_id) == (1, 0)


async def test_nobody_is_notified_by_whom_they_ignore(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob, carol)
    path = f"{V3}/user/{seg(bob.user_id)}/account_data/m.ignored_user_list"
    (await bob.put(path, {"ignored_users": {carol.user_id: {}}})).ok()
    await bob.hear()
    reader = await Reader(building, bob).begin()
    await send(carol, room_id, text("unheard", bob))
    await send(alice, room_id, text("heard"))
    assert await reader.counts(room_id) == (1, 0)
    (await bob.put(path, {"ignored_users": {}})).ok()
    await bob.hear()
    await send(carol, room_id, text("heard again", bob))
    assert await reader.counts(room_id) == (2, 1)


async def test_what_was_redacted_is_not_unread(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob, carol)
    reader = await Reader(building, bob).begin()
    await send(alice, room_id, text("stays"))
    mistake = await send(alice, room_id, text("a mistake", bob))
    assert await reader.counts(room_id) == (2, 1)
    (await alice.put(f"{alice.room(room_id)}/redact/{seg(mistake)}/1", {})).ok()
    assert await reader.counts(room_id) == (1, 0)
    assert counts(await carol.sync(), room_id) == (1, 0)


async def test_threads_are_counted_and_read_apart(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await shared_room(alice, bob, carol)
    reader = await Reader(building, bob).begin()
    one = await send(alice, room_id, text("thread one"))
    two = await send(alice, room_id, text("thread two"))
    first = await send(carol, room_id, in_thread(one))
    await send(alice, room_id, in_thread(one, "you", bob))
    last = await send(carol, room_id, in_thread(two))

    async def threads() -> dict[str, tuple[int, int]]:
        await bob.hear()
        found = by_thread(await bob.sync(filter=BY_THREAD), room_id)
        replica = await building.replica()
        assert found == by_thread(await bob.at(replica).sync(filter=BY_THREAD), room_id)
        await replica.end()
        return found

    assert await threads() == {"main": (2, 0), one: (2, 1), two: (1, 0)}
    # Who does not ask for threads is told of all together.
    assert await reader.counts(room_id) == (5, 1)
    await read(bob, room_id, first, one)
    assert await threads() == {"main": (2, 0), one: (1, 1), two: (1, 0)}
    await read(bob, room_id, two, "main")
    assert await threads() == {"main": (0, 0), one: (1, 1), two: (1, 0)}
    assert await reader.counts(room_id) == (2, 1)
    # A reaction in a thread is of the thread, and who made it has read so far.
    relation = {"rel_type": "m.annotation", "event_id": last, "key": "+1"}
    await send(bob, room_id, {"m.relates_to": relation}, "m.reaction")
    assert await threads() == {"main": (0, 0), one: (1, 1)}
    # One receipt for all.
    await send(alice, room_id, text("main again"))
    await send(bob, room_id, in_thread(two, "an answer"))
    assert await threads() == {"main": (1, 0), one: (1, 1)}
    await read(bob, room_id, await send(carol, room_id, in_thread(two)))
    assert await threads() == {"main": (0, 0)}
    assert await reader.counts(room_id) == (0, 0)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_told_by_the_tail_or_counted_it_is_the_same(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson, seed: int
) -> None:
    """Whatever happens in whichever order, all counts that are kept up are those that are counted."""
    chance = random.Random(seed)
    people = [alice, bob, carol]
    room_id = await shared_room(*people, power_level_content_override={"notifications": {"room": 0}})
    await set_rule(carol, "sender", alice.user_id, actions=[])
    readers = {person.user_id: (await person.sync(filter=BY_THREAD))["next_batch"] for person in people}
    sent = [await send(alice, room_id, text("first"))]
    roots: list[str] = []
    seen = 0
    for _ in range(60):
        person = chance.choice(people)
        act = chance.randrange(9)
        if act < 3:
            mentioned = [other for other in people if chance.random() < 0.3]
            sent.append(await send(person, room_id, text("something", *mentioned)))
            if chance.random() < 0.2:
                roots.append(sent[-1])
        elif act == 3 and roots:
            sent.append(await send(person, room_id, in_thread(chance.choice(roots), "more", bob)))
        elif act == 4:
            sent.append(await send(person, room_id, {**text("all"), "m.mentions": {"room": True}}))
        elif act == 5:
            target = chance.choice(sent)
            await person.put(f"{person.room(room_id)}/redact/{seg(target)}/{chance.random()}", {})
        elif act == 6:
            relation = {"rel_type": "m.reference", "event_id": chance.choice(sent)}
            sent.append(await send(person, room_id, text("about that", **{"m.relates_to": relation})))
        else:
            thread = chance.choice([None, None, "main", *roots])
            event_id = chance.choice(sent[-4:])
            body = {} if thread is None else {"thread_id": thread}
            await person.post(f"{person.room(room_id)}/receipt/m.read/{seg(event_id)}", body)
        if chance.random() < 0.4:
            seen += await _compare(building, people, readers, room_id)
    assert seen > 10


async def _compare(
    building: Building, people: list[SyncPerson], readers: dict[str, str], room_id: str
) -> int:
    """Everybody syncs on, and by a replica that has just begun; how often there was something to compare."""
    replica: Replica = await building.replica()
    compared = 0
    for person in people:
        await person.hear()
        answer = await person.sync(readers[person.user_id], filter=BY_THREAD)
        readers[person.user_id] = answer["next_batch"]
        if room_id in answer["rooms"]["join"]:
            fresh = await person.at(replica).sync(filter=BY_THREAD)
            if "unread_notifications" in answer["rooms"]["join"][room_id]:
                assert by_thread(answer, room_id) == by_thread(fresh, room_id)
                compared += 1
    await replica.end()
    return compared


async def test_a_replica_that_did_not_tell_of_the_new_membership_counts_from_it(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    """Who leaves and joins again begins to count anew, also where an earlier count is kept."""
    room_id = await shared_room(alice, bob, carol)
    replica = await building.replica()
    there = bob.at(replica)
    await bob.hear()
    since = (await bob.sync())["next_batch"]
    for number in range(3):
        await alice.send(room_id, f"number {number}")
    for person in (bob, there):
        await person.hear()
        assert counts(await person.sync(since), room_id) == (3, 0)
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    await bob.join(room_id)
    await bob.hear()
    answer = await bob.sync(since)
    assert counts(answer, room_id) == (0, 0)
    await alice.send(room_id, "one more")
    for person in (bob, there):
        await person.hear()
        assert counts(await person.sync(answer["next_batch"]), room_id) == (1, 0)
    await replica.end()

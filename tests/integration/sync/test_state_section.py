"""What ``state`` holds beside the timeline: one event per key, so that both together give what is in force,
and of a gap all that has changed in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.integration.sync.building import Building, SyncPerson
from tests.integration.sync.test_sync import ids, joined
from tests.support.http import Json

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEMBER = "m.room.member"
MESSAGES: Json = {"types": ["m.room.message"]}
LAZY: Json = {"lazy_load_members": True}


def told(section: Json, part: str = "state") -> list[tuple[str, str, Any]]:
    """(type, state key, content) of the state section, in its order."""
    events = section.get(part, {}).get("events", ())
    return [(event["type"], event["state_key"], event["content"]) for event in events]


def members(section: Json, part: str = "state") -> list[tuple[str, str]]:
    """(user, membership) of the member events in it, sorted."""
    return sorted(
        (key, content["membership"]) for kind, key, content in told(section, part) if kind == MEMBER
    )


def folded(section: Json) -> dict[tuple[str, str], Any]:
    """What a client takes for the room's state: that before the timeline, and what changes in it."""
    events = [*section.get("state", {}).get("events", ()), *section["timeline"]["events"]]
    return {(event["type"], event["state_key"]): event["content"] for event in events if "state_key" in event}


async def in_force(person: SyncPerson, room_id: str) -> dict[tuple[str, str], Any]:
    events = (await person.get(f"{person.room(room_id)}/state")).ok()
    return {(event["type"], event["state_key"]): event["content"] for event in events}


async def rename(person: SyncPerson, room_id: str, name: str) -> str:
    content: Json = {"membership": "join", "displayname": name}
    return await person.set_state(room_id, MEMBER, content, person.user_id)


def wanting(state: Mapping[str, Any], timeline: Mapping[str, Any]) -> Json:
    return {"room": {"state": dict(state), "timeline": dict(timeline)}}


# --- lazily loaded members


@pytest.mark.parametrize("after", [False, True])
async def test_a_member_who_is_loaded_lazily_is_told_once_and_as_they_are_now(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson, after: bool
) -> None:
    """Bob is a hero, and carol speaks: when the timeline begins he is invited only, and she has another name,
    of which nothing is shown in the timeline.
    """
    way: dict[str, Any] = {"filter": wanting(LAZY, MESSAGES)}
    part = "state_after" if after else "state"
    if after:
        way["use_state_after"] = "true"
    room_id = await alice.create_room(preset="public_chat")
    await carol.join(room_id)
    await alice.hear()
    since = await alice.now()
    assert await alice.act(room_id, "invite", bob.user_id) == 200
    await carol.send(room_id, "welcome")
    await bob.join(room_id)
    renamed = await rename(carol, room_id, "Caroline")
    for person in (alice, bob):
        await person.hear()
        for replica in (building.replicas[0], await building.replica()):
            for token in (since, None) if person is alice else (None,):
                section = joined(await person.at(replica).sync(token, **way), room_id)
                others = {alice.user_id} if token is None else set()
                assert members(section, part) == sorted(
                    (user, "join") for user in {bob.user_id, carol.user_id} | others
                )
                assert renamed in ids(section, part)


async def test_a_member_event_that_changes_in_a_timeline_kept_whole_is_told_once(
    alice: SyncPerson, bob: SyncPerson
) -> None:
    way: dict[str, Any] = {"filter": wanting(LAZY, {}), "use_state_after": "true"}
    room_id = await alice.create_room(preset="public_chat")
    since = await alice.now()
    await bob.join(room_id)
    renamed = await rename(bob, room_id, "Bobby")
    await alice.hear()
    section = joined(await alice.sync(since, **way), room_id)
    assert section["timeline"]["limited"] is False
    assert ids(section, "state_after") == [renamed]


async def test_a_name_that_changed_out_of_a_newcomers_sight_is_told_once(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    for number in range(6):
        await alice.send(room_id, str(number))
    await alice.set_state(room_id, "m.room.history_visibility", {"history_visibility": "joined"})
    renamed = await rename(bob, room_id, "Bobby")
    await carol.join(room_id)
    await carol.hear()
    section = joined(await carol.sync(filter=wanting(LAZY, {"limit": 8})), room_id)
    assert members(section) == sorted((person.user_id, "join") for person in (alice, bob))
    assert renamed in ids(section, "state")


# --- what is kept out of the timeline


@pytest.mark.parametrize("by", ["not_senders", "senders", "contains_url"])
async def test_what_a_filter_keeps_out_is_not_undone_by_an_older_event_that_it_shows(
    building: Building, alice: SyncPerson, bob: SyncPerson, by: str
) -> None:
    room_id = await alice.create_room(
        preset="public_chat", power_level_content_override={"state_default": 0, "events": {}}
    )
    await bob.join(room_id)
    timeline: Json = {"not_senders": [bob.user_id], "senders": [alice.user_id], "contains_url": True}
    since = await bob.now()
    await alice.set_state(room_id, "m.room.avatar", {"url": "mxc://example.org/older"})
    await bob.set_state(room_id, "m.room.avatar", {})
    shown = {"url": "mxc://example.org/message", "body": "see", "msgtype": "m.image"}
    (await alice.put(f"{alice.room(room_id)}/send/m.room.message/see", shown)).ok()
    await bob.hear()
    current = await in_force(bob, room_id)
    sections = []
    # From the tail, and from the database.
    for replica in (building.replicas[0], await building.replica()):
        for token in (since, None):
            way: dict[str, Any] = {"filter": wanting({}, {by: timeline[by]})}
            section = joined(await bob.at(replica).sync(token, **way), room_id)
            sections.append([ids(section), section["timeline"]["limited"], section["timeline"]["prev_batch"]])
            got = folded(section)
            assert got["m.room.avatar", ""] == {}
            assert token is not None or got == current
            [message] = section["timeline"]["events"]
            assert message["content"]["body"] == "see"
    assert sections[0] == sections[2]
    # Where nothing newer is kept out, nothing is left out for it.
    since = await bob.now()
    avatar = await alice.set_state(room_id, "m.room.avatar", {"url": "mxc://example.org/newest"})
    await bob.set_state(room_id, "m.room.topic", {"topic": "another key"})
    await bob.hear()
    section = joined(await bob.sync(since, filter=wanting({}, {by: timeline[by]})), room_id)
    assert ids(section) == [avatar] and section["timeline"]["limited"] is False
    assert told(section) == [("m.room.topic", "", {"topic": "another key"})]


async def test_what_a_newcomer_may_not_see_is_not_undone_by_older_events_that_they_may(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    """Bob's leaving and the second name are hidden from carol, his joining and the first name are not."""
    room_id = await alice.create_room(preset="public_chat", name="First")
    await bob.join(room_id)
    seen = await bob.send(room_id, "seen")
    closed = await alice.set_state(room_id, "m.room.history_visibility", {"history_visibility": "joined"})
    await alice.set_state(room_id, "m.room.name", {"name": "Second"})
    assert await bob.act(room_id, "leave") == 200
    since = await carol.now()
    await carol.join(room_id)
    after = await alice.send(room_id, "after")
    await carol.hear()
    current = await in_force(carol, room_id)
    for replica in (building.replicas[0], await building.replica()):
        for token in (since, None):
            section = joined(await carol.at(replica).sync(token), room_id)
            assert folded(section) == current
            events = section["timeline"]["events"]
            assert [events[0]["event_id"], events[1]["event_id"], events[-1]["event_id"]] == [
                seen,
                closed,
                after,
            ]
            assert [event["unsigned"]["membership"] for event in events] == ["leave", "leave", "join", "join"]
            assert section["timeline"]["limited"] is True
    page = await carol.get(
        f"{carol.room(room_id)}/messages", **{"from": section["timeline"]["prev_batch"], "dir": "b"}, limit=1
    )
    [before] = page.ok()["chunk"]
    assert (before["type"], before["state_key"]) == (MEMBER, bob.user_id)


# --- gaps


@pytest.mark.parametrize("whole", [False, True])
async def test_a_room_that_was_left_and_joined_again_has_a_gap(
    building: Building, alice: SyncPerson, bob: SyncPerson, whole: bool
) -> None:
    """Whether or not the full state is asked for, also where the user was not told yet that they had left."""
    way: dict[str, Any] = {"full_state": "true"} if whole else {}
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    staying = await bob.now()
    assert await bob.act(room_id, "leave") == 200
    away = await bob.now()
    for number in range(3):
        await alice.send(room_id, f"gap {number}")
    await bob.join(room_id)
    last = await alice.send(room_id, "after")
    await bob.hear()
    answer = await bob.sync()
    for replica in (building.replicas[0], await building.replica()):
        for since in (staying, away):
            section = joined(await bob.at(replica).sync(since, **way), room_id)
            assert ids(section) == ids(joined(answer, room_id)) and ids(section)[-1] == last
            assert section["timeline"]["limited"] is True
    later = await bob.sync(answer["next_batch"], full_state="true")
    assert joined(later, room_id)["timeline"]["limited"] is False


@pytest.mark.parametrize("after", [False, True])
async def test_who_is_back_is_told_how_members_have_changed_meanwhile(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson, after: bool
) -> None:
    """ "The server MUST return membership events for events in the gap", also with lazy-loading."""
    part = "state_after" if after else "state"
    way: dict[str, Any] = {"filter": wanting(LAZY, {"limit": 2})}
    if after:
        way["use_state_after"] = "true"
    room_id = await alice.create_room(preset="public_chat")
    for person in (bob, carol):
        await person.join(room_id)
    await bob.hear()
    since = await bob.now()
    assert await alice.act(room_id, "kick", bob.user_id) == 200
    assert await carol.act(room_id, "leave") == 200
    await bob.hear()
    away = await bob.now()
    await bob.join(room_id)
    for number in range(3):
        await alice.send(room_id, str(number))
    await bob.hear()
    here = [(person.user_id, "join") for person in (alice, bob)]
    for replica in (building.replicas[0], await building.replica()):
        await bob.at(replica).hear()
        for full in ({}, {"full_state": "true"}):
            section = joined(await bob.at(replica).sync(since, **way, **full), room_id)
            assert section["timeline"]["limited"] is True
            assert members(section, part) == sorted([*here, (carol.user_id, "leave")])
            # Of what has changed before they had the room, and was over then, there is nothing to tell.
            assert members(joined(await bob.at(replica).sync(away, **way, **full), room_id), part) == sorted(
                here
            )


@pytest.mark.parametrize("after", [False, True])
async def test_the_full_state_tells_a_lazy_device_which_members_have_changed(
    building: Building, alice: SyncPerson, bob: SyncPerson, carol: SyncPerson, after: bool
) -> None:
    part = "state_after" if after else "state"
    room_id = await alice.create_room(preset="public_chat")
    for person in (bob, carol):
        await person.join(room_id)
    await bob.hear()
    since = await bob.now()
    assert await alice.act(room_id, "kick", carol.user_id) == 200
    for number in range(2):
        await alice.send(room_id, str(number))
    await bob.hear()
    changed = (carol.user_id, "leave")
    for limit, is_gap in ((2, True), (20, False)):
        way: dict[str, Any] = {"filter": wanting(LAZY, {"limit": limit}), "full_state": "true"}
        if after:
            way["use_state_after"] = "true"
        section = joined(await bob.sync(since, **way), room_id)
        assert section["timeline"]["limited"] is is_gap
        # What the timeline shows is the state after it, but not before.
        assert (changed in members(section, part)) is (after or is_gap)
        lean: Json = wanting(LAZY | {"types": ["m.room.name"]}, {"limit": limit})
        assert members(joined(await bob.sync(since, **way | {"filter": lean}), room_id), part) == []

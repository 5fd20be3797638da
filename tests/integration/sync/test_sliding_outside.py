"""What sliding sync tells of rooms that the user is not in any more, or not yet.

MSC4186: "The server MUST NOT send any room information down that the user does not have permission to see."
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.sync.building import SyncPerson
from tests.integration.sync.test_ignoring import ignore, set_data
from tests.integration.sync.test_sliding import ALL, LITTLE, bodies, slide, slide_unstable, state, top
from tests.support.http import Json

pytestmark = pytest.mark.asyncio(loop_scope="module")

MINE: Json = {"timeline_limit": 5, "required_state": [["m.room.member", "$ME"], ["m.room.name", ""]]}


async def in_lists(person: SyncPerson, **filters: Any) -> int:
    """How many rooms a list with these filters has, in the unstable form."""
    lists = {"all": {**MINE, "ranges": [[0, 9]], "filters": filters}}
    count: int = (await slide_unstable(person, lists=lists))["lists"]["all"]["count"]
    return count


async def two(alice: SyncPerson, bob: SyncPerson, **body: Any) -> str:
    room_id = await alice.create_room(preset="public_chat", **body)
    await bob.join(room_id)
    return room_id


def own(room: Json, person: SyncPerson) -> str:
    """The membership by the member event among the required state."""
    [found] = [e for e in room["required_state"] if e["state_key"] == person.user_id]
    return str(found["content"]["membership"])


async def test_filters_judge_a_room_that_was_left_by_what_it_was(alice: SyncPerson, bob: SyncPerson) -> None:
    """By the counts of lists one could guess the name letter by letter."""
    room_id = await two(alice, bob, name="Garden")
    assert await alice.act(room_id, "kick", bob.user_id) == 200
    await alice.set_state(room_id, "m.room.name", {"name": "Merger"})
    await alice.set_state(room_id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    assert await in_lists(bob, room_name_like="merg") == 0
    assert await in_lists(bob, room_name_like="gard") == 1
    assert await in_lists(bob, is_encrypted=True) == 0
    assert (await slide(bob, lists=top(9, is_encrypted=True)))["lists"]["all"]["count"] == 0
    # To who was banned later it is as it was when they were kicked.
    assert await alice.act(room_id, "ban", bob.user_id) == 200
    assert await in_lists(bob, room_name_like="merg") == 0
    assert await in_lists(alice, room_name_like="merg") == 1


async def test_filters_judge_an_invite_by_what_it_says(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(name="Garden", invite=[bob.user_id])
    await alice.set_state(room_id, "m.room.name", {"name": "Merger"})
    await bob.hear()
    assert await in_lists(bob, room_name_like="merg") == 0
    assert await in_lists(bob, room_name_like="gard") == 1


async def test_a_room_that_was_named_after_one_left_has_heroes(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await two(alice, bob)
    assert await alice.act(room_id, "kick", bob.user_id) == 200
    await alice.set_state(room_id, "m.room.name", {"name": "Merger"})
    room = (await slide(bob, lists=top(9)))["rooms"][room_id]
    assert room["name"] is None if "name" in room else True
    assert [hero["user_id"] for hero in room["heroes"]] == [alice.user_id]


async def test_more_wishes_tell_nothing_that_came_after_one_left(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    room_id = await two(alice, bob, name="Garden")
    pos = (await slide(bob, lists=top(9)))["pos"]
    assert await alice.act(room_id, "kick", bob.user_id) == 200
    pos = (await slide(bob, pos, lists=top(9)))["pos"]
    await alice.set_state(room_id, "org.secret", {"x": 1}, "hidden")
    await alice.set_state(room_id, "m.room.name", {"name": "Merger"})
    await carol.join(room_id)
    wide = {"required_state": {"include": [{}]}, "timeline_limit": 20}
    for config in ({**wide, "timeline_limit": 1}, wide):
        answer = await slide(bob, pos, lists=top(9, config))
        pos = answer["pos"]
        told = answer["rooms"][room_id]
        everything = str(told)
        assert ("m.room.create", "") in state(told) or "m.room.create" in everything
        for secret in ("org.secret", "hidden", "Merger", carol.user_id):
            assert secret not in everything


async def test_who_came_in_and_left_between_two_tellings_is_told_anew(
    alice: SyncPerson, bob: SyncPerson
) -> None:
    """Otherwise what changed before they came would be lost to them without a sign."""
    room_id = await two(alice, bob, name="Garden")
    pos = (await slide(bob, lists=top(9, ALL)))["pos"]
    assert await bob.act(room_id, "leave") == 200
    pos = (await slide(bob, pos, lists=top(9, ALL)))["pos"]
    await alice.set_state(room_id, "m.room.name", {"name": "Park"})
    await alice.send(room_id, "meanwhile")
    await bob.hear()
    answer = await slide(bob, pos, lists=top(9, ALL))
    assert answer["rooms"] == {}
    await bob.join(room_id)
    await alice.send(room_id, "seen")
    assert await bob.act(room_id, "leave") == 200
    room = (await slide(bob, answer["pos"], lists=top(9, ALL)))["rooms"][room_id]
    assert (room["initial"], room["name"], room["membership"]) == (True, "Park", "leave")
    assert "seen" in bodies(room)


async def test_who_was_invited_came_and_left_is_told_the_room(alice: SyncPerson, bob: SyncPerson) -> None:
    room_id = await alice.create_room(name="Garden", invite=[bob.user_id])
    await bob.hear()
    first = await slide(bob, lists=top(9, ALL))
    assert first["rooms"][room_id]["membership"] == "invite"
    await bob.join(room_id)
    assert await bob.act(room_id, "leave") == 200
    room = (await slide(bob, first["pos"], lists=top(9, ALL)))["rooms"][room_id]
    assert (room["initial"], room["name"], room["membership"]) == (True, "Garden", "leave")
    assert ("m.room.create", "") in state(room)


@pytest.mark.parametrize("after", ["ban", "unban", "decline"])
async def test_what_became_of_who_had_left(alice: SyncPerson, bob: SyncPerson, after: str) -> None:
    """Clients of the unstable form know by the member event alone what the user's membership is."""
    unstable: Json = {"conn_id": "u", "lists": {"all": {**MINE, "ranges": [[0, 9]]}}}
    me = {"include": [{"type": "m.room.member", "state_key": bob.user_id}]}
    stable = top(9, {"required_state": me, "timeline_limit": 5})
    room_id = await two(alice, bob, name="Garden")
    first, stable_first = await slide_unstable(bob, **unstable), await slide(bob, lists=stable)
    assert await alice.act(room_id, "kick", bob.user_id) == 200
    second = await slide_unstable(bob, first["pos"], **unstable)
    stable_second = await slide(bob, stable_first["pos"], lists=stable)
    assert own(second["rooms"][room_id], bob) == "leave"
    await alice.set_state(room_id, "m.room.name", {"name": "Merger"})
    if after == "decline":
        assert await alice.act(room_id, "invite", bob.user_id) == 200
        assert await bob.act(room_id, "leave") == 200
    else:
        assert await alice.act(room_id, "ban", bob.user_id) == 200
    if after == "unban":
        assert await alice.act(room_id, "unban", bob.user_id) == 200
    await bob.hear()
    expected = "ban" if after == "ban" else "leave"
    third = await slide_unstable(bob, second["pos"], **unstable)
    fresh = await slide_unstable(bob, **{**unstable, "conn_id": "fresh"})
    stable_third = await slide(bob, stable_second["pos"], lists=stable)
    newest = await alice.state(room_id, "m.room.member", bob.user_id)
    for answer in (third, stable_third, *([fresh] if room_id in fresh["rooms"] else [])):
        room = answer["rooms"][room_id]
        assert own(room, bob) == expected
        [event] = [e for e in room["required_state"] if e["state_key"] == bob.user_id]
        assert event["content"] == newest
        assert "Merger" not in str(room)
    assert stable_third["rooms"][room_id]["membership"] == expected
    # More wishes do not bring back what was when they left.
    wider = {"all": {**MINE, "required_state": [["*", "*"]], "ranges": [[0, 9]]}}
    fourth = await slide_unstable(bob, third["pos"], conn_id="u", lists=wider)
    assert own(fourth["rooms"][room_id], bob) == expected


async def test_invites_that_are_not_wanted_are_not_there(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    """ "Existing events already in the database MUST NOT be served over client synchronisation endpoints such
    as `/v3/sync` or `/v4/sync`" (MSC4380); nor those of ignored users.
    """
    hidden = await bob.create_room(name="Bob's", invite=[alice.user_id])
    shown = await carol.create_room(name="Carol's", invite=[alice.user_id])
    subscriptions = {hidden: LITTLE, shown: LITTLE}
    await ignore(alice, bob)
    await alice.hear()
    answer = await slide(alice, lists=top(9), room_subscriptions=subscriptions)
    assert (set(answer["rooms"]), answer["lists"]["all"]["count"]) == ({shown}, 1)
    assert await in_lists(alice, is_invite=True) == 1
    await set_data(alice, "m.invite_permission_config", {"default_action": "block"})
    await alice.hear()
    for answer in (
        await slide(alice, lists=top(9), room_subscriptions=subscriptions),
        await slide_unstable(alice, lists={"all": {**MINE, "ranges": [[0, 9]]}}),
    ):
        assert (answer["rooms"], answer["lists"]["all"]["count"]) == ({}, 0)


async def test_receipts_of_a_room_told_anew_are_of_what_is_shown(
    alice: SyncPerson, bob: SyncPerson, carol: SyncPerson
) -> None:
    """ "On initial sync, receipts MUST only be returned for events sent in the `timeline` section", and those
    "sent by the client" (MSC3960).
    """
    room_id = await two(alice, bob)
    await carol.join(room_id)
    events = [await alice.send(room_id, str(number)) for number in range(4)]
    for person, event_id in ((alice, events[0]), (bob, events[1]), (carol, events[3])):
        (await person.post(f"{person.room(room_id)}/receipt/m.read/{event_id}", {})).ok()
    await alice.hear()
    wanted: Json = {"receipts": {"enabled": True}}
    answer = await slide(alice, lists=top(9), extensions=wanted)
    content = answer["extensions"]["receipts"]["rooms"][room_id]["content"]
    assert {event: set(kinds["m.read"]) for event, kinds in content.items()} == {
        events[0]: {alice.user_id},
        events[3]: {carol.user_id},
    }
    # Later all that come.
    (await bob.post(f"{bob.room(room_id)}/receipt/m.read/{events[2]}", {})).ok()
    await alice.hear()
    later = await slide(alice, answer["pos"], lists=top(9), extensions=wanted)
    assert set(later["extensions"]["receipts"]["rooms"][room_id]["content"]) == {events[2]}


async def test_a_gap_ends_what_a_client_has_of_members_whatever_it_asks_for(
    alice: SyncPerson, bob: SyncPerson
) -> None:
    room_id = await two(alice, bob)
    lazy = {"required_state": {"lazy_members": True}, "timeline_limit": 2}
    await bob.send(room_id, "first")
    first = await slide(alice, lists=top(9, lazy))
    assert ("m.room.member", bob.user_id) in state(first["rooms"][room_id])
    await set_name(bob, "Robert")
    for number in range(4):
        await alice.send(room_id, str(number))
    await alice.hear()
    second = await slide(alice, first["pos"], lists=top(9, {**LITTLE, "timeline_limit": 2}))
    assert second["rooms"][room_id]["limited"] is True
    await bob.send(room_id, "again")
    await alice.hear()
    third = await slide(alice, second["pos"], lists=top(9, lazy))
    assert ("m.room.member", bob.user_id) in state(third["rooms"][room_id])


async def set_name(person: SyncPerson, name: str) -> None:
    path = f"/_matrix/client/v3/profile/{person.user_id}/displayname"
    (await person.put(path, {"displayname": name})).ok()


async def test_a_name_that_was_redacted(alice: SyncPerson, bob: SyncPerson) -> None:
    """ "Heroes are only included if the room name is not set"."""
    room_id = await two(alice, bob)
    named = await alice.set_state(room_id, "m.room.name", {"name": "Garden"})
    first = await slide(bob, lists=top(9))
    assert first["rooms"][room_id]["name"] == "Garden"
    (await alice.put(f"{alice.room(room_id)}/redact/{named}/1", {})).ok()
    await bob.hear()
    room = (await slide(bob, first["pos"], lists=top(9)))["rooms"][room_id]
    assert (room["name"], [hero["user_id"] for hero in room["heroes"]]) == (None, [alice.user_id])

"""Two users' stories in the spec's words, in every room version."""

from typing import Any

import pytest

from tests.support.house import V3, House, Person
from tests.support.http import seg

pytestmark = pytest.mark.asyncio(loop_scope="module")
versions = pytest.mark.parametrize("version", ["10", "11", "12"])


@versions
async def test_a_conversation(alice: Person, bob: Person, version: str) -> None:
    """Alice invites Bob to her new room; they speak, he reads back, she redacts, he leaves."""
    room_id = await alice.create_room(room_version=version, name="Tea", invite=[bob.user_id], is_direct=True)
    room = alice.room(room_id)
    assert (await alice.state(room_id, "m.room.create"))["room_version"] == version

    # "Only users currently in a particular room" may read it; Bob is only invited.
    assert (await bob.get(f"{room}/messages", dir="b")).error() == (403, "M_FORBIDDEN")
    assert (await bob.put(f"{room}/send/m.room.message/1", {})).error() == (403, "M_FORBIDDEN")
    assert room_id not in (await bob.get(f"{V3}/joined_rooms")).ok()["joined_rooms"]

    joined = await bob.post(f"{V3}/join/{seg(room_id)}", {})
    assert joined.ok() == {"room_id": room_id}
    assert (await bob.get(f"{V3}/joined_rooms")).ok() == {"joined_rooms": [room_id]}
    members = (await bob.get(f"{room}/joined_members")).ok()["joined"]
    assert set(members) == {alice.user_id, bob.user_id}

    first = await alice.send(room_id, "Milk?")
    second = await bob.send(room_id, "Lemon.")
    third = await alice.send(room_id, "Pity.")

    # "paginate backwards": newest first, and on until there is no `end`.
    page = (await bob.get(f"{room}/messages", dir="b", limit=2)).ok()
    assert [event["event_id"] for event in page["chunk"]] == [third, second]
    rest: list[dict[str, Any]] = []
    while "end" in page:
        page = (await bob.get(f"{room}/messages", dir="b", limit=4, **{"from": page["end"]})).ok()
        rest += page["chunk"]
    assert rest[0]["event_id"] == first
    # Bob was invited and history is shared: he sees everything back to the beginning.
    assert rest[-1]["type"] == "m.room.create"
    # "The room membership of the user making the request, at the time of the event."
    assert rest[-1]["unsigned"].get("membership") in (None, "leave")
    assert rest[0]["unsigned"]["membership"] == "join"
    forwards = (await bob.get(f"{room}/messages", dir="f", limit=100)).ok()["chunk"]
    assert [event["event_id"] for event in forwards] == [
        event["event_id"] for event in reversed([*({"event_id": e} for e in (third, second)), *rest])
    ]

    redaction = (await alice.put(f"{room}/redact/{seg(third)}/r1", {"reason": "rude"})).ok()["event_id"]
    gone = (await bob.get(f"{room}/event/{seg(third)}")).ok()
    assert gone["content"] == {}
    assert gone["unsigned"]["membership"] == "join"
    because = gone["unsigned"]["redacted_because"]
    assert (because["event_id"], because["content"]["reason"]) == (redaction, "rude")
    shown = (await bob.get(f"{room}/event/{seg(redaction)}")).ok()
    # Clients find the target in both places, whatever the room version keeps.
    assert third in (shown.get("redacts"), shown["content"].get("redacts"))

    (await bob.post(f"{room}/leave", {"reason": "late"})).ok()
    after = await alice.send(room_id, "Bye.")
    assert (await bob.get(f"{room}/event/{seg(after)}")).error() == (404, "M_NOT_FOUND")
    # "the user will still be allowed to retrieve history ... which they were previously allowed to see"
    assert (await bob.get(f"{room}/event/{seg(second)}")).ok()["content"]["body"] == "Lemon."
    assert (await bob.get(f"{V3}/joined_rooms")).ok() == {"joined_rooms": []}
    own = await bob.state(room_id, "m.room.member", bob.user_id)
    assert (own["membership"], own["reason"]) == ("leave", "late")

    (await bob.post(f"{room}/forget")).ok()
    assert (await bob.get(f"{room}/messages", dir="b")).error() == (403, "M_FORBIDDEN")


@versions
async def test_moderation(alice: Person, bob: Person, carol: Person, version: str) -> None:
    """Alice kicks, bans and unbans Bob; Carol may not."""
    room_id = await alice.create_room(room_version=version, preset="public_chat")
    room = alice.room(room_id)
    await bob.join(room_id)
    await carol.join(room_id)
    target = {"user_id": bob.user_id, "reason": "jokes"}

    for verb in ("kick", "ban"):
        assert (await carol.post(f"{room}/{verb}", target)).error() == (403, "M_FORBIDDEN")
    (await alice.post(f"{room}/kick", target)).ok()
    kicked = await alice.state(room_id, "m.room.member", bob.user_id)
    assert kicked == {"membership": "leave", "reason": "jokes"}
    # "the kickee is not currently in the room"
    assert (await alice.post(f"{room}/kick", target)).error() == (403, "M_FORBIDDEN")
    # "the user is free to re-join if the room is not invite-only"
    await bob.join(room_id)

    (await alice.post(f"{room}/ban", target)).ok()
    assert (await bob.post(f"{room}/join")).error() == (403, "M_FORBIDDEN")
    assert (await alice.post(f"{room}/invite", target)).error() == (403, "M_FORBIDDEN")
    # A kick never lifts a ban.
    assert (await alice.post(f"{room}/kick", target)).error() == (403, "M_FORBIDDEN")
    assert (await alice.state(room_id, "m.room.member", bob.user_id))["membership"] == "ban"
    assert (await carol.post(f"{room}/unban", target)).error() == (403, "M_FORBIDDEN")
    (await alice.post(f"{room}/unban", target)).ok()
    assert (await alice.post(f"{room}/unban", target)).error() == (403, "M_BAD_STATE")
    await bob.join(room_id)


@versions
async def test_knocking(alice: Person, bob: Person, version: str) -> None:
    """Bob knocks, Alice lets him in."""
    room_id = await alice.create_room(
        room_version=version,
        initial_state=[{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}],
    )
    assert (await bob.post(f"{bob.room(room_id)}/join")).error() == (403, "M_FORBIDDEN")
    knocked = await bob.post(f"{V3}/knock/{seg(room_id)}", {"reason": "please"})
    assert knocked.ok() == {"room_id": room_id}
    assert (await alice.state(room_id, "m.room.member", bob.user_id)) == {
        "membership": "knock",
        "reason": "please",
    }
    (await alice.post(f"{alice.room(room_id)}/invite", {"user_id": bob.user_id})).ok()
    # "Users who are ... already invited ... cannot knock"
    assert (await bob.post(f"{V3}/knock/{seg(room_id)}")).error() == (403, "M_FORBIDDEN")
    await bob.join(room_id)


@versions
async def test_a_restricted_room(alice: Person, bob: Person, carol: Person, version: str) -> None:
    """ "the server MUST verify that the requesting user meets at least one of the conditions"."""
    club = await alice.create_room(preset="public_chat")
    rules = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": club}]}
    room_id = await alice.create_room(
        room_version=version, initial_state=[{"type": "m.room.join_rules", "content": rules}]
    )
    await bob.join(club)
    await bob.join(room_id)
    member = await alice.state(room_id, "m.room.member", bob.user_id)
    assert member == {"membership": "join", "join_authorised_via_users_server": alice.user_id}
    assert (await carol.post(f"{carol.room(room_id)}/join")).error() == (403, "M_FORBIDDEN")
    # Nobody names a voucher for themselves: the signature of the server is the proof.
    own = f"{carol.room(room_id)}/state/m.room.member/{seg(carol.user_id)}"
    assert (await carol.put(own, member)).error() == (403, "M_FORBIDDEN")
    (await alice.post(f"{alice.room(room_id)}/invite", {"user_id": carol.user_id})).ok()
    await carol.join(room_id)


async def test_invites_and_joins_carry_the_profile(house: House, alice: Person, bob: Person) -> None:
    await house.users.set_profile_field(bob.user_id, "displayname", "Bob B.")
    room_id = await alice.create_room(invite=[bob.user_id], is_direct=True)
    invite = await alice.state(room_id, "m.room.member", bob.user_id)
    assert invite == {"membership": "invite", "displayname": "Bob B.", "is_direct": True}
    await bob.join(room_id)
    assert await alice.state(room_id, "m.room.member", bob.user_id) == {
        "membership": "join",
        "displayname": "Bob B.",
    }
    joined = (await alice.get(f"{alice.room(room_id)}/joined_members")).ok()["joined"]
    assert joined == {alice.user_id: {}, bob.user_id: {"display_name": "Bob B."}}


async def test_leaving_and_joining_twice_changes_nothing(house: House, alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(preset="public_chat")
    await bob.join(room_id)
    before = await house.written()
    await bob.join(room_id)
    assert await house.written() == before
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    before = await house.written()
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    assert await house.written() == before


async def test_rejecting_an_invite(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(invite=[bob.user_id])
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    assert (await bob.post(f"{bob.room(room_id)}/join")).error() == (403, "M_FORBIDDEN")


async def test_only_who_has_left_can_forget(alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(invite=[bob.user_id])
    for person in (alice, bob):
        assert (await person.post(f"{person.room(room_id)}/forget")).error() == (400, "M_UNKNOWN")

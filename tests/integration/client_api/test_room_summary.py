"""Room summaries: who is told of a room, and what."""

from typing import Any

import pytest

from tests.support.house import SERVER, V3, House, Person
from tests.support.http import Answer, AsgiClient, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ask(client: AsgiClient, room: str) -> Answer:
    return await client.get(f"/_matrix/client/v1/room_summary/{seg(room)}", via="elsewhere.example.org")


def state(event_type: str, **content: Any) -> dict[str, Any]:
    return {"type": event_type, "state_key": "", "content": content}


def rule(join_rule: str, *allowed: str) -> dict[str, Any]:
    allow = [{"type": "m.room_membership", "room_id": room_id} for room_id in allowed]
    return state("m.room.join_rules", join_rule=join_rule, **({"allow": allow} if allow else {}))


async def test_a_summary_of_everything(house: House, alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(
        preset="public_chat",
        room_version="11",
        name="CHEESE",
        topic="Tasty tasty cheese",
        room_alias_name="cheese",
        creation_content={"type": "m.space"},
        initial_state=[
            state("m.room.avatar", url=f"mxc://{SERVER}/CHEDDARandBRIE"),
            state("m.room.encryption", algorithm="m.megolm.v1.aes-sha2"),
            state("m.room.history_visibility", history_visibility="world_readable"),
            state("m.room.guest_access", guest_access="can_join"),
        ],
    )
    told = {
        "room_id": room_id,
        "name": "CHEESE",
        "topic": "Tasty tasty cheese",
        "canonical_alias": f"#cheese:{SERVER}",
        "avatar_url": f"mxc://{SERVER}/CHEDDARandBRIE",
        "room_type": "m.space",
        "encryption": "m.megolm.v1.aes-sha2",
        "room_version": "11",
        "join_rule": "public",
        "world_readable": True,
        "guest_can_join": True,
        "num_joined_members": 1,
    }
    # "Absent if the API was called unauthenticated."
    assert (await ask(house.client(), room_id)).ok() == told
    assert (await ask(bob, f"#cheese:{SERVER}")).ok() == {**told, "membership": "leave"}
    await bob.join(room_id)
    assert (await ask(bob, room_id)).ok() == {**told, "num_joined_members": 2, "membership": "join"}


async def test_what_cannot_be_shown_is_left_out(alice: Person) -> None:
    odd = [state("m.room.avatar", url="https://example.org/a.png"), state("m.room.topic", topic=["x"])]
    room_id = await alice.create_room(initial_state=odd)
    assert (await ask(alice, room_id)).ok() == {
        "room_id": room_id,
        "room_version": "12",
        "join_rule": "invite",
        "world_readable": False,
        "guest_can_join": True,
        "num_joined_members": 1,
        "membership": "join",
    }


@pytest.mark.parametrize("join_rule", ["public", "knock"])
async def test_rooms_that_anybody_may_join_or_knock_at(
    house: House, alice: Person, bob: Person, join_rule: str
) -> None:
    room_id = await alice.create_room(initial_state=[rule(join_rule)])
    assert (await ask(house.client(), room_id)).ok()["join_rule"] == join_rule
    assert (await ask(bob, room_id)).ok()["membership"] == "leave"
    (await alice.post(f"{alice.room(room_id)}/ban", {"user_id": bob.user_id})).ok()
    assert (await ask(bob, room_id)).error() == (404, "M_NOT_FOUND")


async def test_a_knock_rule_counts_only_where_the_version_has_it(
    house: House, alice: Person, bob: Person
) -> None:
    """ "In a room version that supports those settings." """
    room_id = await alice.create_room(room_version="6", initial_state=[rule("knock")])
    assert (await ask(bob, room_id)).error() == (404, "M_NOT_FOUND")
    assert (await ask(alice, room_id)).ok()["join_rule"] == "knock"


async def test_a_room_by_invitation(house: House, alice: Person, bob: Person) -> None:
    room_id = await alice.create_room()
    # Nobody learns that it is there.
    assert (await ask(bob, room_id)).error() == (404, "M_NOT_FOUND")
    assert (await ask(house.client(), room_id)).error() == (404, "M_NOT_FOUND")
    (await alice.post(f"{alice.room(room_id)}/invite", {"user_id": bob.user_id})).ok()
    assert (await ask(bob, room_id)).ok()["membership"] == "invite"
    (await bob.post(f"{bob.room(room_id)}/leave")).ok()
    assert (await ask(bob, room_id)).error() == (404, "M_NOT_FOUND")
    visibility = {"history_visibility": "world_readable"}
    (await alice.put(f"{alice.room(room_id)}/state/m.room.history_visibility/", visibility)).ok()
    assert (await ask(bob, room_id)).ok()["membership"] == "leave"
    assert (await ask(house.client(), room_id)).ok()["world_readable"] is True


@pytest.mark.parametrize("join_rule", ["restricted", "knock_restricted"])
async def test_a_restricted_room(house: House, alice: Person, bob: Person, join_rule: str) -> None:
    lobby = await alice.create_room(preset="public_chat")
    room_id = await alice.create_room(initial_state=[rule(join_rule, lobby)])
    is_knockable = join_rule == "knock_restricted"
    assert (await ask(bob, room_id)).status == (200 if is_knockable else 404)
    assert (await ask(house.client(), room_id)).status == (200 if is_knockable else 404)
    await bob.join(lobby)
    told = (await ask(bob, room_id)).ok()
    assert (told["join_rule"], told["allowed_room_ids"]) == (join_rule, [lobby])


async def test_rooms_that_are_not_here(house: House, alice: Person) -> None:
    assert (await ask(alice, "!a:elsewhere.example.org")).error() == (404, "M_NOT_FOUND")
    assert (await ask(alice, f"#nobody-made-this:{SERVER}")).error() == (404, "M_NOT_FOUND")
    assert (await ask(alice, "nothing")).error() == (400, "M_INVALID_PARAM")
    assert (await ask(house.client("nobody's"), "!a:b")).error() == (401, "M_UNKNOWN_TOKEN")
    assert (await alice.get(f"{V3}/room_summary/{seg('!a:b')}")).error() == (404, "M_UNRECOGNIZED")

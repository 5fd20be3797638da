"""createRoom: the order of the state, and all or nothing."""

from typing import Any

import pytest
from plexus.protocol import ROOM_VERSIONS

from tests.support.house import SERVER, V3, House, Person
from tests.support.http import seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("version", ROOM_VERSIONS)
async def test_the_events_stand_in_the_spec_s_order(alice: Person, bob: Person, version: str) -> None:
    room_id = await alice.create_room(
        room_version=version,
        preset="public_chat",
        visibility="public",
        room_alias_name=f"order{version}",
        name="N",
        topic="T",
        invite=[bob.user_id],
        initial_state=[{"type": "org.example", "content": {"a": [1, None, {"b": "é"}]}, "state_key": "k"}],
    )
    events = (await alice.get(f"{alice.room(room_id)}/messages", dir="f", limit=50)).ok()["chunk"]
    assert [(event["type"], event["state_key"]) for event in events] == [
        ("m.room.create", ""),
        ("m.room.member", alice.user_id),
        ("m.room.power_levels", ""),
        ("m.room.canonical_alias", ""),
        ("m.room.join_rules", ""),
        ("m.room.history_visibility", ""),
        ("m.room.guest_access", ""),
        ("org.example", "k"),
        ("m.room.name", ""),
        ("m.room.topic", ""),
        ("m.room.member", bob.user_id),
    ]
    assert all(event["room_id"] == room_id and event["sender"] == alice.user_id for event in events)
    levels = events[2]["content"]
    assert levels["users"] == ({} if version == "12" else {alice.user_id: 100})
    alias = f"#order{version}:{SERVER}"
    assert events[3]["content"] == {"alias": alias}
    found = (await bob.get(f"{V3}/directory/room/{seg(alias)}")).ok()
    assert found == {"room_id": room_id, "servers": [SERVER]}
    listed = (await bob.get(f"{V3}/directory/list/room/{seg(room_id)}")).ok()
    assert listed == {"visibility": "public"}


async def test_a_room_of_nothing_but_defaults(alice: Person, house: House) -> None:
    room_id = await alice.create_room()
    created = await alice.state(room_id, "m.room.create")
    assert created["room_version"] == house.platform.settings.rooms.default_version
    assert (await alice.state(room_id, "m.room.join_rules"))["join_rule"] == "invite"
    listed = (await alice.get(f"{V3}/directory/list/room/{seg(room_id)}")).ok()
    assert listed == {"visibility": "private"}


@pytest.mark.parametrize("version", ["11", "12"])
async def test_a_trusted_chat_gives_invitees_the_creator_s_power(
    alice: Person, bob: Person, version: str
) -> None:
    room_id = await alice.create_room(
        room_version=version, preset="trusted_private_chat", invite=[bob.user_id]
    )
    await bob.join(room_id)
    power = {**(await bob.state(room_id, "m.room.power_levels")), "ban": 60}
    (await bob.put(f"{bob.room(room_id)}/state/m.room.power_levels", power)).ok()


async def test_the_creator_is_not_invited_to_their_own_room(alice: Person) -> None:
    room_id = await alice.create_room(invite=[alice.user_id])
    assert (await alice.state(room_id, "m.room.member", alice.user_id))["membership"] == "join"


BAD: list[tuple[Any, int, str]] = [
    (b"{", 400, "M_NOT_JSON"),
    (b"[]", 400, "M_BAD_JSON"),
    (b'"\xff"', 400, "M_NOT_JSON"),
    (b'{"creation_content":' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}", 400, "M_BAD_JSON"),
    ({"name": 1}, 400, "M_BAD_JSON"),
    ({"topic": []}, 400, "M_BAD_JSON"),
    (b'{"name":"\\ud800"}', 400, "M_NOT_JSON"),
    ({"visibility": "secret"}, 400, "M_BAD_JSON"),
    ({"preset": "party"}, 400, "M_BAD_JSON"),
    ({"is_direct": "yes"}, 400, "M_BAD_JSON"),
    ({"room_version": 12}, 400, "M_BAD_JSON"),
    ({"room_version": "13"}, 400, "M_UNSUPPORTED_ROOM_VERSION"),
    ({"room_version": "org.example"}, 400, "M_UNSUPPORTED_ROOM_VERSION"),
    ({"invite": "@a:b"}, 400, "M_BAD_JSON"),
    ({"invite": ["bob"]}, 400, "M_INVALID_PARAM"),
    ({"invite": ["@bob:elsewhere.org"]}, 403, "M_FORBIDDEN"),
    ({"invite_3pid": [{"medium": "email", "address": "a@b"}]}, 400, "M_MISSING_PARAM"),
    ({"room_alias_name": "a:b"}, 400, "M_INVALID_PARAM"),
    ({"room_alias_name": "a b"}, 400, "M_INVALID_PARAM"),
    ({"room_alias_name": ""}, 400, "M_INVALID_PARAM"),
    ({"room_alias_name": "a" * 300}, 400, "M_INVALID_PARAM"),
    ({"room_alias_name": "a\0b"}, 400, "M_INVALID_PARAM"),
    ({"creation_content": {"m.federate": 1}}, 400, "M_BAD_JSON"),
    ({"creation_content": {"x": 1.5}}, 400, "M_BAD_JSON"),
    ({"room_version": "12", "creation_content": {"additional_creators": ["x"]}}, 400, "M_BAD_JSON"),
    ({"initial_state": [{"type": "org.x"}]}, 400, "M_MISSING_PARAM"),
    ({"initial_state": [{"type": "org.x", "content": 1}]}, 400, "M_BAD_JSON"),
    ({"initial_state": [{"type": "", "content": {}}]}, 400, "M_BAD_JSON"),
    ({"initial_state": [{"type": "org.x", "content": {"a": 2**53}}]}, 400, "M_BAD_JSON"),
    ({"initial_state": [{"type": "org.x", "content": {"a": 0.1}}]}, 400, "M_BAD_JSON"),
    ({"initial_state": [{"type": "org.x", "content": {"a": "x" * 70_000}}]}, 413, "M_TOO_LARGE"),
    ({"initial_state": [{"type": "o" * 256, "content": {}}]}, 413, "M_TOO_LARGE"),
    ({"initial_state": [{"type": "m.room.create", "content": {}}]}, 400, "M_INVALID_ROOM_STATE"),
    (
        {"initial_state": [{"type": "org.x", "content": {}, "state_key": "@somebody:else.org"}]},
        400,
        "M_INVALID_ROOM_STATE",
    ),
    ({"power_level_content_override": {"users": {"x": 1}}}, 400, "M_INVALID_ROOM_STATE"),
    ({"power_level_content_override": {"ban": "50"}}, 400, "M_INVALID_ROOM_STATE"),
    ({"power_level_content_override": {"ban": 1.5}}, 400, "M_BAD_JSON"),
    (
        {
            "room_version": "11",
            "name": "N",
            "power_level_content_override": {"users": {}, "users_default": 0},
        },
        400,
        "M_INVALID_ROOM_STATE",
    ),
]


@pytest.mark.parametrize(("body", "status", "errcode"), BAD)
async def test_what_is_wrong_is_said_and_nothing_is_written(
    house: House, alice: Person, body: Any, status: int, errcode: str
) -> None:
    if isinstance(body, dict):
        body = {"room_alias_name": "wanted", "visibility": "public", **body}
    before = await house.written()
    answer = await alice.request("POST", f"{V3}/createRoom", body)
    assert (answer.status, answer.errcode) == (status, errcode), answer.body
    assert await house.written() == before
    # The alias was not kept by a room that does not exist.
    assert (await alice.get(f"{V3}/directory/room/{seg(f'#wanted:{SERVER}')}")).status == 404


async def test_a_taken_alias_makes_no_room(house: House, alice: Person, bob: Person) -> None:
    room_id = await alice.create_room(room_alias_name="taken")
    before = await house.written()
    answer = await bob.post(f"{V3}/createRoom", {"room_alias_name": "taken"})
    assert answer.error() == (400, "M_ROOM_IN_USE")
    assert await house.written() == before
    found = (await bob.get(f"{V3}/directory/room/{seg(f'#taken:{SERVER}')}")).ok()
    assert found["room_id"] == room_id


async def test_without_a_token(house: House) -> None:
    assert (await house.client().post(f"{V3}/createRoom")).error() == (401, "M_MISSING_TOKEN")
    assert (await house.client("nonsense").post(f"{V3}/createRoom")).error() == (401, "M_UNKNOWN_TOKEN")

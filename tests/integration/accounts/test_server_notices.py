"""Client-Server API, "Server Notices"."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from plexus.users import NewDevice

from tests.integration.accounts.conftest import PASSWORD, OpenHouse, sign_up
from tests.support.house import V3, House, Person
from tests.support.http import Answer, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

CANNOT_LEAVE = (403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM")
SENDER = "@server-notices:here.example.org"


@pytest_asyncio.fixture(loop_scope="module")
async def admin(house: House, name: str) -> Person:
    return await an_admin(house, name + "-admin")


async def an_admin(house: House, localpart: str) -> Person:
    user_id, session = await house.users.register(localpart, None, admin=True, device=NewDevice())
    assert session is not None
    person = Person(house.gateway, session.access_token)
    person.user_id, person.device_id = user_id, session.device_id
    return person


async def say(admin: Person, user_id: str, text: str, key: str) -> Answer:
    return await admin.put(f"/_plexus/admin/v1/notices/{seg(user_id)}/{key}", {"body": text})


async def told(person: Person, room_id: str) -> list[str]:
    page = (await person.get(f"{person.room(room_id)}/messages", dir="f", limit=50)).ok()["chunk"]
    notices = [event for event in page if event["type"] == "m.room.message"]
    assert {(event["sender"], event["content"]["msgtype"]) for event in notices} <= {
        (SENDER, "m.server_notice")
    }
    return [event["content"]["body"] for event in notices]


async def test_a_user_is_invited_to_a_room_of_notices_that_is_tagged(
    house: House, admin: Person, alice: Person
) -> None:
    first = (await say(admin, alice.user_id, "We move on Sunday", "1")).ok()
    room_id = first["room_id"]
    tags = (await alice.get(f"{V3}/user/{seg(alice.user_id)}/rooms/{seg(room_id)}/tags")).ok()["tags"]
    assert tags == {"m.server_notice": {}}
    assert await house.rooms.membership(room_id, alice.user_id) == "invite"
    await alice.join(room_id)
    assert await told(alice, room_id) == ["We move on Sunday"]
    assert (await alice.state(room_id, "m.room.name"))["name"] == "Server notices"
    member = await alice.state(room_id, "m.room.member", SENDER)
    assert member["displayname"] == "Server notices"
    # The next one comes to the same room, and says nothing new of its members.
    assert (await say(admin, alice.user_id, "We have moved", "2")).ok()["room_id"] == room_id
    assert await told(alice, room_id) == ["We move on Sunday", "We have moved"]
    assert await house.rooms.membership(room_id, alice.user_id) == "join"


async def test_a_notice_sent_again_is_not_sent_twice(house: House, admin: Person, alice: Person) -> None:
    answers = await asyncio.gather(*(say(admin, alice.user_id, "once", "key") for _ in range(4)))
    assert all(answer.status in (200, 503) for answer in answers)
    last = (await say(admin, alice.user_id, "once", "key")).ok()
    assert all(answer.json == last for answer in answers if answer.status == 200)
    await alice.join(last["room_id"])
    assert await told(alice, last["room_id"]) == ["once"]


async def test_each_user_has_a_room_of_their_own(
    house: House, admin: Person, alice: Person, name: str
) -> None:
    bob = await sign_up(house, name + "-bob")
    rooms = [(await say(admin, who.user_id, "hello", "1")).ok()["room_id"] for who in (alice, bob)]
    assert rooms[0] != rooms[1]
    assert (await bob.post(f"{bob.room(rooms[0])}/join")).error() == (403, "M_FORBIDDEN")


async def test_the_invite_cannot_be_rejected_but_the_room_can_be_left(
    house: House, admin: Person, alice: Person
) -> None:
    room_id = (await say(admin, alice.user_id, "hello", "1")).ok()["room_id"]
    assert (await alice.post(f"{alice.room(room_id)}/leave")).error() == CANNOT_LEAVE
    state = f"{alice.room(room_id)}/state/m.room.member/{seg(alice.user_id)}"
    assert (await alice.put(state, {"membership": "leave"})).error() == CANNOT_LEAVE
    assert await house.rooms.membership(room_id, alice.user_id) == "invite"
    await alice.join(room_id)
    (await alice.post(f"{alice.room(room_id)}/leave")).ok()
    # There is one such room for a user: the next notice invites to it again.
    assert (await say(admin, alice.user_id, "again", "2")).ok()["room_id"] == room_id
    assert await house.rooms.membership(room_id, alice.user_id) == "invite"


async def test_who_takes_no_invites_is_told_all_the_same(house: House, admin: Person, alice: Person) -> None:
    data = f"{V3}/user/{seg(alice.user_id)}/account_data/m.invite_permission_config"
    (await alice.put(data, {"default_action": "block"})).ok()
    room_id = (await say(admin, alice.user_id, "hello", "1")).ok()["room_id"]
    assert await house.rooms.membership(room_id, alice.user_id) == "invite"


async def test_who_may_not_and_whom_it_cannot_be_sent_to(
    house: House, admin: Person, alice: Person, name: str
) -> None:
    assert (await say(alice, admin.user_id, "x", "1")).error() == (403, "M_FORBIDDEN")
    assert (await say(admin, f"@{name}-nobody:here.example.org", "x", "1")).error() == (404, "M_NOT_FOUND")
    assert (await say(admin, "@a:elsewhere.example.org", "x", "1")).error() == (400, "M_INVALID_PARAM")
    assert (await say(admin, SENDER, "x", "1")).error() == (404, "M_NOT_FOUND")
    assert (await say(admin, alice.user_id, " ", "1")).error() == (400, "M_INVALID_PARAM")
    path = f"/_plexus/admin/v1/notices/{seg(alice.user_id)}/1"
    assert (await admin.put(path, {})).error() == (400, "M_MISSING_PARAM")


async def test_nobody_registers_as_the_server(house: House) -> None:
    body = {"username": "server-notices", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    assert (await house.client().post(f"{V3}/register", body)).error() == (400, "M_USER_IN_USE")


async def test_the_server_does_not_speak_by_somebodys_account(
    house: House, other_house: OpenHouse, alice: Person, name: str
) -> None:
    await sign_up(house, name + "-taken")
    async with other_house(server_notices={"localpart": name + "-taken"}) as other:
        admin = await an_admin(other, name + "-admin")
        assert (await say(admin, alice.user_id, "x", "1")).error() == (409, "M_UNKNOWN")

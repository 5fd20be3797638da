"""Client-Server API, "Guest Access"."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from plexus.client_api import worker
from plexus.rooms import NewEvent

from tests.integration.accounts.conftest import CHEAP, PASSWORD, OpenHouse, sign_up
from tests.support.house import V3, House, Person, open_house
from tests.support.http import Answer, seg
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSED = (403, "M_GUEST_ACCESS_FORBIDDEN")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(database: TestDatabase, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    settings = {"mode": "open", "guests": True}
    folder = tmp_path_factory.mktemp("house")
    async with open_house(database, folder, passwords=CHEAP, registration=settings) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def guest(house: House) -> Person:
    made = (await house.client().post(f"{V3}/register", {}, kind="guest")).ok()
    person = Person(house.gateway, made["access_token"])
    person.user_id, person.device_id = made["user_id"], made["device_id"]
    return person


async def room_for(person: Person, guest_access: str | None) -> str:
    content = {} if guest_access is None else {"guest_access": guest_access}
    state = {"type": "m.room.guest_access", "state_key": "", "content": content}
    return await person.create_room(preset="public_chat", initial_state=[state])


async def test_guests_join_rooms_that_let_them_and_send_there(alice: Person, guest: Person) -> None:
    room_id = await room_for(alice, "can_join")
    await guest.join(room_id)
    event_id = await guest.send(room_id, "hello")
    assert (await guest.get(f"{guest.room(room_id)}/event/{seg(event_id)}")).status == 200
    assert (await guest.post(f"{guest.room(room_id)}/leave")).status == 200


@pytest.mark.parametrize("guest_access", ["forbidden", None, "CAN_JOIN"])
async def test_guests_join_no_other_room_by_no_way(
    alice: Person, guest: Person, guest_access: str | None
) -> None:
    room_id = await room_for(alice, guest_access)
    assert (await guest.post(f"{guest.room(room_id)}/join")).error() == REFUSED
    path = f"{guest.room(room_id)}/state/m.room.member/{seg(guest.user_id)}"
    assert (await guest.put(path, {"membership": "join"})).error() == REFUSED
    assert (await guest.post(f"{V3}/join/{seg(room_id)}")).error() == REFUSED
    joined = (await alice.get(f"{alice.room(room_id)}/joined_members")).ok()["joined"]
    assert list(joined) == [alice.user_id]


async def test_what_is_not_for_guests(house: House, alice: Person, guest: Person) -> None:
    me = seg(guest.user_id)
    for answer in (
        await guest.post(f"{V3}/createRoom"),
        await guest.get("/_matrix/client/v1/mutual_rooms", user_id=alice.user_id),
        await guest.post(f"{V3}/user/{me}/openid/request_token"),
        await guest.get(f"{V3}/admin/whois/{me}"),
        await guest.get(f"{V3}/account/3pid"),
        await guest.post("/_matrix/client/v1/login/get_token"),
        await guest.post(f"{V3}/account/deactivate"),
        await guest.get(f"{V3}/user/{me}/account_data/m.direct"),
        await guest.put(f"{V3}/presence/{me}/status", {"presence": "online"}),
    ):
        assert answer.error() == REFUSED


async def test_a_guest_in_another_room_stays_a_guest_for_the_rules(
    house: House, alice: Person, guest: Person, name: str
) -> None:
    bob = await sign_up(house, name + "-bob")
    room_id = await room_for(alice, "forbidden")
    await bob.join(room_id)
    assert (await guest.get(f"{guest.room(room_id)}/messages", dir="b")).error() == (403, "M_FORBIDDEN")


# --- when a room is not for guests any more


async def with_guest(alice: Person, guest: Person, house: House, name: str) -> tuple[str, Person]:
    """A room with a guest, and with Bob, who is none."""
    bob = await sign_up(house, name + "-bob")
    room_id = await room_for(alice, "can_join")
    await guest.join(room_id)
    await bob.join(room_id)
    return room_id, bob


async def memberships(alice: Person, room_id: str) -> dict[str, str]:
    members = (await alice.get(f"{alice.room(room_id)}/members")).ok()["chunk"]
    return {each["state_key"]: each["content"]["membership"] for each in members}


async def until_gone(alice: Person, room_id: str, guest: Person) -> None:
    async with asyncio.timeout(10):
        while (await memberships(alice, room_id))[guest.user_id] != "leave":
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("content", [{"guest_access": "forbidden"}, {}])
async def test_guests_are_made_to_leave_when_the_room_stops_letting_them_join(
    house: House, alice: Person, guest: Person, name: str, content: dict[str, str]
) -> None:
    room_id, bob = await with_guest(alice, guest, house, name)
    state = f"{alice.room(room_id)}/state/m.room.guest_access"
    (await alice.put(state, {"guest_access": "can_join", "more": "yes"})).ok()
    assert (await memberships(alice, room_id))[guest.user_id] == "join"
    (await alice.put(state, content)).ok()
    await until_gone(alice, room_id, guest)
    member = await alice.state(room_id, "m.room.member", guest.user_id)
    assert member == {"membership": "leave", "reason": "Guests may not be in this room"}
    assert (await memberships(alice, room_id))[bob.user_id] == "join"
    refused = await guest.put(f"{guest.room(room_id)}/send/m.room.message/1", {"body": "x"})
    assert refused.error() == (403, "M_FORBIDDEN")


async def test_who_may_not_change_guest_access_sends_nobody_away(
    house: House, alice: Person, guest: Person, name: str
) -> None:
    room_id, bob = await with_guest(alice, guest, house, name)
    state = f"{bob.room(room_id)}/state/m.room.guest_access"
    assert (await bob.put(state, {"guest_access": "forbidden"})).error() == (403, "M_FORBIDDEN")
    await house.client_api().guests.sweep()
    assert (await memberships(alice, room_id))[guest.user_id] == "join"


async def test_what_a_dead_process_left_or_came_by_another_way_is_found_by_the_worker(
    house: House, alice: Person, guest: Person, name: str
) -> None:
    room_id, bob = await with_guest(alice, guest, house, name)
    other_room = await room_for(alice, "can_join")
    await guest.join(other_room)
    # The event is written, and then nothing more happens.
    event = NewEvent("m.room.guest_access", {"guest_access": "forbidden"}, state_key="")
    await house.rooms.send(room_id, alice.user_id, event)
    assert (await memberships(alice, room_id))[guest.user_id] == "join"
    service = worker.build(house.platform, rooms=house.rooms, users=house.users, wire=house.wire)
    await service.start()
    try:
        await until_gone(alice, room_id, guest)
    finally:
        await service.drain()
    assert (await memberships(alice, room_id))[bob.user_id] == "join"
    assert (await memberships(alice, other_room))[guest.user_id] == "join"


async def test_two_that_sweep_at_once_make_a_guest_leave_once(
    house: House, alice: Person, guest: Person, name: str
) -> None:
    room_id, _ = await with_guest(alice, guest, house, name)
    access = await alice.get(f"{alice.room(room_id)}/state")
    [told] = [event for event in access.ok() if event["type"] == "m.room.guest_access"]
    (await alice.put(f"{alice.room(room_id)}/redact/{seg(told['event_id'])}/1", {})).ok()
    await asyncio.gather(*(house.client_api().guests.sweep() for _ in range(3)))
    page = (await alice.get(f"{alice.room(room_id)}/messages", dir="b", limit=50)).ok()["chunk"]
    own = [event["content"]["membership"] for event in page if event.get("state_key") == guest.user_id]
    assert own == ["leave", "join"]


async def test_guests_look_into_a_world_readable_room(alice: Person, guest: Person) -> None:
    readable = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
    room_id = await alice.create_room(preset="public_chat", initial_state=[readable])
    event_id = await alice.send(room_id, "for all")
    of = guest.room(room_id)
    for path in (
        "state",
        "members",
        f"event/{seg(event_id)}",
        f"context/{seg(event_id)}",
        "state/m.room.create",
    ):
        assert (await guest.get(f"{of}/{path}")).status == 200
    assert (await guest.get(f"{of}/messages", dir="b")).ok()["chunk"][0]["event_id"] == event_id
    assert (await guest.put(f"{of}/send/m.room.message/1", {"body": "x"})).error() == (403, "M_FORBIDDEN")


# --- guests become users


async def become(house: House, guest: Person, **body: Any) -> Answer:
    given = {
        "username": localpart(guest),
        "password": PASSWORD,
        "guest_access_token": guest.token,
        "auth": {"type": "m.login.dummy"},
    }
    return await house.client().post(f"{V3}/register", given | body)


def localpart(person: Person) -> str:
    return person.user_id[1:].partition(":")[0]


async def until_no_guest(guest: Person) -> None:
    async with asyncio.timeout(10):
        while (await guest.get(f"{V3}/account/whoami")).ok()["is_guest"]:
            await asyncio.sleep(0.05)


async def test_a_guest_becomes_a_user_who_has_what_the_guest_had(
    house: House, alice: Person, guest: Person
) -> None:
    room_id = await room_for(alice, "can_join")
    await guest.join(room_id)
    made = (await become(house, guest, device_id="NEW")).ok()
    assert (made["user_id"], made["device_id"]) == (guest.user_id, "NEW")
    user = Person(house.gateway, made["access_token"])
    whoami = (await user.get(f"{V3}/account/whoami")).ok()
    assert whoami == {"user_id": guest.user_id, "device_id": "NEW", "is_guest": False}
    await user.create_room()
    await user.send(room_id, "still here")
    # The guest's own session goes on as the user's, and the password is good for others.
    await until_no_guest(guest)
    assert (await guest.post(f"{V3}/createRoom", {})).status == 200
    who = {"type": "m.id.user", "user": guest.user_id}
    login = {"type": "m.login.password", "identifier": who, "password": PASSWORD}
    assert (await house.client().post(f"{V3}/login", login)).ok()["user_id"] == guest.user_id
    # They are no guest where guests are not wanted.
    state = f"{alice.room(room_id)}/state/m.room.guest_access"
    (await alice.put(state, {"guest_access": "forbidden"})).ok()
    await house.client_api().guests.sweep()
    assert (await memberships(alice, room_id))[guest.user_id] == "join"
    # And nobody twice.
    assert (await become(house, guest)).error() == (403, "M_FORBIDDEN")


async def test_the_session_of_the_same_device_takes_the_place_of_the_guests(
    house: House, guest: Person
) -> None:
    made = (await become(house, guest, device_id=guest.device_id)).ok()
    assert made["device_id"] == guest.device_id
    async with asyncio.timeout(10):
        while (await guest.get(f"{V3}/account/whoami")).status == 200:
            await asyncio.sleep(0.05)
    assert [device.device_id for device in await house.users.devices(guest.user_id)] == [guest.device_id]


async def test_without_a_login_the_guests_session_is_the_users(house: House, guest: Person) -> None:
    assert (await become(house, guest, inhibit_login=True)).ok() == {"user_id": guest.user_id}
    await until_no_guest(guest)
    assert len(await house.users.devices(guest.user_id)) == 1


async def test_who_becomes_no_user(house: House, alice: Person, guest: Person, name: str) -> None:
    asked = await become(house, guest, auth=None)
    assert (asked.status, asked.json["flows"]) == (401, [{"stages": ["m.login.dummy"]}])
    for body, error in (
        ({"username": None}, (400, "M_MISSING_PARAM")),
        ({"username": name + "-other"}, (400, "M_INVALID_PARAM")),
        ({"password": "short"}, (400, "M_WEAK_PASSWORD")),
        ({"guest_access_token": "plx_nobody"}, (403, "M_FORBIDDEN")),
        ({"guest_access_token": alice.token, "username": localpart(alice)}, (403, "M_FORBIDDEN")),
    ):
        assert (await become(house, guest, **body)).error() == error
    await house.users.moderate(guest.user_id, locked=True)
    async with asyncio.timeout(10):
        while (await guest.get(f"{V3}/account/whoami")).status == 200:
            await asyncio.sleep(0.05)
    assert (await become(house, guest)).error() == (403, "M_FORBIDDEN")
    account = await house.users.account(guest.user_id)
    assert account is not None
    assert (account.is_guest, account.password_hash) == (True, None)


async def test_a_guest_pays_with_a_registration_token_where_others_do(
    house: House, other_house: OpenHouse, guest: Person, name: str
) -> None:
    await house.users.make_registration_token(name, uses_allowed=1)
    async with other_house(registration={"mode": "token"}) as other:
        auth = {"type": "m.login.registration_token", "token": name}
        assert (await become(other, guest, auth=auth)).ok()["user_id"] == guest.user_id
        assert not await other.users.registration_token_is_valid(name)
    async with other_house(registration={"mode": "closed"}) as closed:
        assert (await become(closed, guest)).error() == (403, "M_FORBIDDEN")

"""Client-Server API, "Guest Access"."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.accounts.conftest import CHEAP, sign_up
from tests.support.house import V3, House, Person, open_house
from tests.support.http import seg
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
    ):
        assert answer.error() == REFUSED


async def test_a_guest_in_another_room_stays_a_guest_for_the_rules(
    house: House, alice: Person, guest: Person, name: str
) -> None:
    bob = await sign_up(house, name + "-bob")
    room_id = await room_for(alice, "forbidden")
    await bob.join(room_id)
    assert (await guest.get(f"{guest.room(room_id)}/messages", dir="b")).error() == (403, "M_FORBIDDEN")

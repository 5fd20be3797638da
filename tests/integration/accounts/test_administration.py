"""Client-Server API, "Server Administration" and "Account moderation"."""

from __future__ import annotations

import pytest
import pytest_asyncio
from plexus.users import NewDevice

from tests.integration.accounts.conftest import PASSWORD, sign_up
from tests.support.house import V3, House, Person
from tests.support.http import Answer, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOCK, SUSPEND = "/_matrix/client/v1/admin/lock", "/_matrix/client/v1/admin/suspend"
LOCKED, SUSPENDED = (401, "M_USER_LOCKED"), (403, "M_USER_SUSPENDED")
KINDS = pytest.mark.parametrize(("path", "member"), [(LOCK, "locked"), (SUSPEND, "suspended")])


@pytest_asyncio.fixture(loop_scope="module")
async def admin(house: House, name: str) -> Person:
    return await an_admin(house, name + "-admin")


async def an_admin(house: House, localpart: str) -> Person:
    user_id, session = await house.users.register(localpart, None, admin=True, device=NewDevice())
    assert session is not None
    person = Person(house.gateway, session.access_token)
    person.user_id, person.device_id = user_id, session.device_id
    return person


async def lock(admin: Person, user: Person, locked: bool = True) -> None:
    assert (await admin.put(f"{LOCK}/{seg(user.user_id)}", {"locked": locked})).ok() == {"locked": locked}


async def suspend(admin: Person, user: Person, suspended: bool = True) -> None:
    path = f"{SUSPEND}/{seg(user.user_id)}"
    assert (await admin.put(path, {"suspended": suspended})).ok() == {"suspended": suspended}


def by_password(person: Person) -> dict[str, object]:
    return {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": person.user_id},
        "password": PASSWORD,
    }


# --- who may


@KINDS
async def test_administrators_set_it_ask_for_it_and_end_it(
    admin: Person, alice: Person, path: str, member: str
) -> None:
    place = f"{path}/{seg(alice.user_id)}"
    assert (await admin.get(place)).ok() == {member: False}
    for value in (True, True, False, False):
        assert (await admin.put(place, {member: value})).ok() == {member: value}
        assert (await admin.get(place)).ok() == {member: value}
    assert (await alice.get(f"{V3}/account/whoami")).status == 200


@KINDS
async def test_who_is_no_administrator_learns_nothing_not_even_who_is_there(
    house: House, alice: Person, path: str, member: str
) -> None:
    for user_id in (alice.user_id, "@nobody:here.example.org", "@a:elsewhere.example.org"):
        place = f"{path}/{seg(user_id)}"
        assert (await alice.get(place)).error() == (403, "M_FORBIDDEN")
        assert (await alice.put(place, {member: True})).error() == (403, "M_FORBIDDEN")
    assert (await house.client().put(place, {member: True})).error() == (401, "M_MISSING_TOKEN")


@KINDS
async def test_whom_it_cannot_be_done_to(
    house: House, admin: Person, alice: Person, name: str, path: str, member: str
) -> None:
    async def both(user_id: str) -> list[tuple[int, str | None]]:
        place = f"{path}/{seg(user_id)}"
        return [
            (await admin.get(place)).error(),
            (await admin.put(place, {member: True})).error(),
        ]

    assert await both("@a:elsewhere.example.org") == [(400, "M_INVALID_PARAM")] * 2
    assert await both("@nobody:here.example.org") == [(404, "M_NOT_FOUND")] * 2
    other = await an_admin(house, name + "-other")
    assert await both(other.user_id) == [(403, "M_FORBIDDEN")] * 2
    assert await both(admin.user_id) == [(200, None), (403, "M_FORBIDDEN")]
    await house.users.deactivate(alice.user_id)
    assert await both(alice.user_id) == [(404, "M_NOT_FOUND")] * 2


@KINDS
async def test_what_is_no_request(admin: Person, alice: Person, path: str, member: str) -> None:
    place = f"{path}/{seg(alice.user_id)}"
    assert (await admin.put(place, {})).error() == (400, "M_MISSING_PARAM")
    assert (await admin.put(place, {member: "true"})).error() == (400, "M_BAD_JSON")
    assert (await admin.put(f"{path}/nobody", {member: True})).error() == (400, "M_INVALID_PARAM")


async def test_administrators_are_told_that_they_may(admin: Person, alice: Person) -> None:
    told = (await admin.get(f"{V3}/capabilities")).ok()["capabilities"]
    assert told["m.account_moderation"] == {"suspend": True, "lock": True}
    assert "m.account_moderation" not in (await alice.get(f"{V3}/capabilities")).ok()["capabilities"]


# --- locked


async def test_who_is_locked_can_do_nothing_but_log_out(house: House, admin: Person, alice: Person) -> None:
    room_id = await alice.create_room()
    refused: list[Answer] = []
    await lock(admin, alice)
    refused.append(await alice.get(f"{V3}/account/whoami"))
    refused.append(await alice.put(f"{alice.room(room_id)}/send/m.room.message/1", {"body": "x"}))
    refused.append(await alice.post(f"{alice.room(room_id)}/leave"))
    refused.append(await alice.get("/_matrix/client/versions"))
    refused.append(await alice.request("POST", "/_matrix/media/v3/upload", b"x"))
    refused.append(await alice.post(f"{V3}/account/deactivate", {"auth": by_password(alice)}))
    # Also by the password, without a token.
    refused.append(await house.client().post(f"{V3}/login", by_password(alice)))
    refused.append(await house.client().post(f"{V3}/account/deactivate", {"auth": by_password(alice)}))
    for answer in refused:
        assert answer.error() == LOCKED
        assert answer.json["soft_logout"] is True
    wrong = {**by_password(alice), "password": "guess"}
    assert (await house.client().post(f"{V3}/login", wrong)).error() == (403, "M_FORBIDDEN")
    assert (await alice.post(f"{V3}/logout")).status == 200
    assert (await alice.get(f"{V3}/account/whoami")).error() == (401, "M_UNKNOWN_TOKEN")


async def test_who_is_locked_can_log_out_everywhere(house: House, admin: Person, alice: Person) -> None:
    other = await house.device(alice)
    await lock(admin, alice)
    assert (await alice.post(f"{V3}/logout/all")).status == 200
    for each in (alice, other):
        assert (await each.get(f"{V3}/account/whoami")).error() == (401, "M_UNKNOWN_TOKEN")


async def test_a_lock_keeps_the_session_for_when_it_is_lifted(house: House, admin: Person, name: str) -> None:
    alice = await sign_up(house, name, refresh_token=True)
    pair = (await house.client().post(f"{V3}/login", {**by_password(alice), "refresh_token": True})).ok()
    refresh = {"refresh_token": pair["refresh_token"]}
    await lock(admin, alice)
    assert (await alice.get(f"{V3}/account/whoami")).error() == LOCKED
    for _ in range(2):
        assert (await house.client().post(f"{V3}/refresh", refresh)).error() == LOCKED
    await lock(admin, alice, False)
    assert (await alice.get(f"{V3}/account/whoami")).ok()["device_id"] == alice.device_id
    fresh = (await house.client().post(f"{V3}/refresh", refresh)).ok()["access_token"]
    assert (await house.client(fresh).get(f"{V3}/account/whoami")).status == 200


async def test_a_locked_administrator_administers_nothing(house: House, alice: Person, admin: Person) -> None:
    # No administrator can do that to another: the operator has, by the library.
    await house.users.moderate(admin.user_id, locked=True)
    assert (await admin.put(f"{LOCK}/{seg(alice.user_id)}", {"locked": True})).error() == LOCKED


# --- suspended


async def test_who_is_suspended_reads_and_is_refused_what_others_would_see(
    house: House, admin: Person, alice: Person, name: str
) -> None:
    bob = await sign_up(house, name + "-bob")
    room_id = await bob.create_room(preset="public_chat")
    open_room = await bob.create_room(preset="public_chat")
    knocking = await bob.create_room(
        initial_state=[{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}]
    )
    invited_to = await bob.create_room(invite=[alice.user_id])
    await alice.join(room_id)
    theirs = await bob.send(room_id, "hello")
    await suspend(admin, alice)
    # See and receive messages.
    assert (await alice.get(f"{alice.room(room_id)}/messages", dir="b")).status == 200
    assert (await alice.get(f"{alice.room(room_id)}/event/{seg(theirs)}")).status == 200
    assert (await alice.get(f"{V3}/joined_rooms")).ok() == {"joined_rooms": [room_id]}
    profile = f"{V3}/profile/{seg(alice.user_id)}/displayname"
    for answer in (
        # Joining or knocking on rooms, accepting or sending invites.
        await alice.post(f"{alice.room(open_room)}/join"),
        await alice.post(f"{V3}/join/{seg(open_room)}"),
        await alice.post(f"{V3}/knock/{seg(knocking)}"),
        await alice.post(f"{alice.room(invited_to)}/join"),
        await alice.post(f"{alice.room(room_id)}/invite", {"user_id": admin.user_id}),
        await alice.post(f"{V3}/createRoom", {}),
        # Sending messages, and state.
        await alice.put(f"{alice.room(room_id)}/send/m.room.message/1", {"body": "x", "msgtype": "m.text"}),
        await alice.put(f"{alice.room(room_id)}/state/m.room.topic", {"topic": "x"}),
        await alice.request("POST", "/_matrix/media/v3/upload", b"x"),
        await alice.post("/_matrix/media/v1/create"),
        # Changing profile data.
        await alice.put(profile, {"displayname": "x"}),
        # Redacting other users' events, and what is not there.
        await alice.put(f"{alice.room(room_id)}/redact/{seg(theirs)}/1"),
        await alice.put(f"{alice.room(room_id)}/redact/{seg('$nothing')}/2"),
        await alice.put(f"{alice.room(room_id)}/send/m.room.redaction/3", {"redacts": theirs}),
    ):
        assert answer.error() == SUSPENDED
    # Leave rooms and reject invites.
    assert (await alice.post(f"{alice.room(invited_to)}/leave")).status == 200
    assert (await alice.post(f"{alice.room(room_id)}/leave")).status == 200
    await suspend(admin, alice, False)
    assert (await alice.put(profile, {"displayname": "x"})).status == 200


async def test_who_is_suspended_may_redact_their_own_events(admin: Person, alice: Person) -> None:
    room_id = await alice.create_room()
    first, second = await alice.send(room_id, "one"), await alice.send(room_id, "two")
    await suspend(admin, alice)
    assert (await alice.put(f"{alice.room(room_id)}/redact/{seg(first)}/1")).status == 200
    sent = await alice.put(f"{alice.room(room_id)}/send/m.room.redaction/2", {"redacts": second})
    assert sent.status == 200
    for event_id in (first, second):
        assert (await alice.get(f"{alice.room(room_id)}/event/{seg(event_id)}")).ok()["content"] == {}


async def test_who_is_suspended_logs_in_and_out_and_writes_what_is_theirs_alone(
    house: House, admin: Person, alice: Person
) -> None:
    await suspend(admin, alice)
    made = (await house.client().post(f"{V3}/login", by_password(alice))).ok()
    second = house.client(made["access_token"])
    # A new session is suspended too.
    assert (await second.post(f"{V3}/createRoom", {})).error() == SUSPENDED
    data = f"{V3}/user/{seg(alice.user_id)}/account_data/m.cross_signing.master"
    assert (await alice.put(data, {"encrypted": {}})).status == 200
    assert (await alice.post(f"{V3}/user/{seg(alice.user_id)}/filter", {})).status == 200
    mute = f"{V3}/pushrules/global/override/.m.rule.master/enabled"
    assert (await alice.put(mute, {"enabled": True})).status == 200
    gone = await alice.request(
        "DELETE", f"{V3}/devices/{seg(made['device_id'])}", {"auth": by_password(alice)}
    )
    assert gone.status == 200
    assert (await second.get(f"{V3}/account/whoami")).error() == (401, "M_UNKNOWN_TOKEN")
    assert (await alice.post(f"{V3}/logout")).status == 200


async def test_who_is_suspended_may_read_the_notices_of_the_server(
    house: House, admin: Person, alice: Person, name: str
) -> None:
    """ "Where a room is used to maintain communication between server administration teams and the suspended
    user": they could not know of what is said there without joining it.
    """
    bob = await sign_up(house, name + "-bob")
    theirs = await bob.create_room(invite=[alice.user_id], room_alias_name=name)
    await suspend(admin, alice)
    notice = f"/_plexus/admin/v1/notices/{seg(alice.user_id)}/why"
    room_id = (await admin.put(notice, {"body": "You were rude"})).ok()["room_id"]
    for room in (theirs, f"#{name}:here.example.org", "!nothing:here.example.org"):
        assert (await alice.post(f"{V3}/join/{seg(room)}")).error() == SUSPENDED
    assert (await alice.post(f"{V3}/join/{seg(room_id)}")).ok() == {"room_id": room_id}
    page = (await alice.get(f"{alice.room(room_id)}/messages", dir="b", limit=50)).ok()["chunk"]
    assert "You were rude" in [event["content"].get("body") for event in page]


async def test_who_is_suspended_may_close_the_account(admin: Person, alice: Person) -> None:
    await suspend(admin, alice)
    assert (await alice.post(f"{V3}/account/deactivate", {"auth": by_password(alice)})).status == 200


# --- whois


async def test_whois_tells_the_user_and_administrators_where_devices_were_seen(
    house: House, admin: Person, alice: Person
) -> None:
    await alice.get(f"{V3}/account/whoami")
    await house.users.last_seen.flush()
    path = f"{V3}/admin/whois/{seg(alice.user_id)}"
    for who in (alice, admin):
        told = (await who.get(path)).ok()
        assert told["user_id"] == alice.user_id
        [connection] = told["devices"]["ALICE"]["sessions"][0]["connections"]
        assert connection["ip"] == "127.0.0.1"
        assert abs(connection["last_seen"] - house.platform.clock.now_ms()) < 60_000


async def test_whois_is_for_nobody_else(admin: Person, alice: Person) -> None:
    for user_id in (admin.user_id, "@nobody:here.example.org"):
        assert (await alice.get(f"{V3}/admin/whois/{seg(user_id)}")).error() == (403, "M_FORBIDDEN")
    assert (await admin.get(f"{V3}/admin/whois/{seg('@nobody:here.example.org')}")).error() == (
        404,
        "M_NOT_FOUND",
    )
    assert (await admin.get(f"{V3}/admin/whois/{seg('@a:elsewhere.org')}")).error() == (
        400,
        "M_INVALID_PARAM",
    )

import pytest

from tests.integration.accounts.conftest import PASSWORD, OpenHouse, sign_up
from tests.support.house import V3, House, Person
from tests.support.http import Answer, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")


def by_password(user: str, password: str = PASSWORD) -> dict[str, object]:
    return {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user},
        "password": password,
    }


async def login(house: House, user: str, password: str = PASSWORD, **more: object) -> Answer:
    return await house.client().post(f"{V3}/login", {**by_password(user, password), **more})


async def whoami(person: Person) -> tuple[int, str | None]:
    return (await person.get(f"{V3}/account/whoami")).error()


async def test_flows(house: House) -> None:
    assert (await house.client().get(f"{V3}/login")).ok() == {
        "flows": [{"type": "m.login.password"}, {"type": "m.login.token", "get_login_token": True}]
    }


async def test_login_by_localpart_user_id_and_the_old_member(house: House, alice: Person, name: str) -> None:
    for body in (
        by_password(name),
        by_password(alice.user_id),
        {"type": "m.login.password", "user": name, "password": PASSWORD},
    ):
        answer = (await house.client().post(f"{V3}/login", body)).ok()
        assert answer["user_id"] == alice.user_id
        assert set(answer) == {"user_id", "access_token", "device_id"}
    named = (await login(house, name, device_id="NEW", initial_device_display_name="Desk")).ok()
    assert named["device_id"] == "NEW"
    device = (await alice.get(f"{V3}/devices/NEW")).ok()
    assert device["display_name"] == "Desk"


@pytest.mark.parametrize(
    ("change", "status", "errcode"),
    [
        ({"password": "wrong"}, 403, "M_FORBIDDEN"),
        ({"identifier": {"type": "m.id.user", "user": "nobody"}}, 403, "M_FORBIDDEN"),
        (
            {"identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "a@b"}},
            403,
            "M_FORBIDDEN",
        ),
        ({"identifier": {"type": "m.id.user"}}, 400, "M_BAD_JSON"),
        ({"identifier": "x"}, 400, "M_BAD_JSON"),
        ({"type": "m.login.sso"}, 400, "M_UNKNOWN"),
        ({"type": None}, 400, "M_BAD_JSON"),
        ({"password": None}, 400, "M_BAD_JSON"),
        ({"device_id": "\0"}, 400, "M_INVALID_PARAM"),
        ({"initial_device_display_name": "\0"}, 400, "M_INVALID_PARAM"),
        ({"initial_device_display_name": "x" * 256}, 400, "M_BAD_JSON"),
    ],
)
async def test_refused_logins(
    house: House, alice: Person, name: str, change: dict[str, object], status: int, errcode: str
) -> None:
    answer = await house.client().post(f"{V3}/login", {**by_password(name), **change})
    assert answer.error() == (status, errcode)


async def test_missing_members(house: House, alice: Person, name: str) -> None:
    whole = by_password(name)
    for missing in whole:
        body = {member: value for member, value in whole.items() if member != missing}
        assert (await house.client().post(f"{V3}/login", body)).error() == (400, "M_MISSING_PARAM")


async def test_flows_are_throttled(other_house: OpenHouse) -> None:
    async with other_house(rate_limits={"login_flows": {"per_second": 0.001, "burst": 1}}) as house:
        assert (await house.client().get(f"{V3}/login")).status == 200
        assert (await house.client().get(f"{V3}/login")).error() == (429, "M_LIMIT_EXCEEDED")


async def test_logins_are_throttled(other_house: OpenHouse, name: str) -> None:
    limits = {
        "login_account": {"per_second": 0.001, "burst": 2},
        "login_address": {"per_second": 0.001, "burst": 6},
    }
    async with other_house(rate_limits=limits) as house:
        await sign_up(house, name)
        for _ in range(2):
            assert (await login(house, name, "wrong")).status == 403
        refused = await login(house, name)
        assert refused.error() == (429, "M_LIMIT_EXCEEDED")
        assert refused.json["retry_after_ms"] > 0
        for _ in range(3):
            assert (await login(house, "nobody-" + name, "wrong")).status in (403, 429)
        assert (await login(house, "somebody-else", "wrong")).error() == (429, "M_LIMIT_EXCEEDED")


async def test_logout(house: House, alice: Person) -> None:
    other = await house.device(alice)
    assert (await alice.post(f"{V3}/logout")).ok() == {}
    assert await whoami(alice) == (401, "M_UNKNOWN_TOKEN")
    assert await whoami(other) == (200, None)
    assert [each["device_id"] for each in (await other.get(f"{V3}/devices")).ok()["devices"]] == [
        other.device_id
    ]


async def test_logout_all(house: House, alice: Person) -> None:
    other = await house.device(alice)
    assert (await alice.post(f"{V3}/logout/all")).ok() == {}
    assert await whoami(alice) == (401, "M_UNKNOWN_TOKEN")
    assert await whoami(other) == (401, "M_UNKNOWN_TOKEN")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/account/whoami"),
        ("GET", "/devices"),
        ("GET", "/joined_rooms"),
        ("GET", "/pushrules/global/"),
        ("POST", "/logout"),
        ("POST", "/logout/all"),
    ],
)
async def test_no_token_and_a_wrong_one(house: House, method: str, path: str) -> None:
    assert (await house.client().request(method, V3 + path)).error() == (401, "M_MISSING_TOKEN")
    wrong = await house.client("nonsense").request(method, V3 + path)
    assert wrong.error() == (401, "M_UNKNOWN_TOKEN")
    assert wrong.json["soft_logout"] is False


async def test_changing_the_password(house: House, alice: Person, name: str) -> None:
    other = await house.device(alice)
    path = f"{V3}/account/password"
    asked = await alice.post(path, {"new_password": "looking glass"})
    assert asked.status == 401
    assert asked.json["flows"] == [{"stages": ["m.login.password"]}]
    auth = {**by_password(name), "session": asked.json["session"]}
    weak = await alice.post(path, {"new_password": "x", "auth": auth})
    assert weak.error() == (400, "M_WEAK_PASSWORD")
    wrong = await alice.post(path, {"new_password": "looking glass", "auth": {**auth, "password": "wrong"}})
    assert wrong.error() == (401, "M_FORBIDDEN")
    assert wrong.json["flows"]
    assert (await alice.post(path, {"new_password": "looking glass", "auth": auth})).ok() == {}
    assert await whoami(alice) == (200, None)
    assert await whoami(other) == (401, "M_UNKNOWN_TOKEN")
    assert (await login(house, name)).status == 403
    assert (await login(house, name, "looking glass")).status == 200


async def test_changing_it_without_a_token(house: House, alice: Person, name: str) -> None:
    body = {"new_password": "looking glass", "logout_devices": False, "auth": by_password(name)}
    assert (await house.client().post(f"{V3}/account/password", body)).ok() == {}
    assert await whoami(alice) == (200, None)
    assert (await login(house, name, "looking glass")).status == 200


async def test_the_password_of_another_opens_nothing(house: House, alice: Person, name: str) -> None:
    mallory = await sign_up(house, name + "m")
    path = f"{V3}/account/password"
    answer = await alice.post(path, {"new_password": "looking glass", "auth": by_password(mallory.user_id)})
    assert answer.error() == (401, "M_FORBIDDEN")
    deleted = await alice.post(f"{V3}/account/deactivate", {"auth": by_password(mallory.user_id)})
    assert deleted.error() == (401, "M_FORBIDDEN")
    assert (await login(house, name)).status == 200


async def test_deactivation_leaves_the_rooms(house: House, alice: Person, name: str) -> None:
    bob = await sign_up(house, name + "b")
    rooms = [await bob.create_room(preset="public_chat") for _ in range(3)]
    for room in rooms:
        await alice.join(room)
    invited = await bob.create_room(invite=[alice.user_id])
    path = f"{V3}/account/deactivate"
    assert (await alice.post(path, {})).status == 401
    done = await alice.post(path, {"auth": by_password(name), "erase": True})
    assert done.ok() == {"id_server_unbind_result": "success"}
    assert await whoami(alice) == (401, "M_UNKNOWN_TOKEN")
    assert (await login(house, name)).error() == (403, "M_USER_DEACTIVATED")
    for room in (*rooms, invited):
        assert await house.rooms.membership(room, alice.user_id) == "leave"
    assert (await bob.get(f"{V3}/profile/{seg(alice.user_id)}")).error() == (404, "M_NOT_FOUND")
    assert await house.users.claim_room_tasks(user_id=alice.user_id) == []


async def test_devices(house: House, alice: Person, name: str) -> None:
    other = await house.device(alice)
    one = f"{V3}/devices/{other.device_id}"
    assert (await alice.put(one, {"display_name": "Pocket"})).ok() == {}
    assert (await alice.put(one, {})).ok() == {}
    assert (await alice.get(one)).ok() == {"device_id": other.device_id, "display_name": "Pocket"}
    for path, error in (("NONE", (404, "M_NOT_FOUND")), ("%00", (400, "M_INVALID_PARAM"))):
        assert (await alice.get(f"{V3}/devices/{path}")).error() == error
        assert (await alice.put(f"{V3}/devices/{path}", {"display_name": "x"})).error() == error
    asked = await alice.request("DELETE", one)
    assert asked.status == 401
    auth = {**by_password(name), "session": asked.json["session"]}
    assert (await alice.request("DELETE", one, {"auth": auth})).ok() == {}
    assert await whoami(other) == (401, "M_UNKNOWN_TOKEN")
    assert (await alice.request("DELETE", f"{V3}/devices/NONE", {"auth": auth})).ok() == {}
    third = await house.device(alice)
    many = {"devices": [third.device_id, "NONE", "\0"]}
    assert (await alice.post(f"{V3}/delete_devices", many)).status == 401
    assert (await alice.post(f"{V3}/delete_devices", {**many, "auth": auth})).ok() == {}
    devices = (await alice.get(f"{V3}/devices")).ok()["devices"]
    assert [each["device_id"] for each in devices] == ["ALICE"]


async def test_the_last_use_of_a_device(house: House, alice: Person) -> None:
    before = house.platform.clock.now_ms()
    await whoami(alice)
    await house.users.last_seen.flush()
    device = (await alice.get(f"{V3}/devices/ALICE")).ok()
    assert device["last_seen_ts"] >= before - 60_000
    assert device["last_seen_ip"] == "127.0.0.1"

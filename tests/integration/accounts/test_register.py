import pytest

from tests.integration.accounts.conftest import PASSWORD, OpenHouse, sign_up
from tests.support.house import V3, House
from tests.support.http import Answer, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

DUMMY = {"type": "m.login.dummy"}


async def register(house: House, **body: object) -> Answer:
    return await house.client().post(f"{V3}/register", body)


async def test_the_dummy_flow(house: House, name: str) -> None:
    asked = await register(house, username=name, password=PASSWORD)
    assert asked.status == 401
    assert asked.json["flows"] == [{"stages": ["m.login.dummy"]}]
    assert "errcode" not in asked.json
    auth = {**DUMMY, "session": asked.json["session"]}
    made = (await register(house, username=name, password=PASSWORD, device_id="DEV", auth=auth)).ok()
    assert made["user_id"] == f"@{name}:here.example.org"
    assert made["device_id"] == "DEV"
    assert "refresh_token" not in made
    me = (await house.client(made["access_token"]).get(f"{V3}/account/whoami")).ok()
    assert me == {"user_id": made["user_id"], "device_id": "DEV", "is_guest": False}


async def test_flows_are_told_to_who_asks_with_nothing(house: House) -> None:
    answer = await register(house)
    assert answer.status == 401
    assert answer.json["params"] == {}


async def test_without_a_name_one_is_made_up(house: House) -> None:
    made = (await register(house, password=PASSWORD, auth=DUMMY)).ok()
    assert made["user_id"].endswith(":here.example.org")


async def test_inhibit_login(house: House, name: str) -> None:
    made = (await register(house, username=name, password=PASSWORD, auth=DUMMY, inhibit_login=True)).ok()
    assert made == {"user_id": f"@{name}:here.example.org"}
    assert await house.users.devices(made["user_id"]) == []


async def test_refreshable(house: House, name: str) -> None:
    made = (await register(house, username=name, password=PASSWORD, auth=DUMMY, refresh_token=True)).ok()
    assert made["expires_in_ms"] == 3_600_000
    fresh = (await house.client().post(f"{V3}/refresh", {"refresh_token": made["refresh_token"]})).ok()
    assert set(fresh) == {"access_token", "refresh_token", "expires_in_ms"}
    assert (await house.client(fresh["access_token"]).get(f"{V3}/account/whoami")).status == 200
    assert (await house.client(made["access_token"]).get(f"{V3}/account/whoami")).error() == (
        401,
        "M_UNKNOWN_TOKEN",
    )
    again = await house.client().post(f"{V3}/refresh", {"refresh_token": made["refresh_token"]})
    assert again.error() == (401, "M_UNKNOWN_TOKEN")


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        ({"username": "UPPER", "password": PASSWORD}, 400, "M_INVALID_USERNAME"),
        ({"username": "nul\0", "password": PASSWORD}, 400, "M_INVALID_PARAM"),
        ({"username": "weak", "password": "short"}, 400, "M_WEAK_PASSWORD"),
        ({"username": 5, "password": PASSWORD}, 400, "M_BAD_JSON"),
        ({"username": "odd", "password": PASSWORD, "auth": "x"}, 400, "M_BAD_JSON"),
        ({"username": "odd", "password": PASSWORD, "device_id": ""}, 400, "M_INVALID_PARAM"),
        ({"username": "odd", "auth": DUMMY}, 400, "M_MISSING_PARAM"),
        ({"username": "odd", "password": PASSWORD, "auth": {"type": "m.login.password"}}, 401, "M_FORBIDDEN"),
        ({"username": "odd", "password": PASSWORD, "auth": {**DUMMY, "session": "a\0"}}, 400, "M_BAD_JSON"),
    ],
)
async def test_what_is_refused(house: House, body: dict[str, object], status: int, errcode: str) -> None:
    before = await house.count("users.account")
    assert (await register(house, **body)).error() == (status, errcode)
    assert await house.count("users.account") == before


async def test_a_taken_name_is_told_before_authentication(house: House, name: str) -> None:
    assert (await house.client().get(f"{V3}/register/available?username={name}")).ok() == {"available": True}
    await sign_up(house, name)
    assert (await register(house, username=name, password=PASSWORD)).error() == (400, "M_USER_IN_USE")
    available = f"{V3}/register/available?username="
    assert (await house.client().get(available + name)).error() == (400, "M_USER_IN_USE")
    assert (await house.client().get(available + "A")).error() == (400, "M_INVALID_USERNAME")
    assert (await house.client().get(available + "%00")).status == 400
    assert (await house.client().get(f"{V3}/register/available")).error() == (400, "M_MISSING_PARAM")


async def test_guests_are_refused_unless_enabled(house: House, other_house: OpenHouse) -> None:
    refused = await house.client().post(f"{V3}/register?kind=guest", {})
    assert refused.error() == (403, "M_GUEST_ACCESS_FORBIDDEN")
    assert (await house.client().post(f"{V3}/register?kind=other", {})).error() == (400, "M_INVALID_PARAM")
    async with other_house(registration={"mode": "closed", "guests": True}) as open_to_guests:
        body = {"username": "ignored", "device_id": "IGNORED", "initial_device_display_name": "Web"}
        made = (await open_to_guests.client().post(f"{V3}/register?kind=guest", body)).ok()
        assert "ignored" not in made["user_id"]
        assert made["device_id"] != "IGNORED"
        guest = open_to_guests.client(made["access_token"])
        assert (await guest.get(f"{V3}/account/whoami")).ok()["is_guest"] is True
        assert (await guest.get(f"{V3}/pushrules/")).error() == (403, "M_GUEST_ACCESS_FORBIDDEN")
        mine = f"{V3}/profile/{seg(made['user_id'])}"
        assert (await guest.put(f"{mine}/displayname", {"displayname": "G"})).status == 200
        assert (await guest.put(f"{mine}/m.tz", {"m.tz": "UTC"})).error() == (403, "M_GUEST_ACCESS_FORBIDDEN")


async def test_closed(other_house: OpenHouse, name: str) -> None:
    async with other_house(registration={"mode": "closed"}) as closed:
        assert (await register(closed, username=name, password=PASSWORD)).error() == (403, "M_FORBIDDEN")
        assert (await closed.client().get(f"{V3}/register/available?username=x")).error() == (
            403,
            "M_FORBIDDEN",
        )
        validity = "/_matrix/client/v1/register/m.login.registration_token/validity?token=x"
        assert (await closed.client().get(validity)).error() == (403, "M_FORBIDDEN")
        nonce = await closed.client().get("/_synapse/admin/v1/register")
        assert nonce.error() == (400, "M_UNKNOWN")


async def test_by_token(other_house: OpenHouse, name: str) -> None:
    async with other_house(registration={"mode": "token"}) as house:
        await house.users.make_registration_token("secret", uses_allowed=1)
        asked = await register(house, username=name, password=PASSWORD)
        assert asked.json["flows"] == [{"stages": ["m.login.registration_token"]}]
        stage = {"type": "m.login.registration_token", "session": asked.json["session"]}
        wrong = await register(house, username=name, password=PASSWORD, auth={**stage, "token": "wrong"})
        assert wrong.error() == (401, "M_FORBIDDEN")
        assert (await register(house, username=name, password=PASSWORD, auth=stage)).status == 400
        dummy = {"type": "m.login.dummy", "session": asked.json["session"]}
        assert (await register(house, username=name, password=PASSWORD, auth=dummy)).status == 401
        validity = "/_matrix/client/v1/register/m.login.registration_token/validity?token="
        assert (await house.client().get(validity + "secret")).ok() == {"valid": True}
        made = await register(house, username=name, password=PASSWORD, auth={**stage, "token": "secret"})
        assert made.status == 200
        assert (await house.client().get(validity + "secret")).ok() == {"valid": False}
        assert (await house.client().get(validity + "%00")).error() == (400, "M_INVALID_PARAM")
        more = await register(
            house, username=name + "b", password=PASSWORD, auth={**stage, "token": "secret"}
        )
        assert more.error() == (401, "M_FORBIDDEN")


async def test_registrations_throttle_the_address_and_asking_does_not(
    other_house: OpenHouse, name: str
) -> None:
    limits = {"registration": {"per_second": 0.001, "burst": 2}}
    async with other_house(rate_limits=limits) as house:
        for _ in range(5):
            assert (await register(house, username=name, password=PASSWORD)).status == 401
        for number in range(2):
            await sign_up(house, f"{name}n{number}")
        refused = await register(house, username=name, password=PASSWORD, auth=DUMMY)
        assert refused.error() == (429, "M_LIMIT_EXCEEDED")
        assert int(refused.headers["retry-after"]) > 0
        elsewhere = house.client()
        elsewhere.address = "192.0.2.9"
        body = {"username": name, "password": PASSWORD, "auth": DUMMY}
        assert (await elsewhere.post(f"{V3}/register", body)).status == 200

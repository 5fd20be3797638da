"""Login tokens (``generateLoginToken``, ``m.login.token``) and "OpenID"."""

from __future__ import annotations

import pytest

from tests.integration.accounts.conftest import PASSWORD, OpenHouse, sign_up
from tests.support.house import V3, House, Person
from tests.support.http import Answer, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

GET_TOKEN = "/_matrix/client/v1/login/get_token"


def by_password(person: Person, password: str = PASSWORD) -> dict[str, object]:
    identifier = {"type": "m.id.user", "user": person.user_id}
    return {"auth": {"type": "m.login.password", "identifier": identifier, "password": password}}


async def login_token(person: Person) -> str:
    answer = (await person.post(GET_TOKEN, by_password(person))).ok()
    assert answer["expires_in_ms"] == 120_000
    token: str = answer["login_token"]
    return token


async def log_in(house: House, token: object, **more: object) -> Answer:
    return await house.client().post(f"{V3}/login", {"type": "m.login.token", "token": token, **more})


async def expire(house: House) -> None:
    async with house.platform.db.write() as write:
        await write.execute("UPDATE users.short_token SET expires_ts = %s", (house.platform.clock.now_ms(),))


async def test_a_login_token_is_good_for_one_login_as_the_same_user(house: House, alice: Person) -> None:
    token = await login_token(alice)
    made = (await log_in(house, token, device_id="NEW", refresh_token=True)).ok()
    assert (made["user_id"], made["device_id"]) == (alice.user_id, "NEW")
    assert "refresh_token" in made
    assert (await house.client(made["access_token"]).get(f"{V3}/account/whoami")).status == 200
    assert (await log_in(house, token)).error() == (403, "M_FORBIDDEN")


async def test_each_login_token_asks_for_the_password_again(house: House, alice: Person) -> None:
    for _ in range(2):
        asked = await alice.post(GET_TOKEN)
        assert asked.status == 401
        assert asked.json["flows"] == [{"stages": ["m.login.password"]}]
        await login_token(alice)
    assert (await alice.post(GET_TOKEN, by_password(alice, "guess"))).error() == (401, "M_FORBIDDEN")


async def test_login_tokens_of_somebody_else_and_of_nobody(house: House, alice: Person, name: str) -> None:
    bob = await sign_up(house, name + "-bob")
    assert (await alice.post(GET_TOKEN, by_password(bob))).error() == (401, "M_FORBIDDEN")
    assert (await house.client().post(GET_TOKEN, by_password(bob))).error() == (401, "M_MISSING_TOKEN")
    assert (await log_in(house, alice.token)).error() == (403, "M_FORBIDDEN")
    assert (await log_in(house, "x")).error() == (403, "M_FORBIDDEN")
    answer = await house.client().post(f"{V3}/login", {"type": "m.login.token"})
    assert answer.error() == (400, "M_MISSING_PARAM")


async def test_a_login_token_expires(house: House, alice: Person) -> None:
    token = await login_token(alice)
    await expire(house)
    assert (await log_in(house, token)).error() == (403, "M_FORBIDDEN")


async def test_a_closed_or_locked_account_is_not_entered_by_a_token(house: House, alice: Person) -> None:
    token = await login_token(alice)
    await house.users.moderate(alice.user_id, locked=True)
    assert (await log_in(house, token)).error() == (401, "M_USER_LOCKED")
    await house.users.moderate(alice.user_id, locked=False)
    token = await login_token(alice)
    await house.users.deactivate(alice.user_id)
    assert (await log_in(house, token)).error() == (403, "M_USER_DEACTIVATED")


async def test_login_tokens_are_limited_more_than_the_rest(other_house: OpenHouse, name: str) -> None:
    limits = {"account": {"per_second": 0.001, "burst": 5}}
    async with other_house(rate_limits=limits) as house:
        alice = await sign_up(house, name)
        await login_token(alice)
        assert (await alice.post(GET_TOKEN, by_password(alice))).error() == (429, "M_LIMIT_EXCEEDED")


async def test_guests_make_no_login_tokens(other_house: OpenHouse) -> None:
    async with other_house(registration={"mode": "open", "guests": True}) as house:
        guest = (await house.client().post(f"{V3}/register", {}, kind="guest")).ok()
        client = house.client(guest["access_token"])
        assert (await client.post(GET_TOKEN)).error() == (403, "M_GUEST_ACCESS_FORBIDDEN")


# --- OpenID


async def test_an_openid_token_says_who_somebody_is_and_gives_no_other_right(
    house: House, alice: Person
) -> None:
    path = f"{V3}/user/{seg(alice.user_id)}/openid/request_token"
    answer = (await alice.post(path)).ok()
    token = answer.pop("access_token")
    assert answer == {"token_type": "Bearer", "matrix_server_name": "here.example.org", "expires_in": 3600}
    for _ in range(2):
        assert await house.users.user_of_openid_token(token) == alice.user_id
    assert (await house.client(token).post(path)).error() == (401, "M_UNKNOWN_TOKEN")
    assert (await log_in(house, token)).error() == (403, "M_FORBIDDEN")
    assert alice.token is not None
    for other in (alice.token, await login_token(alice), "x"):
        assert await house.users.user_of_openid_token(other) is None
    await expire(house)
    assert await house.users.user_of_openid_token(token) is None


async def test_openid_tokens_are_for_oneself(house: House, alice: Person, name: str) -> None:
    bob = await sign_up(house, name + "-bob")
    path = f"{V3}/user/{seg(bob.user_id)}/openid/request_token"
    assert (await alice.post(path)).error() == (403, "M_FORBIDDEN")
    assert (await house.client().post(path)).error() == (401, "M_MISSING_TOKEN")


async def test_an_openid_token_ends_with_the_account(house: House, alice: Person) -> None:
    token = await house.users.make_openid_token(alice.user_id)
    await house.users.moderate(alice.user_id, locked=True)
    assert await house.users.user_of_openid_token(token) is None
    await house.users.moderate(alice.user_id, locked=False)
    assert await house.users.user_of_openid_token(token) == alice.user_id
    await house.users.deactivate(alice.user_id)
    assert await house.users.user_of_openid_token(token) is None


async def test_tokens_that_have_expired_are_swept(house: House, alice: Person) -> None:
    for _ in range(8):
        await house.users.make_openid_token(alice.user_id)
    await expire(house)
    for _ in range(20):
        await house.users.make_openid_token(alice.user_id)
    async with house.platform.db.read(primary=True) as session:
        row = await session.one("SELECT count(*) FROM users.short_token WHERE user_id = %s", (alice.user_id,))
    assert row is not None and row[0] == 20

from typing import Any

import pytest
from plexus.client_api.accounts.shared_secret import make_mac

from tests.integration.accounts.conftest import PASSWORD, OpenHouse
from tests.support.house import V3, House

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/_synapse/admin/v1/register"
CLOSED = {"mode": "closed", "shared_secret": "secret"}


async def signed(house: House, name: str, *, admin: bool = False, **more: Any) -> dict[str, Any]:
    nonce = (await house.client().get(PATH)).ok()["nonce"]
    mac = make_mac("secret", nonce, name, PASSWORD, admin=admin)
    return {"nonce": nonce, "username": name, "password": PASSWORD, "admin": admin, "mac": mac, **more}


async def test_whoever_knows_the_secret_makes_accounts(other_house: OpenHouse, name: str) -> None:
    async with other_house(registration=CLOSED) as house:
        body = await signed(house, name, admin=True, displayname="Boss")
        made = (await house.client().post(PATH, body)).ok()
        assert made["user_id"] == f"@{name}:here.example.org"
        assert made["home_server"] == "here.example.org"
        assert (await house.client(made["access_token"]).get(f"{V3}/account/whoami")).status == 200
        account = await house.users.account(made["user_id"])
        assert account is not None and account.is_admin
        assert await house.users.profile(made["user_id"]) == {"displayname": "Boss"}
        # A replay finds the name taken.
        assert (await house.client().post(PATH, body)).error() == (400, "M_USER_IN_USE")


async def test_who_does_not_know_it_makes_none(other_house: OpenHouse, name: str) -> None:
    async with other_house(registration=CLOSED) as house:
        body = await signed(house, name)
        for change in ({"mac": "00"}, {"admin": True}, {"username": name + "b"}):
            assert (await house.client().post(PATH, {**body, **change})).error() == (403, "M_FORBIDDEN")
        assert (await house.client().post(PATH, {**body, "nonce": "x"})).error() == (400, "M_UNKNOWN")
        assert (await house.client().post(PATH, {})).error() == (400, "M_MISSING_PARAM")
        assert await house.users.account(f"@{name}:here.example.org") is None


async def test_wrong_macs_throttle_the_address(other_house: OpenHouse, name: str) -> None:
    limits = {"registration": {"per_second": 0.001, "burst": 2}}
    async with other_house(registration=CLOSED, rate_limits=limits) as house:
        body = await signed(house, name)
        for _ in range(2):
            assert (await house.client().post(PATH, {**body, "mac": "00"})).status == 403
        assert (await house.client().post(PATH, {**body, "mac": "00"})).status == 429


async def test_the_password_policy_holds_here_too(other_house: OpenHouse, name: str) -> None:
    async with other_house(registration=CLOSED, passwords={"min_length": 20}) as house:
        assert (await house.client().post(PATH, await signed(house, name))).error() == (
            400,
            "M_WEAK_PASSWORD",
        )

"""Pushers: ``getPushers``, ``postPusher``, and the devices they belong to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.accounts.conftest import PASSWORD, OpenHouse, sign_up
from tests.support.house import V3, House, Person

pytestmark = pytest.mark.asyncio(loop_scope="module")

URL = "https://push.example.org/_matrix/push/v1/notify"


def pusher(pushkey: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "http",
        "app_id": "org.example.app",
        "pushkey": pushkey,
        "app_display_name": "App",
        "device_display_name": "Phone",
        "profile_tag": "home",
        "lang": "en",
        "data": {"url": URL, "format": "event_id_only", "brand": "x"},
        **more,
    }


async def put(person: Person, pushkey: str, **more: Any) -> None:
    assert (await person.post(f"{V3}/pushers/set", pusher(pushkey, **more))).ok() == {}


async def keys(person: Person) -> list[str]:
    return [each["pushkey"] for each in (await person.get(f"{V3}/pushers")).ok()["pushers"]]


async def log_in(house: House, person: Person, device_id: str) -> Person:
    identifier = {"type": "m.id.user", "user": person.user_id}
    body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    made = (await house.client().post(f"{V3}/login", {**body, "device_id": device_id})).ok()
    other = Person(house.gateway, made["access_token"])
    other.user_id, other.device_id = person.user_id, device_id
    return other


async def test_a_pusher_is_made_changed_and_deleted(house: House, alice: Person, name: str) -> None:
    assert await keys(alice) == []
    await put(alice, name)
    [kept] = (await alice.get(f"{V3}/pushers")).ok()["pushers"]
    assert kept == pusher(name)
    # "the pusher with this app_id and pushkey for this user is updated".
    changed = pusher(name, lang="de")
    del changed["profile_tag"]
    assert (await alice.post(f"{V3}/pushers/set", changed)).ok() == {}
    [kept] = (await alice.get(f"{V3}/pushers")).ok()["pushers"]
    assert kept["lang"] == "de"
    assert "profile_tag" not in kept
    await put(alice, name, app_id="org.example.other")
    assert await keys(alice) == [name, name]
    gone = {"kind": None, "app_id": "org.example.app", "pushkey": name}
    for _ in range(2):
        assert (await alice.post(f"{V3}/pushers/set", gone)).ok() == {}
        [kept] = (await alice.get(f"{V3}/pushers")).ok()["pushers"]
        assert kept["app_id"] == "org.example.other"


async def test_a_pushkey_moves_to_who_sets_it_unless_it_is_appended(
    house: House, alice: Person, name: str
) -> None:
    bob = await sign_up(house, name + "-bob")
    carol = await sign_up(house, name + "-carol")
    await put(alice, name)
    await put(alice, name + "-else")
    await put(bob, name, append=True)
    assert (await keys(alice), await keys(bob)) == ([name, name + "-else"], [name])
    # "the homeserver must remove any other pushers with the same App ID and pushkey for different users".
    await put(carol, name)
    assert (await keys(alice), await keys(bob), await keys(carol)) == ([name + "-else"], [], [name])


async def test_a_pusher_goes_with_its_device(house: House, alice: Person, name: str) -> None:
    phone = await log_in(house, alice, "PHONE")
    tablet = await log_in(house, alice, "TABLET")
    await put(alice, "a" + name)
    await put(phone, "b" + name)
    await put(tablet, "c" + name)
    # Set by another device, it belongs to that one.
    await put(phone, "a" + name)
    (await alice.post(f"{V3}/logout")).ok()
    assert await keys(phone) == ["a" + name, "b" + name, "c" + name]
    (await phone.post(f"{V3}/logout")).ok()
    assert await keys(tablet) == ["c" + name]


async def test_pushers_end_with_the_sessions_that_a_new_password_ends(
    house: House, alice: Person, name: str
) -> None:
    phone = await log_in(house, alice, "PHONE")
    await put(alice, "a" + name)
    await put(phone, "b" + name)
    identifier = {"type": "m.id.user", "user": alice.user_id}

    async def change(old: str, new: str, *, logout: bool) -> None:
        auth = {"type": "m.login.password", "identifier": identifier, "password": old}
        body = {"new_password": new, "logout_devices": logout, "auth": auth}
        (await alice.post(f"{V3}/account/password", body)).ok()

    await change(PASSWORD, PASSWORD + "2", logout=False)
    assert await keys(alice) == ["a" + name, "b" + name]
    await change(PASSWORD + "2", PASSWORD + "3", logout=True)
    assert await keys(alice) == ["a" + name]
    assert await house.count("users.pusher") >= 1
    await house.users.deactivate(alice.user_id)
    assert await house.users.pushers(alice.user_id) == []


@pytest.mark.parametrize("name_missing", ["app_display_name", "device_display_name", "lang", "data"])
async def test_what_a_pusher_must_have(alice: Person, name_missing: str) -> None:
    body = pusher("key")
    del body[name_missing]
    answer = await alice.post(f"{V3}/pushers/set", body)
    assert answer.error() == (400, "M_MISSING_PARAM")
    assert name_missing in answer.json["error"]
    assert await keys(alice) == []


@pytest.mark.parametrize(
    ("more", "errcode"),
    [
        ({"kind": "email", "app_id": "m.email"}, "M_INVALID_PARAM"),
        ({"kind": "smoke"}, "M_INVALID_PARAM"),
        ({"kind": 1}, "M_BAD_JSON"),
        ({"pushkey": "ü" * 257}, "M_INVALID_PARAM"),
        ({"pushkey": ""}, "M_INVALID_PARAM"),
        ({"app_id": "a" * 65}, "M_INVALID_PARAM"),
        ({"lang": "a\0b"}, "M_INVALID_PARAM"),
        ({"data": {}}, "M_MISSING_PARAM"),
        ({"data": {"url": 1}}, "M_INVALID_PARAM"),
        ({"data": {"url": URL.replace("https", "http")}}, "M_INVALID_PARAM"),
        ({"data": {"url": URL + "/"}}, "M_INVALID_PARAM"),
        ({"data": {"url": "https://[/_matrix/push/v1/notify"}}, "M_INVALID_PARAM"),
        ({"data": {"url": "https://a:99999/_matrix/push/v1/notify"}}, "M_INVALID_PARAM"),
        ({"data": {"url": "https://user@a/_matrix/push/v1/notify"}}, "M_INVALID_PARAM"),
        ({"data": {"url": URL, "format": "everything"}}, "M_INVALID_PARAM"),
        ({"data": {"url": URL, "brand": "a" * 20_000}}, "M_INVALID_PARAM"),
    ],
)
async def test_bad_pushers(alice: Person, more: dict[str, Any], errcode: str) -> None:
    answer = await alice.post(f"{V3}/pushers/set", {**pusher("key"), **more})
    assert answer.error() == (400, errcode)
    assert await keys(alice) == []


async def test_nobody_has_more_pushers_than_are_kept(house: House, alice: Person) -> None:
    for number in range(100):
        await put(alice, f"key {number}")
    answer = await alice.post(f"{V3}/pushers/set", pusher("one more"))
    assert answer.error() == (400, "M_INVALID_PARAM")
    await put(alice, "key 7", lang="de")
    assert len(await keys(alice)) == 100


async def test_a_gateway_without_tls_is_for_tests(other_house: OpenHouse, name: str) -> None:
    async with other_house(push={"plain_http": True}) as house:
        alice = await sign_up(house, name)
        await put(alice, name, data={"url": URL.replace("https", "http")})
        assert await keys(alice) == [name]


async def test_pushers_of_nobody(house: House) -> None:
    assert (await house.client().get(f"{V3}/pushers")).error() == (401, "M_MISSING_TOKEN")
    assert (await house.client().post(f"{V3}/pushers/set", pusher("key"))).error() == (401, "M_MISSING_TOKEN")

"""Addresses and identity servers: ``/account/3pid``, ``bind``, ``unbind``, ``delete``, and deactivation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from plexus.client_api import worker
from signedjson import key as keys

from tests.integration.accounts.conftest import CHEAP, PASSWORD, OpenHouse, sign_up
from tests.support.house import SERVER, V3, House, Person, open_house
from tests.support.identity import V2, IdentityServer, error, led_on, no_json, open_identity_server
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCOUNT, BIND, UNBIND, DELETE = (f"{V3}/account/3pid{end}" for end in ("", "/bind", "/unbind", "/delete"))
SUCCESS, NO_SUPPORT = ({"id_server_unbind_result": result} for result in ("success", "no-support"))
NONSENSE = (502, "M_UNKNOWN")


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityServer]:
    with open_identity_server(tmp_path_factory.mktemp("identity")) as server:
        yield server


@pytest.fixture(autouse=True)
def as_it_was(identity: IdentityServer) -> Iterator[None]:
    yield
    identity.answers.clear()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    identity: IdentityServer, database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("house")
    async with open_house(database, folder, passwords=CHEAP, **identity.settings()) as opened:
        public = [
            keys.decode_verify_key_base64("ed25519", key.key_id.split(":")[1], key.verify_key.to_base64())
            for key in opened.platform.keys.all()
        ]
        identity.home_keys[SERVER] = public
        yield opened


def email_of(name: str) -> dict[str, str]:
    return {"medium": "email", "address": f"{name}@example.org"}


async def bound(identity: IdentityServer, person: Person, name: str) -> dict[str, str]:
    """An address that the person has bound."""
    (await person.post(BIND, identity.session(f"{name}@example.org"))).ok()
    return email_of(name)


async def deactivate(person: Person, **more: Any) -> Any:
    user = {"type": "m.id.user", "user": person.user_id}
    auth = {"type": "m.login.password", "identifier": user, "password": PASSWORD}
    return (await person.post(f"{V3}/account/deactivate", {"auth": auth, **more})).ok()


# --- bind


async def test_an_address_is_bound_through_the_identity_server_and_not_added(
    identity: IdentityServer, alice: Person, name: str
) -> None:
    await bound(identity, alice, name)
    assert identity.bound["email", f"{name}@example.org"] == alice.user_id
    assert (await alice.get(ACCOUNT)).ok() == {"threepids": []}


async def test_binding_is_not_prevented_by_somebody_elses_binding(
    house: House, identity: IdentityServer, alice: Person, name: str
) -> None:
    bob = await sign_up(house, name + "-bob")
    await bound(identity, alice, name)
    await bound(identity, bob, name)
    assert identity.bound["email", f"{name}@example.org"] == bob.user_id


async def test_the_identity_servers_errors_are_passed_on(
    identity: IdentityServer, alice: Person, name: str
) -> None:
    early = identity.session(f"{name}@example.org", validated=False)
    assert (await alice.post(BIND, early)).error() == (400, "M_SESSION_NOT_VALIDATED")
    assert (await alice.post(BIND, {**early, "sid": "none"})).error() == (404, "M_NO_VALID_SESSION")
    identity.answers[f"{V2}/3pid/bind"] = error(403, "M_TERMS_NOT_SIGNED", "Please accept our terms")
    refused = await alice.post(BIND, early)
    assert refused.error() == (403, "M_TERMS_NOT_SIGNED")
    assert "Please accept our terms" in refused.json["error"]


async def test_no_answer_of_an_identity_server_ends_the_clients_session(
    identity: IdentityServer, alice: Person, name: str
) -> None:
    session = identity.session(f"{name}@example.org")
    wrong = await alice.post(BIND, {**session, "id_access_token": "other"})
    assert wrong.error() == (403, "M_UNAUTHORIZED")
    identity.answers[f"{V2}/3pid/bind"] = error(401, "M_UNKNOWN_TOKEN", "gone")
    answer = await alice.post(BIND, session)
    assert answer.error() == (403, "M_UNAUTHORIZED") and "soft_logout" not in answer.json


async def test_answers_that_make_no_sense(identity: IdentityServer, alice: Person, name: str) -> None:
    session = identity.session(f"{name}@example.org")
    for answer in (
        no_json(200),
        no_json(400),
        error(500, "M_UNKNOWN", "oops"),
        led_on(f"https://{identity.name}/elsewhere"),
        no_json(200).__class__(content="x" * 100_000),
        error(200, "M_FINE", "no binding in it"),
    ):
        identity.answers[f"{V2}/3pid/bind"] = answer
        assert (await alice.post(BIND, session)).error() == NONSENSE
    assert "GET /elsewhere" not in identity.asked


async def test_only_trusted_identity_servers_are_asked(
    house: House, identity: IdentityServer, alice: Person, name: str
) -> None:
    session = {**identity.session(f"{name}@example.org"), "id_server": "example.org"}
    asked = len(identity.asked)
    removal = {**email_of(name), "id_server": "example.org"}
    for answer in (
        await alice.post(BIND, session),
        await alice.post(ACCOUNT, {"three_pid_creds": session}),
        await alice.post(UNBIND, removal),
        await alice.post(DELETE, removal),
        await alice.post(f"{V3}/account/deactivate", {"id_server": "example.org"}),
    ):
        assert answer.error() == (400, "M_SERVER_NOT_TRUSTED")
    assert len(identity.asked) == asked


async def test_a_trusted_server_at_a_private_address_is_not_asked_unless_that_is_allowed(
    other_house: OpenHouse, identity: IdentityServer, name: str
) -> None:
    settings = identity.settings()
    del settings["outbound"]["allowed_private_ranges"]
    asked = len(identity.asked)
    async with other_house(**settings) as house:
        alice = await sign_up(house, name)
        assert (await alice.post(BIND, identity.session(f"{name}@example.org"))).error() == NONSENSE
    assert len(identity.asked) == asked


async def test_what_is_no_request(identity: IdentityServer, alice: Person, name: str) -> None:
    session = identity.session(f"{name}@example.org")
    for missing in session:
        body = {key: value for key, value in session.items() if key != missing}
        assert (await alice.post(BIND, body)).error() == (400, "M_MISSING_PARAM")
        assert (await alice.post(ACCOUNT, {"three_pid_creds": body})).error() == (400, "M_MISSING_PARAM")
    for change in (
        {"id_server": "https://x"},
        {"id_server": "x/y"},
        {"id_access_token": "a\r\nb"},
        {"sid": "a b"},
    ):
        assert (await alice.post(BIND, {**session, **change})).error() == (400, "M_INVALID_PARAM")
    for path in (UNBIND, DELETE):
        assert (await alice.post(path, {"medium": "email"})).error() == (400, "M_MISSING_PARAM")
        assert (await alice.post(path, {**email_of(name), "medium": "fax"})).error()[0] == 400


# --- unbind and delete


async def test_unbinding_is_signed_by_this_server_and_keeps_the_address(
    house: House, identity: IdentityServer, alice: Person, name: str
) -> None:
    address = await bound(identity, alice, name)
    await house.users.add_email(alice.user_id, address["address"], 1)
    assert (await alice.post(UNBIND, address)).ok() == SUCCESS
    assert ("email", address["address"]) not in identity.bound
    [kept] = (await alice.get(ACCOUNT)).ok()["threepids"]
    assert kept["address"] == address["address"]
    # Where it is bound is not known any more.
    assert (await alice.post(UNBIND, address)).ok() == NO_SUPPORT
    assert (await alice.post(UNBIND, {**address, "id_server": identity.name})).ok() == SUCCESS


async def test_an_identity_server_that_does_not_unbind(
    house: House, identity: IdentityServer, alice: Person, name: str
) -> None:
    address = await bound(identity, alice, name)
    for status in (400, 404, 501):
        identity.answers[f"{V2}/3pid/unbind"] = no_json(status)
        assert (await alice.post(UNBIND, address)).ok() == NO_SUPPORT
    identity.answers[f"{V2}/3pid/unbind"] = error(403, "M_FORBIDDEN", "Not from homeservers")
    assert (await alice.post(UNBIND, address)).error() == (403, "M_FORBIDDEN")
    # It is removed from the account whatever the identity server says.
    await house.users.add_email(alice.user_id, address["address"], 1)
    assert (await alice.post(DELETE, address)).ok() == NO_SUPPORT
    assert (await alice.get(ACCOUNT)).ok() == {"threepids": []}
    identity.answers.clear()
    assert (await alice.post(UNBIND, address)).ok() == SUCCESS


async def test_deleting_unbinds_where_it_was_bound(
    house: House, identity: IdentityServer, alice: Person, name: str
) -> None:
    address = await bound(identity, alice, name)
    await house.users.add_email(alice.user_id, address["address"], 1)
    assert (await alice.post(DELETE, {**address, "address": address["address"].upper()})).ok() == SUCCESS
    assert ("email", address["address"]) not in identity.bound
    assert (await alice.get(ACCOUNT)).ok() == {"threepids": []}
    assert (await alice.post(DELETE, address)).ok() == NO_SUPPORT


# --- post3PIDs


async def test_an_address_that_the_identity_server_has_validated_is_added_and_not_bound(
    house: House, identity: IdentityServer, alice: Person, name: str
) -> None:
    creds = {"three_pid_creds": identity.session(f"{name}@Example.org")}
    assert (await alice.post(ACCOUNT, creds)).ok() == {}
    [added] = (await alice.get(ACCOUNT)).ok()["threepids"]
    assert (added["medium"], added["address"]) == ("email", f"{name}@example.org")
    assert ("email", f"{name}@Example.org") not in identity.bound
    # It is the account's now, but no way to a new password: this server has not validated it.
    assert await house.users.user_of_email(f"{name}@example.org") == alice.user_id
    assert await house.users.user_of_email(f"{name}@example.org", validated_here=True) is None
    bob = await sign_up(house, name + "-bob")
    assert (await bob.post(ACCOUNT, creds)).error() == (400, "M_THREEPID_IN_USE")
    # What it was added through is where it is unbound from.
    identity.bound["email", f"{name}@example.org"] = alice.user_id
    assert (await alice.post(DELETE, email_of(name))).ok() == SUCCESS
    assert ("email", f"{name}@example.org") not in identity.bound


async def test_an_address_that_is_not_validated_is_not_added(
    identity: IdentityServer, alice: Person, name: str
) -> None:
    early = identity.session(f"{name}@example.org", validated=False)
    for creds in (early, {**early, "sid": "none"}):
        answer = await alice.post(ACCOUNT, {"three_pid_creds": creds})
        assert answer.error() == (403, "M_THREEPID_AUTH_FAILED")
    phone = identity.session("447700900001", medium="msisdn")
    answer = await alice.post(ACCOUNT, {"three_pid_creds": phone})
    assert answer.error() == (400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")
    assert (await alice.get(ACCOUNT)).ok() == {"threepids": []}


# --- deactivation


async def test_a_closed_account_is_unbound_everywhere(
    house: House, identity: IdentityServer, alice: Person, name: str
) -> None:
    for each in (name, name + "-too"):
        await bound(identity, alice, each)
    assert await deactivate(alice) == SUCCESS
    assert alice.user_id not in identity.bound.values()
    assert await house.users.bindings(alice.user_id) == []


async def test_a_closed_account_with_nothing_to_unbind(alice: Person) -> None:
    assert await deactivate(alice) == SUCCESS


async def test_a_closed_account_whose_identity_server_refuses(
    house: House, identity: IdentityServer, alice: Person, name: str
) -> None:
    await bound(identity, alice, name)
    identity.answers[f"{V2}/3pid/unbind"] = error(403, "M_FORBIDDEN", "no")
    assert await deactivate(alice) == NO_SUPPORT
    account = await house.users.account(alice.user_id)
    assert account is not None and account.deactivated


async def test_a_closed_account_is_unbound_from_the_server_that_the_request_names(
    house: House, identity: IdentityServer, alice: Person, name: str
) -> None:
    # Bound past this server, which knows of the address only.
    await house.users.add_email(alice.user_id, f"{name}@example.org", 1)
    identity.bound["email", f"{name}@example.org"] = alice.user_id
    assert await deactivate(alice, id_server=identity.name) == SUCCESS
    assert ("email", f"{name}@example.org") not in identity.bound


async def test_what_a_dead_process_left_bound_is_unbound_by_the_worker(
    house: House, identity: IdentityServer, alice: Person, name: str
) -> None:
    await bound(identity, alice, name)
    # All that the endpoint does before it asks the identity server.
    assert await house.users.deactivate(alice.user_id)
    service = worker.build(house.platform, rooms=house.rooms, users=house.users, wire=house.wire)
    await service.start()
    try:
        async with asyncio.timeout(10):
            while await house.users.bindings(alice.user_id):
                await asyncio.sleep(0.05)
    finally:
        await service.drain()
    assert ("email", f"{name}@example.org") not in identity.bound

"""Terms at registration, and the "Fallback" pages of user-interactive authentication."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.accounts.conftest import PASSWORD, OpenHouse, sign_up
from tests.support.house import V3, House, Person
from tests.support.http import Answer, seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

TERMS: list[dict[str, Any]] = [
    {
        "id": "privacy",
        "version": "1.2",
        "languages": {
            "en": {"name": "Privacy & <you>", "url": "https://example.org/privacy?a=1&b=2"},
            "fr": {"name": "Vie privée", "url": "https://example.org/vie"},
        },
    }
]


def page(stage: str, session: str) -> str:
    return f"{V3}/auth/{stage}/fallback/web?session={seg(session)}"


async def fill_in(house: House, stage: str, session: str, form: bytes = b"") -> Answer:
    kind = {"content-type": "application/x-www-form-urlencoded"}
    return await house.client().request("POST", page(stage, session), form, headers=kind)


async def test_terms_are_accepted_before_an_account_is_made(other_house: OpenHouse, name: str) -> None:
    async with other_house(registration={"mode": "open", "terms": TERMS}) as house:
        body: dict[str, Any] = {"username": name, "password": PASSWORD}
        asked = await house.client().post(f"{V3}/register", body)
        assert asked.json["flows"] == [{"stages": ["m.login.terms"]}]
        assert asked.json["params"]["m.login.terms"]["policies"] == {
            "privacy": {"version": "1.2", **TERMS[0]["languages"]}
        }
        session = asked.json["session"]
        dummy = {**body, "auth": {"type": "m.login.dummy", "session": session}}
        assert (await house.client().post(f"{V3}/register", dummy)).error() == (401, "M_FORBIDDEN")
        body["auth"] = {"type": "m.login.terms", "session": session}
        (await house.client().post(f"{V3}/register", body)).ok()


async def test_terms_come_before_the_token(other_house: OpenHouse, name: str) -> None:
    async with other_house(registration={"mode": "token", "terms": TERMS}) as house:
        await house.users.make_registration_token(name)
        body: dict[str, Any] = {"username": name, "password": PASSWORD}
        asked = await house.client().post(f"{V3}/register", body)
        assert asked.json["flows"] == [{"stages": ["m.login.terms", "m.login.registration_token"]}]
        session = asked.json["session"]
        # Both on pages; the session was given out for a request without a name.
        shown = await house.client().get(page("m.login.terms", session))
        assert "Privacy &amp; &lt;you&gt;" in shown.body.decode()
        assert "https://example.org/privacy?a=1&amp;b=2" in shown.body.decode()
        assert (await fill_in(house, "m.login.terms", session)).status == 200
        half = await house.client().post(f"{V3}/register", {**body, "auth": {"session": session}})
        assert (half.status, half.json["completed"]) == (401, ["m.login.terms"])
        wrong = await fill_in(house, "m.login.registration_token", session, b"token=wrong")
        assert wrong.status == 403 and b"not valid" in wrong.body
        done = await fill_in(house, "m.login.registration_token", session, b"token=" + name.encode())
        assert done.status == 200 and b"onAuthDone" in done.body
        (await house.client().post(f"{V3}/register", {**body, "auth": {"session": session}})).ok()


async def test_a_page_completes_a_session_for_one_request(house: House, name: str) -> None:
    session = (await house.client().post(f"{V3}/register", {})).json["session"]
    body: dict[str, Any] = {"username": name, "password": PASSWORD, "auth": {"session": session}}
    assert (await house.client().post(f"{V3}/register", body)).status == 401
    assert (await house.client().get(page("m.login.dummy", session))).status == 200
    assert (await house.client().post(f"{V3}/register", body)).status == 401
    assert (await fill_in(house, "m.login.dummy", session)).status == 200
    (await house.client().post(f"{V3}/register", body)).ok()
    body["username"] = name + "-2"
    assert (await house.client().post(f"{V3}/register", body)).status == 401


async def test_the_page_asks_for_the_password(house: House, alice: Person, name: str) -> None:
    other = await house.device(alice)
    path = f"{V3}/devices/{other.device_id}"
    session = (await alice.request("DELETE", path, {})).json["session"]
    shown = await house.client().get(page("m.login.password", session))
    assert shown.status == 200 and b'type="password"' in shown.body
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    for form, status in ((b"user=x&password=y", 403), (b"user=x", 400), (b"\xff", 400)):
        failed = await fill_in(house, "m.login.password", session, form)
        assert failed.status == status and b'role="alert"' in failed.body
    auth = {"auth": {"session": session}}
    assert (await alice.request("DELETE", path, auth)).status == 401
    good = f"user={name}&password={PASSWORD}".encode()
    assert (await fill_in(house, "m.login.password", session, good)).status == 200
    # For the first request that uses it, and for no other.
    assert (await alice.request("DELETE", path, auth)).status == 200
    assert (await alice.request("DELETE", f"{V3}/devices/ALICE", auth)).status == 401


async def test_the_password_of_somebody_else_helps_nobody(house: House, alice: Person, name: str) -> None:
    await sign_up(house, name + "-bob")
    session = (await alice.request("DELETE", f"{V3}/devices/ALICE", {})).json["session"]
    form = f"user={name}-bob&password={PASSWORD}".encode()
    assert (await fill_in(house, "m.login.password", session, form)).status == 200
    answer = await alice.request("DELETE", f"{V3}/devices/ALICE", {"auth": {"session": session}})
    assert answer.error() == (403, "M_FORBIDDEN")
    assert (await alice.get(f"{V3}/account/whoami")).status == 200


async def test_what_is_no_page(house: House) -> None:
    for stage in ("m.login.recaptcha", "m.login.terms", "x"):
        assert (await house.client().get(page(stage, "s"))).error() == (404, "M_NOT_FOUND")
        assert (await fill_in(house, stage, "s")).error() == (404, "M_NOT_FOUND")
    for session in ("", "x" * 65, "é"):
        assert (await house.client().get(page("m.login.dummy", session))).error() == (400, "M_INVALID_PARAM")
    missing = await house.client().get(f"{V3}/auth/m.login.dummy/fallback/web")
    assert missing.error() == (400, "M_MISSING_PARAM")
    assert (await fill_in(house, "m.login.dummy", "s", b"x" * 9_000)).error() == (413, "M_TOO_LARGE")


async def test_the_page_that_logs_in(house: House) -> None:
    """What its script does is tested where there is one to run it: ``tests/interop/js/login.mjs``."""
    shown = await house.client().get("/_matrix/static/client/login/?device_id=PHONE")
    assert shown.status == 200 and b'type="password"' in shown.body
    assert shown.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    refused = await house.client().post("/_matrix/static/client/login/", {})
    assert refused.error() == (405, "M_UNRECOGNIZED")

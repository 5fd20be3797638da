"""Email addresses: registration, password reset, and "Adding Account Administrative Contact Information"."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.integration.accounts.conftest import CHEAP, PASSWORD, OpenHouse, sign_up
from tests.support.authority import Authority
from tests.support.house import V3, House, Person, open_house
from tests.support.http import Answer
from tests.support.postgres import TestDatabase
from tests.support.smtp import Mailbox, open_mailbox

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGISTER = f"{V3}/register/email/requestToken"
RESET = f"{V3}/account/password/email/requestToken"
ADD = f"{V3}/account/3pid/email/requestToken"
EMAIL = "m.login.email.identity"


def mail_settings(mailbox: Mailbox, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": mailbox.port, "security": "none", "sender": "plexus@x.org", **more}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mailbox() -> AsyncIterator[Mailbox]:
    async with open_mailbox() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    mailbox: Mailbox, database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("house")
    async with open_house(database, folder, passwords=CHEAP, email=mail_settings(mailbox)) as opened:
        yield opened


async def ask(
    house: House, path: str, email: str, *, secret: str = "secret", attempt: int = 1, **more: Any
) -> Answer:
    body = {"email": email, "client_secret": secret, "send_attempt": attempt, **more}
    return await house.client().post(path, body)


async def follow(house: House, link: str) -> Answer:
    """What somebody does who gets the email: open the link, and press the button."""
    parts = urlsplit(link)
    assert link.startswith(house.platform.settings.public_base_url)
    shown = await house.client().get(f"{parts.path}?{parts.query}")
    assert shown.status == 200 and b'<form method="post"' in shown.body
    return await house.client().request("POST", f"{parts.path}?{parts.query}")


async def validated(house: House, mailbox: Mailbox, path: str, email: str, **more: Any) -> dict[str, str]:
    """The credentials of an address that was validated."""
    sid = (await ask(house, path, email, **more)).ok()["sid"]
    assert (await follow(house, mailbox.link(email.lower()))).status == 200
    return {"sid": sid, "client_secret": more.get("secret", "secret")}


def by_email(creds: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"type": EMAIL, "threepid_creds": creds, **more}


def by_password(person: Person) -> dict[str, Any]:
    identifier = {"type": "m.id.user", "user": person.user_id}
    return {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}


async def with_email(house: House, mailbox: Mailbox, name: str) -> Person:
    person = await sign_up(house, name)
    creds = await validated(house, mailbox, ADD, f"{name}@example.org")
    (await person.post(f"{V3}/account/3pid/add", {**creds, "auth": by_password(person)})).ok()
    return person


# --- validation


async def test_the_email_has_a_link_and_nothing_is_validated_before_it_is_confirmed(
    house: House, mailbox: Mailbox, name: str
) -> None:
    email = f"{name}@example.org"
    sid = (await ask(house, REGISTER, email)).ok()["sid"]
    sent = mailbox.last(email)
    assert sent["From"] == "plexus@x.org"
    assert "here.example.org" in sent["Subject"]
    link = urlsplit(mailbox.link(email))
    # Looking does nothing: scanners of emails look too.
    page = await house.client().get(f"{link.path}?{link.query}")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert await house.users.validated_email("register", sid, "secret") is None
    done = await follow(house, mailbox.link(email))
    assert done.status == 200 and b"Thank you" in done.body
    found = await house.users.validated_email("register", sid, "secret")
    assert found is not None and found[0] == email
    assert await house.users.validated_email("register", sid, "other") is None
    assert await house.users.validated_email("password", sid, "secret") is None


async def test_the_same_attempt_sends_no_second_email(house: House, mailbox: Mailbox, name: str) -> None:
    email = f"{name}@example.org"
    first = (await ask(house, REGISTER, email)).ok()
    sent, old = len(mailbox.emails), mailbox.link(email)
    assert (await ask(house, REGISTER, email)).ok() == first
    assert len(mailbox.emails) == sent
    assert (await ask(house, REGISTER, email, attempt=2)).ok() == first
    assert len(mailbox.emails) == sent + 1
    assert (await follow(house, old)).status == 400
    assert (await follow(house, mailbox.link(email))).status == 200
    other = (await ask(house, REGISTER, email, secret="another")).ok()
    assert other != first


async def test_who_confirms_is_sent_to_the_next_link(house: House, mailbox: Mailbox, name: str) -> None:
    email = f"{name}@example.org"
    await ask(house, REGISTER, email, next_link="https://example.org/thanks")
    done = await follow(house, mailbox.link(email))
    assert (done.status, done.headers["location"]) == (303, "https://example.org/thanks")


async def test_a_validation_expires(house: House, mailbox: Mailbox, name: str) -> None:
    email = f"{name}@example.org"
    creds = await validated(house, mailbox, REGISTER, email)
    async with house.platform.db.write() as write:
        now = house.platform.clock.now_ms()
        await write.execute("UPDATE users.email_validation SET expires_ts = %s", (now,))
    assert await house.users.validated_email("register", creds["sid"], "secret") is None
    # The same attempt is a new one then, and has a new ID.
    again = (await ask(house, REGISTER, email)).ok()
    assert again["sid"] != creds["sid"]
    assert await house.users.validated_email("register", again["sid"], "secret") is None


@pytest.mark.parametrize("path", [REGISTER, RESET, ADD])
async def test_what_is_no_request(house: House, path: str) -> None:
    for email in ("nobody", "a@b@c", "a b@c", "a@b\r\nBcc: c@d", "a@-b", "@b", "x" * 65 + "@b", "ü@b"):
        assert (await ask(house, path, email)).error() == (400, "M_INVALID_PARAM")
    changes: list[dict[str, Any]] = [
        {"secret": ""},
        {"secret": "a b"},
        {"secret": "x" * 256},
        {"next_link": "javascript:x"},
    ]
    for change in changes:
        assert (await ask(house, path, "a@b.org", **change)).error() == (400, "M_INVALID_PARAM")
    assert (await house.client().post(path, {})).error() == (400, "M_MISSING_PARAM")


async def test_an_email_that_was_not_taken_is_sent_by_the_same_attempt_later(
    house: House, mailbox: Mailbox, name: str
) -> None:
    email = f"{name}@example.org"
    mailbox.refusing = True
    try:
        assert (await ask(house, REGISTER, email)).error() == (503, "M_UNKNOWN")
    finally:
        mailbox.refusing = False
    assert (await ask(house, REGISTER, email)).status == 200
    mailbox.last(email)


async def test_phone_numbers_are_not_supported(house: House) -> None:
    body = {"client_secret": "x", "country": "GB", "phone_number": "07700900001", "send_attempt": 1}
    for of in ("account/3pid", "account/password", "register"):
        answer = await house.client().post(f"{V3}/{of}/msisdn/requestToken", body)
        assert answer.error() == (400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")


async def test_without_an_smtp_server_there_are_no_emails(other_house: OpenHouse, name: str) -> None:
    async with other_house() as house:
        for path in (REGISTER, RESET, ADD):
            assert (await ask(house, path, "a@b.org")).error() == (400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")
        alice = await sign_up(house, name)
        told = (await alice.get(f"{V3}/capabilities")).ok()["capabilities"]
        assert told["m.3pid_changes"] == {"enabled": False}


async def test_emails_are_limited(other_house: OpenHouse, mailbox: Mailbox, name: str) -> None:
    limits = {"email": {"per_second": 0.001, "burst": 2}}
    async with other_house(rate_limits=limits, email=mail_settings(mailbox)) as house:
        for attempt in (1, 2):
            assert (await ask(house, REGISTER, f"{name}@example.org", attempt=attempt)).status == 200
        answer = await ask(house, REGISTER, f"{name}@example.org", attempt=3)
        assert answer.error() == (429, "M_LIMIT_EXCEEDED")


async def test_emails_go_over_tls_and_with_a_password(
    other_house: OpenHouse, tmp_path: Path, name: str
) -> None:
    authority = Authority(tmp_path / "authority")
    files = authority.issue("mailbox")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files["certificate"], files["private_key"])
    async with open_mailbox(tls=context, password="letters") as mailbox:
        secure = {"host": "localhost", "security": "starttls", "username": "plexus"}
        good = mail_settings(mailbox, **secure, password="letters")
        bad = mail_settings(mailbox, **secure, password="wrong")
        outbound = {"extra_ca": str(authority.file)}
        async with other_house(email=good, outbound=outbound) as house:
            assert (await ask(house, REGISTER, f"{name}@example.org")).status == 200
        assert mailbox.encrypted == [True]
        async with other_house(email=bad, outbound=outbound) as house:
            assert (await ask(house, REGISTER, f"{name}2@example.org")).error() == (503, "M_UNKNOWN")
        # A server whose certificate nobody vouches for.
        async with other_house(email=good) as house:
            assert (await ask(house, REGISTER, f"{name}3@example.org")).error() == (503, "M_UNKNOWN")
        assert len(mailbox.emails) == 1


# --- registration


async def test_registering_with_an_address(house: House, mailbox: Mailbox, name: str) -> None:
    body: dict[str, Any] = {"username": name, "password": PASSWORD}
    asked = await house.client().post(f"{V3}/register", body)
    assert asked.json["flows"] == [{"stages": ["m.login.dummy"]}, {"stages": [EMAIL]}]
    session = asked.json["session"]
    email = f"{name}@Example.org"
    sid = (await ask(house, REGISTER, email)).ok()["sid"]
    creds = {"sid": sid, "client_secret": "secret"}
    body["auth"] = by_email(creds, session=session)
    assert (await house.client().post(f"{V3}/register", body)).error() == (401, "M_THREEPID_AUTH_FAILED")
    assert (await follow(house, mailbox.link(email.lower()))).status == 200
    made = (await house.client().post(f"{V3}/register", body)).ok()
    client = house.client(made["access_token"])
    [threepid] = (await client.get(f"{V3}/account/3pid")).ok()["threepids"]
    assert (threepid["medium"], threepid["address"]) == ("email", email.lower())
    # Used up: not good for another account.
    body["username"] = name + "b"
    assert (await house.client().post(f"{V3}/register", body)).error() == (401, "M_THREEPID_AUTH_FAILED")


async def test_who_has_an_account_by_the_address_is_told_by_email_and_nobody_else(
    house: House, mailbox: Mailbox, name: str
) -> None:
    await with_email(house, mailbox, name)
    email = f"{name}@example.org"
    for path in (REGISTER, ADD):
        assert set((await ask(house, path, email, secret="mine")).ok()) == {"sid"}
        assert "http" not in mailbox.last(email).get_content()
        assert "account" in mailbox.last(email)["Subject"]
    assert set((await ask(house, RESET, f"not-{email}")).ok()) == {"sid"}
    assert "No account" in mailbox.last(f"not-{email}")["Subject"]


async def test_an_address_may_be_required(other_house: OpenHouse, mailbox: Mailbox, name: str) -> None:
    settings = {"mode": "token", "require_email": True}
    async with other_house(registration=settings, email=mail_settings(mailbox)) as house:
        await house.users.make_registration_token(name)
        body: dict[str, Any] = {"username": name, "password": PASSWORD}
        asked = await house.client().post(f"{V3}/register", body)
        assert asked.json["flows"] == [{"stages": [EMAIL, "m.login.registration_token"]}]
        session = asked.json["session"]
        creds = await validated(house, mailbox, REGISTER, f"{name}@example.org")
        body["auth"] = {"type": "m.login.registration_token", "token": name, "session": session}
        assert (await house.client().post(f"{V3}/register", body)).error() == (401, "M_FORBIDDEN")
        half = await house.client().post(f"{V3}/register", {**body, "auth": by_email(creds, session=session)})
        assert (half.status, half.json["completed"]) == (401, [EMAIL])
        made = (await house.client().post(f"{V3}/register", body)).ok()
        assert await house.users.user_of_email(f"{name}@example.org") == made["user_id"]


async def test_no_emails_for_registration_where_it_is_closed(
    other_house: OpenHouse, mailbox: Mailbox
) -> None:
    async with other_house(registration={"mode": "closed"}, email=mail_settings(mailbox)) as house:
        assert (await ask(house, REGISTER, "a@b.org")).error() == (403, "M_FORBIDDEN")


# --- the password


async def test_a_forgotten_password_is_set_anew_by_the_address(
    house: House, mailbox: Mailbox, name: str
) -> None:
    alice = await with_email(house, mailbox, name)
    body: dict[str, Any] = {"new_password": "looking-glass", "logout_devices": True}
    asked = await house.client().post(f"{V3}/account/password", body)
    assert {"stages": [EMAIL]} in asked.json["flows"]
    creds = await validated(house, mailbox, RESET, f"{name}@example.org")
    body["auth"] = by_email(creds)
    (await house.client().post(f"{V3}/account/password", body)).ok()
    assert (await alice.get(f"{V3}/account/whoami")).error() == (401, "M_UNKNOWN_TOKEN")
    login = {**by_password(alice), "password": "looking-glass"}
    assert (await house.client().post(f"{V3}/login", login)).status == 200
    again = await house.client().post(f"{V3}/account/password", {**body, "new_password": "once-more"})
    assert again.error() == (401, "M_THREEPID_AUTH_FAILED")


async def test_an_address_validated_for_something_else_sets_no_password(
    house: House, mailbox: Mailbox, name: str
) -> None:
    await with_email(house, mailbox, name)
    bob = await with_email(house, mailbox, name + "-bob")
    body: dict[str, Any] = {"new_password": "looking-glass"}
    email = f"{name}-new@example.org"
    for creds in (await validated(house, mailbox, ADD, email), {"sid": "x", "client_secret": "y"}):
        answer = await house.client().post(f"{V3}/account/password", {**body, "auth": by_email(creds)})
        assert answer.error() == (401, "M_THREEPID_AUTH_FAILED")
    # Nor does one's own address set that of somebody else.
    creds = await validated(house, mailbox, RESET, f"{name}@example.org")
    answer = await bob.post(f"{V3}/account/password", {**body, "auth": by_email(creds)})
    assert answer.error() == (401, "M_THREEPID_AUTH_FAILED")
    for bad in ("x", {}, {"sid": 1, "client_secret": "x"}):
        sent = {"type": EMAIL, "threepid_creds": bad}
        answer = await house.client().post(f"{V3}/account/password", {**body, "auth": sent})
        assert answer.status == 400


async def test_a_locked_account_gets_no_new_password(house: House, mailbox: Mailbox, name: str) -> None:
    alice = await with_email(house, mailbox, name)
    creds = await validated(house, mailbox, RESET, f"{name}@example.org")
    await house.users.moderate(alice.user_id, locked=True)
    body = {"new_password": "looking-glass", "auth": by_email(creds)}
    assert (await house.client().post(f"{V3}/account/password", body)).error() == (401, "M_USER_LOCKED")


async def test_login_by_the_address(house: House, mailbox: Mailbox, name: str) -> None:
    alice = await with_email(house, mailbox, name)
    identifier = {"type": "m.id.thirdparty", "medium": "email", "address": f"{name}@EXAMPLE.org"}
    login = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
    assert (await house.client().post(f"{V3}/login", login)).ok()["user_id"] == alice.user_id
    login["identifier"] = {**identifier, "address": "nobody@example.org"}
    assert (await house.client().post(f"{V3}/login", login)).error() == (403, "M_FORBIDDEN")


# --- addresses of an account


async def test_addresses_are_added_listed_and_removed(house: House, mailbox: Mailbox, name: str) -> None:
    alice = await sign_up(house, name)
    told = (await alice.get(f"{V3}/capabilities")).ok()["capabilities"]
    assert told["m.3pid_changes"] == {"enabled": True}
    assert (await alice.get(f"{V3}/account/3pid")).ok() == {"threepids": []}
    email = f"{name}@example.org"
    creds = await validated(house, mailbox, ADD, email)
    assert (await alice.post(f"{V3}/account/3pid/add", creds)).status == 401
    (await alice.post(f"{V3}/account/3pid/add", {**creds, "auth": by_password(alice)})).ok()
    [threepid] = (await alice.get(f"{V3}/account/3pid")).ok()["threepids"]
    assert (threepid["medium"], threepid["address"]) == ("email", email)
    assert 0 < threepid["validated_at"] <= threepid["added_at"]
    removed = {"medium": "email", "address": email}
    for _ in range(2):
        answer = (await alice.post(f"{V3}/account/3pid/delete", removed)).ok()
        assert answer == {"id_server_unbind_result": "no-support"}
    assert (await alice.get(f"{V3}/account/3pid")).ok() == {"threepids": []}


async def test_an_address_is_added_once_and_only_when_validated(
    house: House, mailbox: Mailbox, name: str
) -> None:
    alice, bob = await sign_up(house, name), await sign_up(house, name + "-bob")
    email = f"{name}@example.org"
    sid = (await ask(house, ADD, email)).ok()["sid"]
    pending = {"sid": sid, "client_secret": "secret"}
    add = f"{V3}/account/3pid/add"
    answer = await alice.post(add, {**pending, "auth": by_password(alice)})
    assert answer.error() == (403, "M_THREEPID_AUTH_FAILED")
    # Both validate it before one of them adds it.
    assert (await follow(house, mailbox.link(email))).status == 200
    others = await validated(house, mailbox, ADD, email, secret="others")
    (await alice.post(add, {**pending, "auth": by_password(alice)})).ok()
    answer = await bob.post(add, {**others, "auth": by_password(bob)})
    assert answer.error() == (400, "M_THREEPID_IN_USE")
    # Nobody removes what is not theirs.
    await bob.post(f"{V3}/account/3pid/delete", {"medium": "email", "address": email})
    assert await house.users.user_of_email(email) == alice.user_id


async def test_addresses_go_with_the_account(house: House, mailbox: Mailbox, name: str) -> None:
    alice = await with_email(house, mailbox, name)
    (await alice.post(f"{V3}/account/deactivate", {"auth": by_password(alice)})).ok()
    assert await house.users.user_of_email(f"{name}@example.org") is None


async def test_addresses_are_for_who_has_logged_in(house: House, alice: Person) -> None:
    nobody = house.client()
    assert (await nobody.get(f"{V3}/account/3pid")).error() == (401, "M_MISSING_TOKEN")
    for path, body in (("add", {"sid": "x", "client_secret": "y"}), ("delete", {})):
        answer = await nobody.post(f"{V3}/account/3pid/{path}", body)
        assert answer.error() == (401, "M_MISSING_TOKEN")
    assert (await alice.post(f"{V3}/account/3pid/delete", {"medium": "pigeon", "address": "x"})).status == 400


async def test_who_is_suspended_adds_addresses_and_removes_none(
    house: House, mailbox: Mailbox, name: str
) -> None:
    alice = await with_email(house, mailbox, name)
    await house.users.moderate(alice.user_id, suspended=True)
    creds = await validated(house, mailbox, ADD, f"{name}-2@example.org")
    (await alice.post(f"{V3}/account/3pid/add", {**creds, "auth": by_password(alice)})).ok()
    removed = {"medium": "email", "address": f"{name}@example.org"}
    answer = await alice.post(f"{V3}/account/3pid/delete", removed)
    assert answer.error() == (403, "M_USER_SUSPENDED")

"""Client-Server API, "Third-party invites"."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from tests.support.house import V3, House, Person, open_house
from tests.support.http import seg
from tests.support.identity import V2, IdentityServer, error, open_identity_server
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = (403, "M_FORBIDDEN")
_numbers = count(1)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityServer]:
    with open_identity_server(tmp_path_factory.mktemp("identity")) as server:
        yield server


@pytest.fixture(autouse=True)
def as_it_was(identity: IdentityServer) -> Iterator[None]:
    yield
    identity.answers.clear()
    identity.revoked.clear()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    identity: IdentityServer, database: TestDatabase, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    async with open_house(database, tmp_path_factory.mktemp("house"), **identity.settings()) as opened:
        yield opened


@pytest.fixture
def email() -> str:
    return f"somebody{next(_numbers)}@example.org"


def wanted(identity: IdentityServer, email: str, **more: Any) -> dict[str, Any]:
    return {
        "id_server": identity.name,
        "id_access_token": identity.token,
        "medium": "email",
        "address": email,
        **more,
    }


async def invited(identity: IdentityServer, alice: Person, email: str, **room: Any) -> tuple[str, Any]:
    """A room of Alice's, and what the identity server keeps of her invite."""
    room_id = await alice.create_room(**room)
    (await alice.post(f"{alice.room(room_id)}/invite", wanted(identity, email))).ok()
    [kept] = [each for each in identity.invites if each["address"] == email]
    return room_id, kept


# --- inviting


async def test_a_bound_address_is_an_invite_of_its_user(
    identity: IdentityServer, alice: Person, bob: Person, email: str
) -> None:
    identity.bound["email", email] = bob.user_id
    room_id = await alice.create_room()
    answer = await alice.post(f"{alice.room(room_id)}/invite", wanted(identity, email.upper(), reason="hi"))
    assert answer.ok() == {}
    member = await alice.state(room_id, "m.room.member", bob.user_id)
    assert member == {"membership": "invite", "reason": "hi"}
    assert email not in [each["address"] for each in identity.invites]
    # Nothing in the room says whose address it was.
    assert email not in str((await alice.get(f"{alice.room(room_id)}/state")).ok())


async def test_the_pepper_may_change_between_two_questions(
    identity: IdentityServer, alice: Person, bob: Person, email: str
) -> None:
    identity.bound["email", email] = bob.user_id
    identity.rotate = True
    room_id = await alice.create_room()
    (await alice.post(f"{alice.room(room_id)}/invite", wanted(identity, email))).ok()
    assert (await alice.state(room_id, "m.room.member", bob.user_id))["membership"] == "invite"


async def test_an_address_of_nobody_is_kept_by_the_identity_server_and_stands_in_the_room(
    house: House, identity: IdentityServer, alice: Person, email: str
) -> None:
    (await alice.put(f"{V3}/profile/{seg(alice.user_id)}/displayname", {"displayname": "Alice"})).ok()
    room_id, kept = await invited(
        identity, alice, email, name="Tea", creation_content={"type": "m.space"}, preset="public_chat"
    )
    token = kept.pop("token")
    assert kept == {
        "medium": "email",
        "address": email,
        "room_id": room_id,
        "sender": alice.user_id,
        "sender_display_name": "Alice",
        "room_name": "Tea",
        "room_join_rules": "public",
        "room_type": "m.space",
    }
    content = await alice.state(room_id, "m.room.third_party_invite", token)
    assert content["display_name"] == "f...@b..."
    assert len(content["public_keys"]) == 2
    assert content["public_keys"][0] == {
        "public_key": content["public_key"],
        "key_validity_url": content["key_validity_url"],
    }


async def test_who_may_not_invite_has_nobody_asked(
    identity: IdentityServer, alice: Person, bob: Person, email: str
) -> None:
    room_id = await alice.create_room(preset="public_chat")
    asked = len(identity.asked)
    assert (await bob.post(f"{bob.room(room_id)}/invite", wanted(identity, email))).error() == FORBIDDEN
    await bob.join(room_id)
    assert (await bob.post(f"{bob.room(room_id)}/invite", wanted(identity, email))).error() == FORBIDDEN
    assert len(identity.asked) == asked


async def test_what_is_no_invite(identity: IdentityServer, alice: Person, email: str) -> None:
    room_id = await alice.create_room()
    path = f"{alice.room(room_id)}/invite"
    whole = wanted(identity, email)
    for missing in whole:
        body = {key: value for key, value in whole.items() if key != missing}
        assert (await alice.post(path, body)).error() == (400, "M_MISSING_PARAM")
    other = wanted(identity, email, id_server="id.example.org")
    assert (await alice.post(path, other)).error() == (400, "M_SERVER_NOT_TRUSTED")
    token = wanted(identity, email, id_access_token="other")
    assert (await alice.post(path, token)).error() == (403, "M_UNAUTHORIZED")
    identity.answers[f"{V2}/store-invite"] = error(200, "M_FINE", "no token in it")
    assert (await alice.post(path, whole)).error() == (502, "M_UNKNOWN")


# --- createRoom


async def test_a_new_room_with_invites_by_address(
    house: House, identity: IdentityServer, alice: Person, bob: Person, email: str
) -> None:
    identity.bound["email", "bob-" + email] = bob.user_id
    both = [wanted(identity, "bob-" + email), wanted(identity, email)]
    room_id = await alice.create_room(invite_3pid=both, is_direct=True)
    member = await alice.state(room_id, "m.room.member", bob.user_id)
    assert member == {"membership": "invite", "is_direct": True}
    [kept] = [each for each in identity.invites if each["address"] == email]
    assert kept["room_id"] == room_id
    assert await alice.state(room_id, "m.room.third_party_invite", kept["token"])


async def test_a_new_room_is_not_made_if_the_identity_server_cannot_be_asked(
    house: House, identity: IdentityServer, alice: Person, email: str
) -> None:
    before = await house.written()
    for change in ({"id_server": "id.example.org"}, {"id_access_token": "other"}):
        body = {"invite_3pid": [wanted(identity, email, **change)]}
        assert (await alice.post(f"{V3}/createRoom", body)).status in (400, 403)
    assert await house.written() == before


# --- accepting


async def test_who_proves_the_address_to_be_theirs_is_invited_by_who_invited_it_and_joins(
    identity: IdentityServer, alice: Person, bob: Person, email: str
) -> None:
    room_id, kept = await invited(identity, alice, email)
    signed = identity.accept(kept, bob.user_id)
    (await bob.post(f"{bob.room(room_id)}/join", {"third_party_signed": signed})).ok()
    members = (await bob.get(f"{bob.room(room_id)}/messages", dir="b")).ok()["chunk"]
    join, invite = [event for event in members if event.get("state_key") == bob.user_id]
    assert (join["sender"], join["content"]["membership"]) == (bob.user_id, "join")
    assert (invite["sender"], invite["content"]["membership"]) == (alice.user_id, "invite")
    assert invite["content"]["third_party_invite"] == {"display_name": "f...@b...", "signed": signed}
    # Once in, it is a join like any other.
    (await bob.post(f"{V3}/join/{seg(room_id)}", {"third_party_signed": signed})).ok()


async def test_what_proves_nothing(
    identity: IdentityServer, alice: Person, bob: Person, carol: Person, email: str
) -> None:
    room_id, kept = await invited(identity, alice, email)
    signed = identity.accept(kept, bob.user_id)
    stranger = {**signed, "signatures": {identity.name: {"ed25519:0": "A" * 86}}}
    for who, given in (
        (carol, signed),
        (carol, {**signed, "mxid": carol.user_id}),
        (bob, {**signed, "token": "other"}),
        (bob, stranger),
        (bob, {**signed, "more": "that nobody signed"}),
    ):
        answer = await who.post(f"{who.room(room_id)}/join", {"third_party_signed": given})
        assert answer.error() == FORBIDDEN
    for missing in ("sender", "mxid", "token", "signatures"):
        body = {key: value for key, value in signed.items() if key != missing}
        answer = await bob.post(f"{bob.room(room_id)}/join", {"third_party_signed": body})
        assert answer.error() == (400, "M_MISSING_PARAM")
    assert "m.room.member" not in {
        event["type"]
        for event in (await alice.get(f"{alice.room(room_id)}/state")).ok()
        if event["state_key"] != alice.user_id
    }


async def test_keys_that_were_revoked_since(
    identity: IdentityServer, alice: Person, bob: Person, email: str
) -> None:
    room_id, kept = await invited(identity, alice, email)
    signed = identity.accept(kept, bob.user_id)
    content = await alice.state(room_id, "m.room.third_party_invite", kept["token"])
    first, second = (key["public_key"] for key in content["public_keys"])
    join = {"third_party_signed": signed}
    identity.revoked.update((first, second))
    assert (await bob.post(f"{bob.room(room_id)}/join", join)).error() == FORBIDDEN
    # One valid key that has signed is enough.
    identity.revoked.remove(second)
    (await bob.post(f"{bob.room(room_id)}/join", join)).ok()


async def test_an_invite_that_was_taken_back(
    identity: IdentityServer, alice: Person, bob: Person, email: str
) -> None:
    room_id, kept = await invited(identity, alice, email)
    path = f"{alice.room(room_id)}/state/m.room.third_party_invite/{kept['token']}"
    (await alice.put(path, {})).ok()
    signed = identity.accept(kept, bob.user_id)
    answer = await bob.post(f"{bob.room(room_id)}/join", {"third_party_signed": signed})
    assert answer.error() == FORBIDDEN


async def test_keys_are_not_asked_about_where_the_settings_do_not_trust(
    identity: IdentityServer, alice: Person, bob: Person, email: str
) -> None:
    room_id, kept = await invited(identity, alice, email)
    path = f"{alice.room(room_id)}/state/m.room.third_party_invite/{kept['token']}"
    content = (await alice.get(path)).ok()
    content["key_validity_url"] = "https://id.example.org/valid"
    del content["public_keys"]
    (await alice.put(path, content)).ok()
    signed = identity.accept(kept, bob.user_id)
    answer = await bob.post(f"{bob.room(room_id)}/join", {"third_party_signed": signed})
    assert answer.error() == (400, "M_SERVER_NOT_TRUSTED")

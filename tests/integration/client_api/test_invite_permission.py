"""Client-Server API, "Invite permission"."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.house import V3, House, Person
from tests.support.http import seg

pytestmark = pytest.mark.asyncio(loop_scope="module")

BLOCKED = (403, "M_INVITE_BLOCKED")


async def permit(person: Person, config: dict[str, Any]) -> None:
    path = f"{V3}/user/{seg(person.user_id)}/account_data/m.invite_permission_config"
    (await person.put(path, config)).ok()


async def test_who_blocks_invites_gets_none(house: House, alice: Person, bob: Person, carol: Person) -> None:
    room_id = await alice.create_room()
    await permit(bob, {"default_action": "block"})
    before = await house.written()
    invite = {"membership": "invite"}
    member = {"type": "m.room.member", "state_key": bob.user_id, "content": invite}
    for path, body in (
        (f"{alice.room(room_id)}/invite", {"user_id": bob.user_id}),
        (f"{V3}/createRoom", {"invite": [carol.user_id, bob.user_id]}),
        (f"{V3}/createRoom", {"initial_state": [member]}),
    ):
        assert (await alice.post(path, body)).error() == BLOCKED
    by_state = await alice.put(f"{alice.room(room_id)}/state/m.room.member/{seg(bob.user_id)}", invite)
    assert by_state.error() == BLOCKED
    assert await house.written() == before
    # Others are invited as ever, and a ban is no invite.
    (await alice.post(f"{alice.room(room_id)}/invite", {"user_id": carol.user_id})).ok()
    (await alice.post(f"{alice.room(room_id)}/ban", {"user_id": bob.user_id})).ok()


@pytest.mark.parametrize("config", [{}, {"default_action": "allow"}, {"default_action": ["block"]}])
async def test_anything_else_lets_invites_through(alice: Person, bob: Person, config: dict[str, Any]) -> None:
    await permit(bob, {"default_action": "block"})
    await permit(bob, config)
    await alice.create_room(invite=[bob.user_id])


async def test_who_blocks_invites_may_join_and_invite(alice: Person, bob: Person) -> None:
    await permit(bob, {"default_action": "block"})
    await bob.join(await alice.create_room(preset="public_chat"))
    await bob.create_room(invite=[alice.user_id])

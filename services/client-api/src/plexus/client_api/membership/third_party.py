"""Invites by third-party identifier, and what they come to.

The identity server knows whose address it is: then it is an invite like any other. Or it does not: then it
keeps the invite and tells the address of it, and the room gets an m.room.third_party_invite with the keys
that will sign for whoever proves that the address is theirs. Who has that signature (`ThirdPartySigned`)
joins with it: whoever sent the invite invites them, by this server, with the signature as the proof.

Client-Server API, "Third-party invites".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.client_api.membership import service
from plexus.client_api.membership.models import Invite3pid, ThirdPartySigned
from plexus.protocol import room_versions
from plexus.protocol.auth_rules.third_party import keys_that_signed
from plexus.protocol.errors import Forbidden, NotFound
from plexus.protocol.power_levels import PowerLevels
from plexus.rooms import NewEvent, Wanted

_TOLD = {
    "m.room.canonical_alias": ("alias", "room_alias"),
    "m.room.avatar": ("url", "room_avatar_url"),
    "m.room.join_rules": ("join_rule", "room_join_rules"),
    "m.room.name": ("name", "room_name"),
    "m.room.create": ("type", "room_type"),
}
"""What the identity server is told of the room, for the email that it sends: by type the key, and its name
there."""


@dataclass(frozen=True, slots=True)
class LookedUp:
    """An invite, and whose address it is; None: nobody's."""

    invite: Invite3pid
    user_id: str | None


async def look_up(api: ClientApi, invite: Invite3pid) -> LookedUp:
    """With the errors of the identity server."""
    found = await api.identity.lookup(
        invite.id_server, invite.id_access_token, invite.medium, invite.normal_address
    )
    return LookedUp(invite, found)


async def invite(api: ClientApi, room_id: str, sender: str, wanted: Invite3pid, reason: str | None) -> None:
    """``inviteBy3PID``. Nobody is asked or written to for who may not invite."""
    await _check_may_invite(api, room_id, sender)
    found = await look_up(api, wanted)
    if found.user_id is not None:
        await service.invite(api, room_id, sender, found.user_id, reason)
    else:
        await store(api, room_id, sender, wanted)


async def store(api: ClientApi, room_id: str, sender: str, wanted: Invite3pid) -> None:
    """Have the identity server keep the invite, and put it into the room."""
    told = {
        "medium": wanted.medium,
        "address": wanted.normal_address,
        "room_id": room_id,
        "sender": sender,
        **await _about_the_room(api, room_id),
    }
    profile = await api.users.profile(sender) or {}
    for field, name in (("displayname", "sender_display_name"), ("avatar_url", "sender_avatar_url")):
        if isinstance(profile.get(field), str):
            told[name] = profile[field]
    token, content = await api.identity.store_invite(wanted.id_server, wanted.id_access_token, told)
    await api.rooms.send(room_id, sender, NewEvent("m.room.third_party_invite", content, state_key=token))


async def accept(api: ClientApi, room_id: str, user_id: str, given: ThirdPartySigned) -> None:
    """Invite the user in the name of who invited the address, unless they are invited or in the room already.
    `Forbidden` unless the room has the invite, and a key of it that is still valid has signed for this user.
    """
    if await api.rooms.membership(room_id, user_id) in ("join", "invite"):
        return
    if given.mxid != user_id:
        raise Forbidden("The invite was accepted by somebody else")
    invitation = await api.rooms.state_event(room_id, "m.room.third_party_invite", given.token)
    if invitation is None:
        raise Forbidden("There is no such invite in the room")
    if not api.users.is_local(invitation.sender):
        raise Forbidden("The invite was sent by a user of another server, which cannot be asked yet")
    signed = given.model_dump()
    for key in keys_that_signed(signed, invitation.content):
        if await _is_valid(api, key):
            break
    else:
        raise Forbidden("No valid key of the invite has signed this")
    content = service.member_content("invite", await api.users.profile(user_id))
    name = invitation.content.get("display_name")
    content["third_party_invite"] = {"display_name": name if isinstance(name, str) else "", "signed": signed}
    await api.rooms.send(room_id, invitation.sender, NewEvent("m.room.member", content, state_key=user_id))


async def _is_valid(api: ClientApi, key: dict[str, Any]) -> bool:
    url = key.get("key_validity_url")
    if url is None:
        return True
    return isinstance(url, str) and await api.identity.is_valid(url, key["public_key"])


async def _check_may_invite(api: ClientApi, room_id: str, sender: str) -> None:
    if await api.rooms.membership(room_id, sender) != "join":
        raise Forbidden("You are not in the room")
    room = await api.rooms.room(room_id)
    create = await api.rooms.state_event(room_id, "m.room.create", "")
    if room is None or create is None:
        raise NotFound("There is no such room")
    levels = await api.rooms.state_event(room_id, "m.room.power_levels", "")
    version = room_versions.get(room.room_version)
    power = PowerLevels.of(version, None if levels is None else levels.content, create.event)
    if power.user_level(sender) < power.invite:
        raise Forbidden("You may not invite to this room")


async def _about_the_room(api: ClientApi, room_id: str) -> dict[str, str]:
    state = await api.rooms.current_state(room_id, Wanted(types=frozenset(_TOLD)))
    told = {}
    for event in state:
        key, name = _TOLD[event.type]
        value = event.content.get(key)
        if event.state_key == "" and isinstance(value, str) and value:
            told[name] = value
    return told

"""Changes of membership: each is one m.room.member event, judged by the room's authorisation rules.

What is checked here is only what those rules leave open: that a kick does not lift a ban, that an unban has
a ban to lift, and that nobody is invited whom this server cannot reach, or who takes no invites.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.protocol.errors import (
    Forbidden,
    GuestAccessForbidden,
    InviteBlocked,
    MatrixError,
    MissingParam,
    NotFound,
)
from plexus.protocol.identifiers import is_room_id, parse_user_id
from plexus.rooms import NewEvent, Written


def member_content(
    membership: str,
    profile: Mapping[str, Any] | None,
    *,
    reason: str | None = None,
    is_direct: bool = False,
) -> dict[str, Any]:
    """The content of a member event with what the user's profile says. Client-Server API, "m.room.member"."""
    content: dict[str, Any] = {"membership": membership}
    for field in ("displayname", "avatar_url"):
        value = (profile or {}).get(field)
        if value is not None:
            content[field] = value
    if reason is not None:
        content["reason"] = reason
    if is_direct:
        content["is_direct"] = True
    return content


async def check_invitees(api: ClientApi, user_ids: Collection[str]) -> None:
    """`Forbidden` for a user of another server: an invite that cannot be delivered is not made.
    `InviteBlocked` if one of ours takes none (Client-Server API, "Invite permission").
    """
    for user_id in user_ids:
        parts = parse_user_id(user_id)
        if parts is not None and parts[1] != api.server_name:
            raise Forbidden("This server cannot invite users of other servers yet")
    if not user_ids:
        return
    for user_id, rules in (await api.users.contact_rules(user_ids)).items():
        if rules.blocks_invites:
            raise InviteBlocked(f"{user_id} does not take invites")


async def check_guests_may_join(api: ClientApi, room_id: str) -> None:
    """`GuestAccessForbidden` unless the room's m.room.guest_access says ``can_join``. Client-Server API,
    "Guest Access".
    """
    if not await api.guests.admits(room_id):
        raise GuestAccessForbidden("Guests may not join this room")


async def resolve(api: ClientApi, room_id_or_alias: str) -> str:
    """The room ID that is meant; `NotFound` for an alias that nobody has."""
    if is_room_id(room_id_or_alias):
        return room_id_or_alias
    found = await api.rooms.resolve_alias(room_id_or_alias)
    if found is None:
        raise NotFound(f"Room alias {room_id_or_alias} not found")
    return found.room_id


async def set_own(
    api: ClientApi,
    room_id: str,
    user_id: str,
    membership: str,
    reason: str | None,
) -> Written:
    """Join or knock: the user's own event, with their profile."""
    profile = await api.users.profile(user_id)
    content = member_content(membership, profile, reason=reason)
    return await api.rooms.send(room_id, user_id, NewEvent("m.room.member", content, state_key=user_id))


async def join(api: ClientApi, room_id: str, user_id: str, reason: str | None) -> None:
    """Join; nothing to do for who is in the room already. Settings follow into an upgraded room."""
    if await api.rooms.membership(room_id, user_id) != "join":
        await set_own(api, room_id, user_id, "join", reason)
        await api.following.after_join(room_id, user_id)


async def invite(api: ClientApi, room_id: str, sender: str, target: str | None, reason: str | None) -> None:
    """Invite a user; `MissingParam` if the request names none."""
    if target is None:
        raise MissingParam("user_id is missing")
    await check_invitees(api, [target])
    profile = await api.users.profile(target)
    content = member_content("invite", profile, reason=reason)
    await api.rooms.send(room_id, sender, NewEvent("m.room.member", content, state_key=target))


async def leave(api: ClientApi, room_id: str, user_id: str, reason: str | None) -> None:
    """Leave, reject an invite, or take back a knock; nothing to do for who has left already."""
    if await api.rooms.membership(room_id, user_id) != "leave":
        await _set(api, room_id, user_id, user_id, "leave", reason)


async def kick(api: ClientApi, room_id: str, sender: str, target: str, reason: str | None) -> None:
    """`Forbidden` unless the target is in the room (or invited, or knocking): a kick never lifts a ban."""
    await _sender_is_joined(api, room_id, sender)
    if await api.rooms.membership(room_id, target) not in ("join", "invite", "knock"):
        raise Forbidden(f"{target} is not in the room")
    await _set(api, room_id, sender, target, "leave", reason)


async def ban(api: ClientApi, room_id: str, sender: str, target: str, reason: str | None) -> None:
    await _set(api, room_id, sender, target, "ban", reason)


async def unban(api: ClientApi, room_id: str, sender: str, target: str, reason: str | None) -> None:
    """``M_BAD_STATE`` unless the target is banned."""
    await _sender_is_joined(api, room_id, sender)
    if await api.rooms.membership(room_id, target) != "ban":
        raise MatrixError(403, "M_BAD_STATE", f"{target} is not banned")
    await _set(api, room_id, sender, target, "leave", reason)


async def forget(api: ClientApi, room_id: str, user_id: str) -> None:
    """``M_UNKNOWN`` (400) while the user has not left. Client-Server API, ``forgetRoom``."""
    membership = await api.rooms.membership(room_id, user_id)
    if membership is None:
        raise NotFound("You were never in this room")
    if membership in ("join", "invite", "knock"):
        raise MatrixError(400, "M_UNKNOWN", f"User {user_id} is in room {room_id}")
    await api.rooms.forget(room_id, user_id)


async def _set(
    api: ClientApi, room_id: str, sender: str, target: str, membership: str, reason: str | None
) -> None:
    content = member_content(membership, None, reason=reason)
    await api.rooms.send(room_id, sender, NewEvent("m.room.member", content, state_key=target))


async def _sender_is_joined(api: ClientApi, room_id: str, sender: str) -> None:
    # Before anything is said about the target: who is not in the room learns nothing of its members.
    if await api.rooms.membership(room_id, sender) != "join":
        raise Forbidden("You are not in the room")

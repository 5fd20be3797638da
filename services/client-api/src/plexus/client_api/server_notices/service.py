"""The notices room of a user: found by its alias, which is made of the user's ID, or made with it.

The alias is taken in the room's first write, so of two processes that make it at once one finds the other's.
All steps look first, and the notice has a key: a request that died may be sent again.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.client_api.membership.service import member_content
from plexus.client_api.tags import service as tags
from plexus.protocol import room_versions
from plexus.protocol.errors import (
    CannotLeaveServerNoticeRoom,
    InvalidParam,
    MatrixError,
    NotFound,
    RoomInUse,
    Unavailable,
    UserInUse,
)
from plexus.rooms import NewEvent, Txn

TAG = "m.server_notice"


async def send(api: ClientApi, user_id: str, key: str, text: str) -> dict[str, str]:
    """The room and the event; the same again for the same key. `InvalidParam` for users of other servers,
    `NotFound` if there is no open account.
    """
    if not api.users.is_local(user_id):
        raise InvalidParam("The user does not belong to this server")
    account = await api.users.account(user_id)
    sender = sender_of(api)
    if account is None or account.deactivated or user_id == sender:
        raise NotFound("There is no such user")
    await _ensure_sender(api, sender)
    room_id = await _room_of(api, sender, user_id)
    await tags.put(api, user_id, room_id, TAG, {})
    if await api.rooms.membership(room_id, user_id) not in ("invite", "join"):
        content = member_content("invite", await api.users.profile(user_id))
        await api.rooms.send(room_id, sender, NewEvent("m.room.member", content, state_key=user_id))
    notice = NewEvent("m.room.message", {"msgtype": "m.server_notice", "body": text})
    written = await api.rooms.send(room_id, sender, notice, txn=Txn(sender, "", "notice", key))
    return {"room_id": room_id, "event_id": written.event_id}


def sender_of(api: ClientApi) -> str:
    return f"@{api.platform.settings.server_notices.localpart}:{api.server_name}"


async def check_may_reject(api: ClientApi, room_id: str, user_id: str) -> None:
    """`CannotLeaveServerNoticeRoom` for who is invited to the notices room: who is in it may leave."""
    if await api.rooms.membership(room_id, user_id) == "invite" and await is_notices_room(api, room_id):
        raise CannotLeaveServerNoticeRoom


async def is_notices_room(api: ClientApi, room_id: str) -> bool:
    """Whether it is anybody's notices room: the server makes no others."""
    create = await api.rooms.state_event(room_id, "m.room.create", "")
    return create is not None and create.sender == sender_of(api)


async def _ensure_sender(api: ClientApi, sender: str) -> None:
    settings = api.platform.settings.server_notices
    account = await api.users.account(sender)
    if account is None:
        try:
            await api.users.register(settings.localpart, None)
        except UserInUse:
            account = await api.users.account(sender)
    if account is not None and (account.password_hash is not None or account.deactivated or account.is_guest):
        # Somebody's own, from before: the server does not speak by it.
        raise MatrixError(409, "M_UNKNOWN", f"{sender} is somebody's account: set server_notices.localpart")
    profile = await api.users.profile(sender) or {}
    if profile.get("displayname") != settings.display_name:
        await api.users.set_profile_field(sender, "displayname", settings.display_name)
        await api.room_tasks.begin(sender)


async def _room_of(api: ClientApi, sender: str, user_id: str) -> str:
    alias = f"#server-notices-{sha256(user_id.encode()).hexdigest()[:32]}:{api.server_name}"
    found = await api.rooms.resolve_alias(alias)
    if found is None:
        try:
            return await _make_room(api, sender, alias)
        except RoomInUse:
            found = await api.rooms.resolve_alias(alias)
    if found is None:
        raise Unavailable("The notices room is being made")
    create = await api.rooms.state_event(found.room_id, "m.room.create", "")
    if create is None or create.sender != sender:
        raise MatrixError(409, "M_UNKNOWN", f"{alias} is the alias of a room of somebody else's")
    return found.room_id


async def _make_room(api: ClientApi, sender: str, alias: str) -> str:
    settings = api.platform.settings
    version = room_versions.get(settings.rooms.default_version)
    power = {
        # Creators stand above all numbers in newer versions and may not be listed.
        "users": {} if version.auth.creators_have_infinite_power else {sender: 100},
        "users_default": -10,
        "events_default": 0,
        "state_default": 100,
        "invite": 100,
    }
    content = member_content("join", {"displayname": settings.server_notices.display_name})
    state: dict[str, dict[str, Any]] = {
        "m.room.power_levels": power,
        "m.room.join_rules": {"join_rule": "invite"},
        "m.room.history_visibility": {"history_visibility": "shared"},
        "m.room.guest_access": {"guest_access": "can_join"},
        "m.room.name": {"name": settings.server_notices.room_name},
    }
    events = [
        NewEvent("m.room.create", {}, state_key=""),
        NewEvent("m.room.member", content, state_key=sender),
        *(NewEvent(type_, told, state_key="") for type_, told in state.items()),
    ]
    written = await api.rooms.create(sender, version.identifier, events, alias=alias)
    return written.room_id

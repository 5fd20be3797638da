"""The membership endpoints. Client-Server API, "Room membership"."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query
from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.membership import service, third_party
from plexus.client_api.membership.models import Invite, Join, Reasoned, Targeted
from plexus.client_api.params import RoomId, RoomIdOrAlias
from plexus.client_api.server_notices.service import check_may_reject, is_notices_room
from plexus.platform.http import Requester, User, make_router
from plexus.protocol.errors import UserSuspended

router = make_router(prefix="/_matrix/client/v3", tags=["Room membership"])

Via = Annotated[list[str] | None, Query(description="Servers to go through, for a room of another server.")]


@router.get("/joined_rooms", operation_id="getJoinedRooms")
async def get_joined_rooms(api: Deps, requester: FullUser) -> dict[str, Any]:
    """Client-Server API, "Room membership"."""
    return {"joined_rooms": [room.room_id for room in await api.rooms.rooms_of(requester.user_id)]}


@router.post("/rooms/{roomId}/join", operation_id="joinRoomById")
async def join_room_by_id(api: Deps, requester: User, room_id: RoomId, body: Join) -> dict[str, str]:
    """Client-Server API, "Joining rooms"."""
    if requester.is_guest:
        await service.check_guests_may_join(api, room_id)
    return await _join(api, requester, room_id, body)


@router.post("/join/{roomIdOrAlias}", operation_id="joinRoom")
async def join_room(
    api: Deps, requester: FullUser, room: RoomIdOrAlias, body: Join, via: Via = None
) -> dict[str, str]:
    """Client-Server API, "Joining rooms"; ``via`` is for rooms that are not here."""
    return await _join(api, requester, room, body)


async def _join(api: Deps, requester: Requester, room: str, body: Join) -> dict[str, str]:
    user_id = requester.user_id
    await api.platform.limits.check("join", user_id)
    room_id = await service.resolve(api, room)
    if requester.is_suspended and not await is_notices_room(api, room_id):
        raise UserSuspended
    if body.third_party_signed is not None:
        await third_party.accept(api, room_id, user_id, body.third_party_signed)
    await service.join(api, room_id, user_id, body.reason)
    return {"room_id": room_id}


@router.post("/knock/{roomIdOrAlias}", operation_id="knockRoom")
async def knock_room(
    api: Deps, requester: FullUser, room: RoomIdOrAlias, body: Reasoned, via: Via = None
) -> dict[str, str]:
    """Client-Server API, "Knocking on rooms"."""
    await api.platform.limits.check("join", requester.user_id)
    room_id = await service.resolve(api, room)
    await service.set_own(api, room_id, requester.user_id, "knock", body.reason)
    return {"room_id": room_id}


@router.post("/rooms/{roomId}/invite", operation_id="inviteUser")
async def invite_user(api: Deps, requester: FullUser, room_id: RoomId, body: Invite) -> dict[str, str]:
    """Client-Server API, "Joining rooms"; by third-party identifier it is ``inviteBy3PID``."""
    await api.platform.limits.check("invite", requester.user_id)
    wanted = body.third_party
    if wanted is not None:
        await third_party.invite(api, room_id, requester.user_id, wanted, body.reason)
        return {}
    await service.invite(api, room_id, requester.user_id, body.user_id, body.reason)
    return {}


@router.post("/rooms/{roomId}/leave", operation_id="leaveRoom")
async def leave_room(api: Deps, requester: User, room_id: RoomId, body: Reasoned) -> dict[str, str]:
    """Client-Server API, "Leaving rooms"."""
    await check_may_reject(api, room_id, requester.user_id)
    await service.leave(api, room_id, requester.user_id, body.reason)
    return {}


@router.post("/rooms/{roomId}/forget", operation_id="forgetRoom")
async def forget_room(api: Deps, requester: FullUser, room_id: RoomId) -> dict[str, str]:
    """Client-Server API, "Leaving rooms"."""
    await service.forget(api, room_id, requester.user_id)
    return {}


@router.post("/rooms/{roomId}/kick", operation_id="kick")
async def kick(api: Deps, requester: FullUser, room_id: RoomId, body: Targeted) -> dict[str, str]:
    """Client-Server API, "Leaving rooms"."""
    await service.kick(api, room_id, requester.user_id, body.user_id, body.reason)
    return {}


@router.post("/rooms/{roomId}/ban", operation_id="ban")
async def ban(api: Deps, requester: FullUser, room_id: RoomId, body: Targeted) -> dict[str, str]:
    """Client-Server API, "Banning users in a room"."""
    await service.ban(api, room_id, requester.user_id, body.user_id, body.reason)
    return {}


@router.post("/rooms/{roomId}/unban", operation_id="unban")
async def unban(api: Deps, requester: FullUser, room_id: RoomId, body: Targeted) -> dict[str, str]:
    """Client-Server API, "Banning users in a room"."""
    await service.unban(api, room_id, requester.user_id, body.user_id, body.reason)
    return {}

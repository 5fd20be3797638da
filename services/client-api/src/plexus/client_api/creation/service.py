"""Making a room: everything is checked before anything is written, and it is written at once."""

from __future__ import annotations

from collections.abc import Sequence

from plexus.client_api.creation.models import CreateRoom
from plexus.client_api.creation.presets import Participant, creation_events
from plexus.client_api.deps import ClientApi
from plexus.client_api.membership import third_party
from plexus.client_api.membership.models import Invite3pid
from plexus.client_api.membership.service import check_invitees, member_content
from plexus.platform.http import Requester
from plexus.protocol import room_versions
from plexus.protocol.canonical_json import check
from plexus.protocol.errors import AuthRejected, InvalidParam, MatrixError
from plexus.protocol.identifiers import is_room_alias


async def create_room(api: ClientApi, requester: Requester, request: CreateRoom) -> str:
    """The ID of the new room.

    Raises `UnsupportedRoomVersion`, `RoomInUse` (the alias is taken), `InvalidParam`, `BadJson`, and
    ``M_INVALID_ROOM_STATE`` when the events that the request implies do not fit together.
    """
    version = room_versions.get(request.room_version or api.platform.settings.rooms.default_version)
    alias = None if request.room_alias_name is None else make_alias(request.room_alias_name, api.server_name)
    by_address = request.invite_3pid or []
    if by_address:
        await api.platform.limits.check("invite", requester.user_id, len(by_address))
    found = [await third_party.look_up(api, wanted) for wanted in by_address]
    known = [each.user_id for each in found if each.user_id is not None]
    invited = [user for user in dict.fromkeys([*(request.invite or ()), *known]) if user != requester.user_id]
    by_state = [
        event.state_key
        for event in request.initial_state or ()
        if event.type == "m.room.member" and event.content.get("membership") == "invite"
    ]
    await check_invitees(api, [*invited, *by_state])
    if invited:
        await api.platform.limits.check("invite", requester.user_id, min(len(invited), 10))
    profiles = await api.users.profiles([requester.user_id, *invited])
    creator = Participant(requester.user_id, member_content("join", profiles.get(requester.user_id)))
    invitees = [
        Participant(
            user_id, member_content("invite", profiles.get(user_id), is_direct=bool(request.is_direct))
        )
        for user_id in invited
    ]
    events = creation_events(request, version, creator, invitees, alias)
    if version.strict_canonical_json:
        for made in events:
            check(made.content)
    try:
        written = await api.rooms.create(
            requester.user_id,
            version.identifier,
            events,
            published=request.visibility == "public",
            alias=alias,
        )
    except AuthRejected as error:
        raise MatrixError(400, "M_INVALID_ROOM_STATE", error.why) from error
    await _store_invites(
        api, written.room_id, requester.user_id, [each.invite for each in found if each.user_id is None]
    )
    return written.room_id


async def _store_invites(api: ClientApi, room_id: str, sender: str, invites: Sequence[Invite3pid]) -> None:
    """An invite that an identity server keeps names the room, so there has to be one first. That the server
    answers and takes the client's token is known by then; if it does not keep the invite all the same, the
    error says which room was made.
    """
    for wanted in invites:
        try:
            await third_party.store(api, room_id, sender, wanted)
        except MatrixError as error:
            message = f"The room {room_id} was made, but not everybody could be invited: {error.message}"
            raise MatrixError(error.status, error.errcode, message, error.extra, error.headers) from error


def make_alias(localpart: str, server_name: str) -> str:
    """``#localpart:server``; `InvalidParam` if that is no alias. Appendices, "Room Aliases"."""
    alias = f"#{localpart}:{server_name}"
    if ":" in localpart or any(char.isspace() for char in localpart) or not is_room_alias(alias):
        raise InvalidParam("room_alias_name is not the localpart of a room alias")
    return alias

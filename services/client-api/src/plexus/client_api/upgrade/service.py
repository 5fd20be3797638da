"""Upgrading a room: make the new one, then do what the old one is owed.

The new room is claimed as the replacement before it is written (`plexus.rooms.Replaces`), so a retry, or a
second click, finds it and goes on with it instead of making another. If nobody comes back the worker finishes
(``finishing``). Upgrading once more after it is done, to another version or by somebody else, makes another
room, and the tombstone leads there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from plexus.client_api.deps import ClientApi
from plexus.client_api.membership.service import member_content
from plexus.client_api.upgrade.events import READ, OldRoom, replacement_events
from plexus.client_api.upgrade.finishing import finish
from plexus.client_api.upgrade.models import UpgradeRoom
from plexus.client_api.upgrade.power import new_power
from plexus.protocol import room_versions
from plexus.protocol.errors import AuthRejected, Forbidden, InvalidParam, MatrixError, NotFound
from plexus.protocol.identifiers import is_user_id
from plexus.protocol.power_levels import PowerLevels
from plexus.protocol.room_versions import RoomVersion
from plexus.rooms import Replacement, ReplacementClaimed, Replaces, RoomInfo, StoredEvent, Wanted

_TRIES = 30
_BETWEEN_TRIES = 0.1
"""Seconds to wait for a new room that another request is just writing."""


async def upgrade_room(api: ClientApi, user_id: str, room_id: str, request: UpgradeRoom) -> str:
    """The ID of the new room.

    Raises `UnsupportedRoomVersion`, `InvalidParam`, `NotFound`, `Forbidden` if the user may not send a
    tombstone, `ReplacementClaimed` (503) while somebody else upgrades the room.
    """
    version = room_versions.get(request.new_version)
    creators = _additional_creators(request, version, user_id)
    await _check_may_upgrade(api, user_id, room_id)
    for _ in range(_TRIES):
        found = await api.rooms.replacement_of(room_id)
        if found is not None and await _is_this(api, found, user_id, version):
            break
        if found is None or found.done:
            try:
                await _make(api, user_id, room_id, version, creators, found)
                continue  # and read what was claimed
            except ReplacementClaimed:
                pass
        await asyncio.sleep(_BETWEEN_TRIES)
    else:
        raise ReplacementClaimed
    await finish(api.rooms, found)
    # Who upgrades is in the new room without having joined it.
    await api.following.after_join(found.room_id, user_id)
    return found.room_id


def _additional_creators(request: UpgradeRoom, version: RoomVersion, user_id: str) -> list[str]:
    """Those besides the user; none where the version knows none, whatever the request says."""
    if not version.auth.additional_creators:
        return []
    given = request.additional_creators or []
    if not all(is_user_id(creator) for creator in given):
        raise InvalidParam("additional_creators must be a list of user IDs")
    return [creator for creator in dict.fromkeys(given) if creator != user_id]


async def _check_may_upgrade(api: ClientApi, user_id: str, room_id: str) -> None:
    info = await api.rooms.room(room_id)
    create = await api.rooms.state_event(room_id, "m.room.create", "")
    if info is None or create is None:
        raise NotFound("Room not found")
    levels = await api.rooms.state_event(room_id, "m.room.power_levels", "")
    version = room_versions.get(info.room_version)
    power = PowerLevels.of(version, None if levels is None else levels.content, create.event)
    if await api.rooms.membership(room_id, user_id) != "join" or not power.can_send(
        user_id, "m.room.tombstone", is_state=True
    ):
        raise Forbidden("You cannot upgrade this room")


async def _is_this(api: ClientApi, found: Replacement, user_id: str, version: RoomVersion) -> bool:
    """Whether this upgrade is the one that is asked for."""
    new = await api.rooms.ref(found.room_id)
    return found.creator == user_id and new is not None and new.room_version == version.identifier


async def _make(
    api: ClientApi,
    user_id: str,
    room_id: str,
    version: RoomVersion,
    creators: list[str],
    instead_of: Replacement | None,
) -> None:
    info = await api.rooms.room(room_id)
    if info is None:
        raise NotFound("Room not found")
    state = await api.rooms.state_at(info.ref, info.snapshot, Wanted(types=READ))
    create, levels = state[("m.room.create", "")], state.get(("m.room.power_levels", ""))
    old = await _old_room(api, info, state)
    power = new_power(
        room_versions.get(info.room_version),
        None if levels is None else levels.content,
        create.event,
        version,
        user_id,
        creators,
    )
    profile = await api.users.profile(user_id)
    events = replacement_events(old, version, user_id, member_content("join", profile), creators, power)
    try:
        await api.rooms.create(
            user_id,
            version.identifier,
            events,
            published=info.published,
            replaces=Replaces(room_id, None if instead_of is None else instead_of.room_id),
        )
    except AuthRejected as error:
        raise MatrixError(400, "M_INVALID_ROOM_STATE", error.why) from error


async def _old_room(api: ClientApi, info: RoomInfo, state: Mapping[tuple[str, str], StoredEvent]) -> OldRoom:
    banned = await api.rooms.member_ids(info.ref, {"ban"})
    members = Wanted(types=frozenset({"m.room.member"}), members=frozenset(banned))
    bans = await api.rooms.state_at(info.ref, info.snapshot, members) if banned else {}
    newest = (await api.rooms.timeline(info.room_id, limit=1)).events
    return OldRoom(
        room_id=info.room_id,
        last_event_id=newest[0].event_id if newest else None,
        state={key: event.content for key, event in state.items()},
        bans={
            user: event.content
            for (_, user), event in bans.items()
            if event.content.get("membership") == "ban"
        },
        aliases=[alias.alias for alias in await api.rooms.aliases_of(info.room_id)],
    )

"""Aliases and the published room directory, as this server keeps them.

Aliases of other servers are not looked up yet: they are not found.
"""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.client_api.directory.models import DEFAULT_PAGE, MAX_PAGE, DirectoryQuery
from plexus.protocol import room_versions
from plexus.protocol.errors import Forbidden, InvalidParam, MatrixError, NotFound
from plexus.protocol.identifiers import parse_room_alias
from plexus.protocol.power_levels import PowerLevels
from plexus.rooms import Alias, PublishedRoom


async def room_of_alias(api: ClientApi, alias: str) -> dict[str, Any]:
    """``getRoomIdByAlias``: the room and the servers in it, ours first."""
    found = await _existing(api, alias)
    servers = await api.rooms.hosts(found.room_id)
    others = [server for server in servers if server != api.server_name]
    return {"room_id": found.room_id, "servers": [api.server_name, *others]}


async def set_alias(api: ClientApi, user_id: str, alias: str, room_id: str) -> None:
    """``setRoomAlias``: only of this server, only by who is in the room. 409 if somebody has it."""
    parts = parse_room_alias(alias)
    if parts is None or parts[1] != api.server_name:
        raise InvalidParam("Aliases of other servers are not ours to give")
    if any(char.isspace() for char in parts[0]):
        raise InvalidParam("Room alias invalid")
    if await api.rooms.ref(room_id) is None:
        raise NotFound("Room not found")
    if await api.rooms.membership(room_id, user_id) != "join":
        raise Forbidden("You are not in the room")
    if not await api.rooms.create_alias(alias, room_id, user_id):
        raise MatrixError(409, "M_UNKNOWN", f"Room alias {alias} already exists.")


async def delete_alias(api: ClientApi, user_id: str, alias: str) -> None:
    """``deleteRoomAlias``: by who made it, or who may set the room's canonical alias.

    The m.room.canonical_alias event is left alone, as the spec allows.
    """
    found = await _existing(api, alias)
    if found.creator != user_id and not await _may_set_aliases(api, found.room_id, user_id):
        raise Forbidden("You may not delete this alias")
    if not await api.rooms.delete_alias(alias):
        raise NotFound(f"Room alias {alias} not found.")


async def local_aliases(api: ClientApi, user_id: str, room_id: str) -> list[str]:
    """``getLocalAliases``: for members, and for everybody where history is world-readable."""
    if await api.rooms.membership(room_id, user_id) != "join":
        visibility = await api.rooms.state_event(room_id, "m.room.history_visibility", "")
        if visibility is None or visibility.content.get("history_visibility") != "world_readable":
            raise Forbidden("You are not in the room")
    return [alias.alias for alias in await api.rooms.aliases_of(room_id)]


async def is_published(api: ClientApi, room_id: str) -> bool:
    """``getRoomVisibilityOnDirectory``."""
    info = await api.rooms.room(room_id)
    if info is None:
        raise NotFound("Room not found")
    return info.published


async def publish(api: ClientApi, user_id: str, room_id: str, published: bool) -> None:
    """``setRoomVisibilityOnDirectory``: by who may set the room's canonical alias."""
    if await api.rooms.ref(room_id) is None:
        raise NotFound("Room not found")
    if not await _may_set_aliases(api, room_id, user_id):
        raise Forbidden("You may not change how this room is listed")
    await api.rooms.publish(room_id, published)


async def public_rooms(api: ClientApi, query: DirectoryQuery, server: str | None) -> dict[str, Any]:
    """``queryPublicRooms``: a page of our directory; `NotFound` for another server's."""
    if server is not None and server != api.server_name:
        raise NotFound("The directories of other servers cannot be asked yet")
    limit = min(query.limit if query.limit is not None else DEFAULT_PAGE, MAX_PAGE)
    search = query.filter.generic_search_term if query.filter else None
    rooms, following, previous, total = await api.rooms.published_rooms(
        limit=max(limit, 1),
        since=query.since,
        search=search or None,
        types=query.filter.room_types if query.filter else None,
    )
    answer: dict[str, Any] = {"chunk": [_chunk(room) for room in rooms], "total_room_count_estimate": total}
    if following is not None:
        answer["next_batch"] = following
    if previous is not None:
        answer["prev_batch"] = previous
    return answer


def _chunk(room: PublishedRoom) -> dict[str, Any]:
    optional = {
        "name": room.name,
        "topic": room.topic,
        "canonical_alias": room.canonical_alias,
        "avatar_url": room.avatar_url,
        "room_type": room.room_type,
    }
    return {
        "room_id": room.room_id,
        "num_joined_members": room.joined_members,
        "join_rule": room.join_rule,
        "world_readable": room.world_readable,
        "guest_can_join": room.guest_can_join,
        **{name: value for name, value in optional.items() if value is not None},
    }


async def _existing(api: ClientApi, alias: str) -> Alias:
    found = await api.rooms.resolve_alias(alias)
    if found is None:
        raise NotFound(f"Room alias {alias} not found.")
    return found


async def _may_set_aliases(api: ClientApi, room_id: str, user_id: str) -> bool:
    info = await api.rooms.room(room_id)
    if info is None or await api.rooms.membership(room_id, user_id) != "join":
        return False
    create = await api.rooms.state_event(room_id, "m.room.create", "")
    levels = await api.rooms.state_event(room_id, "m.room.power_levels", "")
    if create is None:
        return False
    version = room_versions.get(info.room_version)
    power = PowerLevels.of(version, None if levels is None else levels.content, create.event)
    return power.user_level(user_id) >= power.event_level("m.room.canonical_alias", is_state=True)

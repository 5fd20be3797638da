"""A room as ``RoomSummary``, and the children of a space.

Client-Server API, ``GET /room_summary/{roomIdOrAlias}``, ``GET /rooms/{roomId}/hierarchy`` and "Spaces",
"Ordering of children within a space".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plexus.client_api.summaries.gathering import Room
from plexus.protocol.format import stripped_state
from plexus.protocol.identifiers import is_room_alias, is_room_id
from plexus.rooms import StoredEvent

_MAX_ORDER = 50


def summary(room: Room) -> dict[str, Any]:
    """``RoomSummary``. What the room does not say, or says in a way that cannot be shown, is left out."""
    alias = room.value("m.room.canonical_alias", "alias")
    avatar = room.value("m.room.avatar", "url")
    optional = {
        "name": room.value("m.room.name", "name"),
        "topic": room.value("m.room.topic", "topic"),
        "canonical_alias": alias if isinstance(alias, str) and is_room_alias(alias) else None,
        "avatar_url": avatar if isinstance(avatar, str) and avatar.startswith("mxc://") else None,
        "room_type": room.value("m.room.create", "type"),
        "encryption": room.value("m.room.encryption", "algorithm"),
    }
    told: dict[str, Any] = {
        "room_id": room.room_id,
        "num_joined_members": room.joined_members,
        "join_rule": room.join_rule,
        "world_readable": room.is_world_readable,
        "guest_can_join": room.value("m.room.guest_access", "guest_access") == "can_join",
        "room_version": room.ref.room_version,
        **{name: value for name, value in optional.items() if isinstance(value, str)},
    }
    if room.allowed_room_ids:
        told["allowed_room_ids"] = room.allowed_room_ids
    return told


def children_of(room: Room, *, suggested_only: bool) -> list[StoredEvent]:
    """The valid m.space.child events of a space in the order of the specification; none of another room."""
    valid = [
        event
        for event in room.children
        if _is_valid(event) and (not suggested_only or event.content.get("suggested") is True)
    ]
    return sorted(valid, key=_sort_key)


def hierarchy_room(room: Room, children: Sequence[StoredEvent]) -> dict[str, Any]:
    """``SpaceHierarchyRoomsChunk``."""
    stripped = [
        {**stripped_state(child.event), "origin_server_ts": child.origin_server_ts} for child in children
    ]
    return {**summary(room), "children_state": stripped}


def _is_valid(event: StoredEvent) -> bool:
    """A child without servers to join it by has been removed."""
    via = event.content.get("via")
    return isinstance(via, list) and bool(via) and is_room_id(event.state_key or "")


def _sort_key(event: StoredEvent) -> tuple[bool, str, int, str]:
    """Those with an ``order`` first; the same order, or none: by age, then by room ID."""
    order = event.content.get("order")
    is_ordered = (
        isinstance(order, str)
        and len(order) <= _MAX_ORDER
        and all("\x20" <= character <= "\x7e" for character in order)
    )
    return (not is_ordered, str(order) if is_ordered else "", event.origin_server_ts, event.state_key or "")

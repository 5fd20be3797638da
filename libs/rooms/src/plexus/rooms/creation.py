"""Making a room: all its first events in one write.

The chain is built as any other, upon the head of an empty room. Up to room version 11 the room's ID is
random; from 12 on it is the hash of the create event, so the lane is known only when that is built. Nobody
else can write to a room that does not exist, so there is neither queue nor conflict; two rooms of one ID can
only come of the same create event in the same millisecond, and then the later one is made a millisecond
younger.

Client-Server API, "Creation" (the order of the events is the caller's).
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import immutables
from plexus.protocol import room_versions
from plexus.protocol.errors import InvalidParam
from plexus.protocol.room_versions import RoomVersion
from plexus.rooms.builder import ChainBuilder, Signer
from plexus.rooms.head import RoomHead
from plexus.rooms.restricted import without_authoriser
from plexus.rooms.snapshots import EMPTY, Chain
from plexus.rooms.values import NewEvent, RoomRef
from plexus.rooms.wishes import Wish
from plexus.rooms.writes import NewRoom, RoomWrite

if TYPE_CHECKING:
    from plexus.rooms.ground import Ground

_ROOM_ID_BYTES = 18

Events = Sequence[NewEvent] | Callable[[str], Sequence[NewEvent]]


def new_room_id(server_name: str) -> str:
    """A random room ID of the versions in which they are not hashes."""
    return f"!{urlsafe_b64encode(os.urandom(_ROOM_ID_BYTES)).decode()}:{server_name}"


def build_room(
    ground: Ground, creator: str, room_version: str, events: Events, ts: int, *, published: bool
) -> tuple[RoomWrite, RoomHead]:
    """The write of a new room, and its head after it. Raises what is wrong with any of the events."""
    version = room_versions.get(room_version)
    server_name = ground.settings.server_name
    salt = os.urandom(16)
    room_id = "" if version.room_id_is_create_event_hash else new_room_id(server_name)
    builder = ChainBuilder(
        _empty_head(version, ground.lanes.room(room_id), room_id, salt),
        Signer(server_name, ground.keys.current()),
        new=NewRoom(salt, published),
        lane_of=ground.lanes.room,
    )
    first, *rest = events(room_id) if callable(events) else events
    _add(builder, creator, _with_version(version, creator, first), ts)
    if callable(events) and not room_id:
        # Now the room has its ID.
        rest = list(events(builder.room_id))[1:]
    for event in rest:
        _add(builder, creator, event, ts)
    return builder.finish()


def _add(builder: ChainBuilder, creator: str, event: NewEvent, ts: int) -> None:
    builder.add(Wish(creator, without_authoriser(event), None, ts))
    if (error := builder.verdicts[-1].error) is not None:
        raise error


def _with_version(version: RoomVersion, creator: str, event: NewEvent) -> NewEvent:
    if event.type != "m.room.create" or event.state_key != "":
        raise InvalidParam("A room begins with its create event")
    content = {**event.content, "room_version": version.identifier}
    if version.auth.create_needs_creator:
        content["creator"] = creator
    return replace(event, content=content)


def _empty_head(version: RoomVersion, lane: int, room_id: str, salt: bytes) -> RoomHead:
    return RoomHead(
        ref=RoomRef(room_id, lane, 0, version.identifier),
        version=version,
        seen=0,
        head_num=0,
        head_position=0,
        depth=0,
        extremities=(),
        snapshot=EMPTY,
        next_state_key=1,
        next_snapshot=1,
        next_page=1,
        salt=salt,
        entries=immutables.Map(),
        key_nums=immutables.Map(),
        chain=Chain(EMPTY, b"", (), 0),
        is_complete=True,
    )

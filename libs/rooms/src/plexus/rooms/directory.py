"""Aliases, and the public directory.

An alias is a row of its own, not of a room's lane: it is claimed and released in a transaction apart from any
room write. That of a new room is claimed before the room is written. If the process dies in between, the
alias leads to a room that is not there: then it resolves to nothing, and a minute later anybody may claim it.
What the room says of its aliases (m.room.canonical_alias) is state like any other.

Client-Server API, "Room aliases" and "Published room directory".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from plexus.protocol.errors import InvalidParam
from plexus.protocol.identifiers import is_room_alias
from plexus.rooms.ground import Ground
from plexus.rooms.refs import Refs
from plexus.rooms.state import StateReader
from plexus.rooms.stored import StoredEvent
from plexus.rooms.values import Alias, PublishedRoom, RoomRef, Wanted

MOST_LISTED = 2_000
"""Published rooms that the directory shows, those with the most members."""

_SHOWN = Wanted(
    types=frozenset(
        (
            "m.room.create",
            "m.room.name",
            "m.room.topic",
            "m.room.avatar",
            "m.room.canonical_alias",
            "m.room.join_rules",
            "m.room.history_visibility",
            "m.room.guest_access",
        )
    )
)
_BATCH = re.compile(r"d(\d{1,6})", re.ASCII)

_CLAIM = """
INSERT INTO rooms.alias (alias, room_id, creator, created) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING
RETURNING true
"""

ABANDONED_MS = 60_000
"""After this time an alias whose room is not there is free. A write of the room that was under way when the
alias was claimed has long been stopped by the timeouts of the database.
"""

_ABANDONED = "SELECT room_id FROM rooms.alias WHERE alias = %s AND created < %s"

_TAKE_OVER = """
UPDATE rooms.alias SET room_id = %(room_id)s, creator = %(creator)s, created = %(now)s
 WHERE alias = %(alias)s AND room_id = %(old)s AND created < %(before)s
   AND NOT EXISTS (SELECT FROM rooms.room WHERE lane = %(lane)s::smallint AND room_id = %(old)s)
RETURNING true
"""

_PUBLISHED = """
SELECT room_id, lane, room, room_version, snapshot, joined_members FROM rooms.room WHERE published
 ORDER BY joined_members DESC, room_id LIMIT %s
"""


async def claim_alias(ground: Ground, alias: str, room_id: str, creator: str) -> bool:
    """False if somebody has it. One that was claimed a while ago for a room that has not come to be is
    nobody's.
    """
    now = ground.clock.now_ms()
    if await ground.db.call(_CLAIM, (alias, room_id, creator, now)):
        return True
    rows = await ground.db.call(_ABANDONED, (alias, now - ABANDONED_MS))
    if not rows:
        return False
    old = rows[0][0]
    taken = await ground.db.call(
        _TAKE_OVER,
        {
            "alias": alias,
            "room_id": room_id,
            "creator": creator,
            "now": now,
            "old": old,
            "lane": ground.lanes.room(old),
            "before": now - ABANDONED_MS,
        },
    )
    return bool(taken)


async def release_alias(ground: Ground, alias: str, room_id: str | None = None) -> bool:
    """Delete an alias; with ``room_id`` only if it leads there. False if there was none."""
    rows = await ground.db.call(
        "DELETE FROM rooms.alias WHERE alias = %s AND room_id = coalesce(%s, room_id) RETURNING true",
        (alias, room_id),
    )
    return bool(rows)


async def move_aliases(ground: Ground, old_room_id: str, room_id: str) -> None:
    """Let every alias that leads to one room lead to another. Who made them stays."""
    await ground.db.call(
        "UPDATE rooms.alias SET room_id = %s WHERE room_id = %s RETURNING true", (room_id, old_room_id)
    )


async def resolve_alias(ground: Ground, refs: Refs, alias: str) -> Alias | None:
    """None if nobody has it, or the room for which it was claimed is not there (yet)."""
    if not is_room_alias(alias):
        return None
    async with ground.db.read() as session:
        row = await session.one("SELECT alias, room_id, creator FROM rooms.alias WHERE alias = %s", (alias,))
    if row is None:
        return None
    found = Alias(*row)
    return None if await refs.get(found.room_id) is None else found


async def aliases_of(ground: Ground, room_id: str) -> list[Alias]:
    async with ground.db.read() as session:
        rows = await session.fetch(
            "SELECT alias, room_id, creator FROM rooms.alias WHERE room_id = %s ORDER BY alias", (room_id,)
        )
    return [Alias(*row) for row in rows]


async def publish(ground: Ground, ref: RoomRef, published: bool) -> None:
    await ground.db.call(
        "UPDATE rooms.room SET published = %s WHERE lane = %s::smallint AND room = %s::integer"
        " RETURNING true",
        (published, ref.lane, ref.room),
    )


async def published_rooms(
    ground: Ground,
    states: StateReader,
    *,
    limit: int,
    since: str | None,
    search: str | None,
    types: Collection[str | None] | None,
) -> tuple[list[PublishedRoom], str | None, str | None, int]:
    """A page of the directory: rooms, next and previous batch, total. The state of all rooms on the page, or
    of all that are searched, is read at once. ``types`` are those of rooms that are wanted, None among them
    for rooms without a type.
    """
    offset = _offset(since)
    async with ground.db.read() as session:
        rows = await session.fetch(_PUBLISHED, (MOST_LISTED,))
    total = len(rows)
    narrowed = bool(search) or types is not None
    if not narrowed:
        rows = rows[offset : offset + limit]
    found = await states.states([(RoomRef(*row[:4]), row[4], _SHOWN) for row in rows])
    rooms = [_published(row[0], row[5], state) for row, state in zip(rows, found, strict=True)]
    if narrowed:
        term = (search or "").casefold()
        rooms = [room for room in rooms if types is None or room.room_type in types]
        rooms = [room for room in rooms if not term or _matches(room, term)]
        total = len(rooms)
        rooms = rooms[offset : offset + limit]
    following = f"d{offset + limit}" if offset + limit < total else None
    previous = f"d{max(0, offset - limit)}" if offset else None
    return rooms, following, previous, total


def _offset(since: str | None) -> int:
    if since is None:
        return 0
    match = _BATCH.fullmatch(since)
    if match is None:
        raise InvalidParam("Not a batch of the directory")
    return int(match[1])


def _matches(room: PublishedRoom, term: str) -> bool:
    return any(term in text.casefold() for text in (room.name, room.topic, room.canonical_alias) if text)


def _published(room_id: str, joined: int, state: Mapping[tuple[str, str], StoredEvent]) -> PublishedRoom:
    def value(type: str, key: str) -> str | None:
        event = state.get((type, ""))
        found: Any = None if event is None else event.content.get(key)
        return found if isinstance(found, str) else None

    return PublishedRoom(
        room_id=room_id,
        joined_members=joined,
        name=value("m.room.name", "name"),
        topic=value("m.room.topic", "topic"),
        canonical_alias=value("m.room.canonical_alias", "alias"),
        avatar_url=value("m.room.avatar", "url"),
        join_rule=value("m.room.join_rules", "join_rule") or "invite",
        room_type=value("m.room.create", "type"),
        world_readable=value("m.room.history_visibility", "history_visibility") == "world_readable",
        guest_can_join=value("m.room.guest_access", "guest_access") == "can_join",
    )

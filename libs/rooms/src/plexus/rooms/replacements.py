"""Which room replaces which: the record of upgrades, so that none is lost half-way and none is made twice.

1. `claim` says, before the new room is written, that it will replace the old one. There is one claim for an
   old room, whatever the number of processes and retries. (The ID of a room is known before it is written:
   it is random, or the hash of a create event that is built already.)
2. The new room is written.
3. Whoever upgrades does what the old room is owed, and ends with `finish`. If they die, `due` gives the
   replacement to somebody else when the lease is over; so each step must bear being repeated.

A claim whose room has not come to be within a minute is nobody's, as with aliases (``directory``).

Client-Server API, "Room Upgrades".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from plexus.rooms.ground import Ground
from plexus.rooms.refs import Refs

LEASE_MS = 30_000
"""So long the one who claimed, or took over, has for some writes. Two at it do no harm."""

ABANDONED_MS = 60_000
"""After this time a write of the new room that was under way has been stopped by the database's timeouts."""

_CLAIM = """
INSERT INTO rooms.replacement AS r (lane, old_room_id, room_id, creator, created, lease_until)
VALUES (%(lane)s::smallint, %(old)s, %(room_id)s, %(creator)s, %(now)s, %(until)s)
ON CONFLICT (lane, old_room_id) DO UPDATE
   SET room_id = excluded.room_id, creator = excluded.creator, created = excluded.created,
       lease_until = excluded.lease_until, done = false
 WHERE r.room_id = %(instead_of)s
RETURNING true
"""

_FIND = """
SELECT old_room_id, room_id, creator, done, created FROM rooms.replacement
 WHERE lane = %s::smallint AND old_room_id = %s
"""

_DUE = """
UPDATE rooms.replacement r SET lease_until = %(until)s
  FROM (SELECT lane, old_room_id FROM rooms.replacement WHERE NOT done AND lease_until <= %(now)s
         ORDER BY lease_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED) d
 WHERE r.lane = d.lane AND r.old_room_id = d.old_room_id
RETURNING r.old_room_id, r.room_id, r.creator, r.done, r.created
"""

_ABANDON = """
DELETE FROM rooms.replacement
 WHERE lane = %(old_lane)s::smallint AND old_room_id = %(old)s AND room_id = %(room_id)s
   AND NOT EXISTS (SELECT FROM rooms.room WHERE lane = %(lane)s::smallint AND room_id = %(room_id)s)
RETURNING true
"""


class Replaces(NamedTuple):
    """For a new room: it replaces this old one, instead of another room that did so (None: the first)."""

    old_room_id: str
    instead_of: str | None = None


@dataclass(frozen=True, slots=True)
class Replacement:
    """``room_id`` replaces ``old_room_id``; ``creator`` is who upgrades. ``done``: nothing is owed any
    more.
    """

    old_room_id: str
    room_id: str
    creator: str
    done: bool


async def claim(ground: Ground, replaces: Replaces, room_id: str, creator: str) -> bool:
    """False if the old room has a replacement that is not to be superseded."""
    now = ground.clock.now_ms()
    asked = {
        "lane": ground.lanes.room(replaces.old_room_id),
        "old": replaces.old_room_id,
        "room_id": room_id,
        "creator": creator,
        "now": now,
        "until": now + LEASE_MS,
        "instead_of": replaces.instead_of,
    }
    return bool(await ground.db.call(_CLAIM, asked))


async def release(ground: Ground, old_room_id: str, room_id: str) -> None:
    """Take the claim back: this room has not come to be."""
    await ground.db.call(
        "DELETE FROM rooms.replacement WHERE lane = %s::smallint AND old_room_id = %s AND room_id = %s"
        " RETURNING true",
        (ground.lanes.room(old_room_id), old_room_id, room_id),
    )


async def find(ground: Ground, refs: Refs, old_room_id: str) -> Replacement | None:
    """The room that replaces this one, if it is there. A claim that is nobody's any more is removed."""
    # Not from a read replica: what is not there is made.
    async with ground.db.read(primary=True) as session:
        row = await session.one(_FIND, (ground.lanes.room(old_room_id), old_room_id))
    return None if row is None else await _existing(ground, refs, Replacement(*row[:4]), row[4])


async def due(ground: Ground, refs: Refs, limit: int = 10) -> list[Replacement]:
    """Upgrades that nobody works on, the caller's for `LEASE_MS`."""
    now = ground.clock.now_ms()
    rows = await ground.db.call(_DUE, {"now": now, "until": now + LEASE_MS, "limit": limit})
    found = [await _existing(ground, refs, Replacement(*row[:4]), row[4]) for row in rows]
    return [replacement for replacement in found if replacement is not None]


async def finish(ground: Ground, replacement: Replacement) -> None:
    """Nothing is owed any more."""
    await ground.db.call(
        "UPDATE rooms.replacement SET done = true"
        " WHERE lane = %s::smallint AND old_room_id = %s AND room_id = %s RETURNING true",
        (ground.lanes.room(replacement.old_room_id), replacement.old_room_id, replacement.room_id),
    )


async def _existing(ground: Ground, refs: Refs, replacement: Replacement, created: int) -> Replacement | None:
    if await refs.get(replacement.room_id) is not None:
        return replacement
    if created < ground.clock.now_ms() - ABANDONED_MS:
        asked = {
            "old_lane": ground.lanes.room(replacement.old_room_id),
            "old": replacement.old_room_id,
            "lane": ground.lanes.room(replacement.room_id),
            "room_id": replacement.room_id,
        }
        await ground.db.call(_ABANDON, asked)
    return None

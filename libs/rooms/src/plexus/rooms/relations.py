"""The events that relate to one, as one user may see them.

Client-Server API, "Relationships API".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import LiteralString

from plexus.rooms.events import EventReader
from plexus.rooms.ground import Ground
from plexus.rooms.packing import int8
from plexus.rooms.timeline import FIRST, LAST
from plexus.rooms.values import Place, RoomRef, TimelinePage
from plexus.rooms.visibility import Viewer, read_viewers

RECURSION_DEPTH = 3
"""How far indirect relations are followed; the specification wants three."""

_SEEN: LiteralString = """r.sender <> ALL (%(ignored)s::text[])
       AND EXISTS (SELECT FROM unnest(%(froms)s::bigint[], %(tos)s::bigint[]) AS s (lo, hi)
                    WHERE r.ordinal BETWEEN s.lo AND s.hi)"""

_WANTED: LiteralString = """r.lane = %(lane)s::smallint AND r.room = %(room)s::integer
       AND (%(rel_type)s::text IS NULL OR r.rel_type = %(rel_type)s)
       AND (%(type)s::text IS NULL OR r.type = %(type)s)"""


def with_seen(sql: LiteralString) -> LiteralString:
    """A query with ``{seen}`` replaced by what says that a relation (``r``) is by somebody who is not ignored
    and where the user may see it: the values are those of `seen_by`.
    """
    return sql.replace("{seen}", _SEEN).replace("{wanted}", _WANTED)


_DIRECT = with_seen("SELECT r.num FROM rooms.relation r WHERE r.parent = %(parent)s AND {wanted} AND {seen}")

_RECURSIVE = with_seen("""
WITH RECURSIVE found AS (
    SELECT r.num, r.event_id, r.sender, r.ordinal, r.sub, 1 AS level FROM rooms.relation r
     WHERE r.parent = %(parent)s AND {wanted}
    UNION
    SELECT c.num, c.event_id, c.sender, c.ordinal, c.sub, found.level + 1 FROM found
     CROSS JOIN LATERAL (SELECT * FROM rooms.relation r WHERE r.parent = found.event_id AND {wanted}) AS c
     WHERE found.level < %(depth)s
)
SELECT r.num FROM (SELECT DISTINCT num, sender, ordinal, sub FROM found) AS r WHERE {seen}
""")

_BACKWARDS: LiteralString = """
   AND (r.ordinal, r.sub) <= (%(ordinal)s, %(sub)s::integer)
   AND (r.ordinal, r.sub) > (%(end_ordinal)s, %(end_sub)s::integer)
 ORDER BY r.ordinal DESC, r.sub DESC LIMIT %(most)s
"""
_FORWARDS: LiteralString = """
   AND (r.ordinal, r.sub) > (%(ordinal)s, %(sub)s::integer)
   AND (r.ordinal, r.sub) <= (%(end_ordinal)s, %(end_sub)s::integer)
 ORDER BY r.ordinal, r.sub LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which relations of an event are wanted: of any type (None) or of one, by events of any type or of one,
    by none of those who are ``ignored``; ``recurse``: also those that relate to one that is wanted.
    """

    parent: str
    rel_type: str | None = None
    type: str | None = None
    recurse: bool = False
    ignored: frozenset[str] = frozenset()


async def read_children(
    ground: Ground,
    reader: EventReader,
    ref: RoomRef,
    asked: Asked,
    *,
    viewer: str,
    start: Place | None,
    end: Place | None,
    backwards: bool,
    limit: int,
) -> TimelinePage:
    """The events that relate to one, from the boundary ``start`` (default: the newest or the oldest end)
    towards ``end``, of those that the viewer may see.

    Whether they may see the parent is for the caller to know.
    """
    eyes = (await read_viewers(ground, [ref], viewer))[ref]
    at = start if start is not None else (LAST if backwards else FIRST)
    stop = end if end is not None else (FIRST if backwards else LAST)
    sql = (_RECURSIVE if asked.recurse else _DIRECT) + (_BACKWARDS if backwards else _FORWARDS)
    values = {
        **seen_by(ref, eyes, asked.ignored),
        "parent": asked.parent,
        "rel_type": asked.rel_type,
        "type": asked.type,
        "depth": RECURSION_DEPTH,
        "ordinal": at.ordinal,
        "sub": at.sub,
        "end_ordinal": stop.ordinal,
        "end_sub": stop.sub,
        "most": limit + 1,
    }
    async with ground.db.read() as session:
        nums = [num for (num,) in await session.fetch(sql, values)]
    found = await reader.by_nums([(ref, nums[:limit])])
    events = [found[ref, num] for num in nums[:limit] if (ref, num) in found]
    more = len(nums) > limit
    last = events[-1].place if events else at
    events = [event for event in events if eyes.sees(event)]
    events = await reader.shown(events, {ref: eyes})
    memberships = [eyes.at(event.place).membership for event in events]
    after = (last.before if backwards else last) if more else None
    return TimelinePage(events, at, after, memberships=memberships)


def seen_by(ref: RoomRef, eyes: Viewer, ignored: Collection[str]) -> dict[str, object]:
    """What every query wants to know: the room, and what the user is to see of it."""
    ranges = eyes.ranges()
    return {
        "lane": ref.lane,
        "room": ref.room,
        "ignored": list(ignored),
        "froms": int8([lo for lo, _ in ranges]),
        "tos": int8([hi for _, hi in ranges]),
    }

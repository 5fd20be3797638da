"""The threads of a room, as one user may see them: those first in which something was said last.

No table holds where each thread stands. The relations of the room are read backwards, and the newest of a
thread says it; what is said in a thread while a client reads the list does not matter, for the list is that
of an ordinal.

Client-Server API, "Querying threads in a room".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from plexus.protocol.errors import Forbidden
from plexus.rooms.events import EventReader
from plexus.rooms.ground import Ground
from plexus.rooms.relations import seen_by, with_seen
from plexus.rooms.stored import StoredEvent
from plexus.rooms.values import Place, RoomRef
from plexus.rooms.visibility import read_viewers

MOST_ROUNDS = 10

# One whose root itself relates to something is no thread.
_THREADS = with_seen("""
SELECT r.ordinal, r.sub, root.num
  FROM rooms.relation AS r
 CROSS JOIN LATERAL (SELECT e.num, e.sender FROM rooms.event e
                      WHERE e.lane = r.lane AND e.room = r.room AND e.event_id = r.parent
                        AND e.ordinal IS NOT NULL LIMIT 1) AS root
 WHERE r.lane = %(lane)s::smallint AND r.room = %(room)s::integer AND r.rel_type = 'm.thread'
   AND (r.ordinal, r.sub) <= (%(ordinal)s, %(sub)s::integer)
   AND {seen}
   AND NOT EXISTS (SELECT FROM (SELECT * FROM rooms.relation n
                                 WHERE n.lane = r.lane AND n.room = r.room AND n.parent = r.parent
                                   AND n.rel_type = 'm.thread' AND (n.ordinal, n.sub) > (r.ordinal, r.sub)
                                   AND n.ordinal <= %(upto)s) AS r
                    WHERE {seen})
   AND NOT EXISTS (SELECT FROM rooms.relation n
                    WHERE n.lane = r.lane AND n.room = r.room AND n.num = root.num)
   AND (%(participant)s::text IS NULL OR root.sender = %(participant)s
        OR EXISTS (SELECT FROM rooms.relation n
                    WHERE n.lane = r.lane AND n.room = r.room AND n.parent = r.parent
                      AND n.rel_type = 'm.thread' AND n.sender = %(participant)s AND n.ordinal <= %(upto)s))
 ORDER BY r.ordinal DESC, r.sub DESC LIMIT %(most)s
""")


@dataclass(frozen=True, slots=True)
class ThreadsPage:
    """Roots of threads, those first in which something was said last. ``end`` is where to read on, None if
    there are no more.
    """

    roots: Sequence[StoredEvent]
    end: Place | None


async def read_threads(
    ground: Ground,
    reader: EventReader,
    ref: RoomRef,
    *,
    viewer: str,
    ignored: Collection[str],
    only_participated: bool,
    upto: int,
    start: Place | None,
    limit: int,
) -> ThreadsPage:
    """The roots of threads as they stood at the ordinal ``upto``: so the pages of one list fit together,
    whatever is said meanwhile. `Forbidden` if the viewer may see nothing of this room.
    """
    eyes = (await read_viewers(ground, [ref], viewer))[ref]
    if not eyes.may_read:
        raise Forbidden("You are not in this room")
    at = Place(upto) if start is None else start
    values = {
        **seen_by(ref, eyes, ignored),
        "participant": viewer if only_participated else None,
        "upto": upto,
        "most": limit + 1,
    }
    roots: list[StoredEvent] = []
    for _ in range(MOST_ROUNDS):
        async with ground.db.read() as session:
            rows = await session.fetch(_THREADS, {**values, "ordinal": at.ordinal, "sub": at.sub})
        found = await reader.by_nums([(ref, [num for *_, num in rows])])
        for ordinal, sub, num in rows:
            if len(roots) == limit:
                break
            at = Place(ordinal, sub).before
            root = found.get((ref, num))
            if root is not None and eyes.sees(root):
                roots.append(root)
        else:
            if len(rows) <= limit:
                await reader.decorate(roots)
                return ThreadsPage(roots, None)
        if len(roots) == limit:
            break
    await reader.decorate(roots)
    return ThreadsPage(roots, at)

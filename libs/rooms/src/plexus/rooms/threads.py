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
MOST_READ = 2_000
"""Relations that are read at a time, twice as many in each round. A page is short when a few threads fill
more than all rounds.
"""

# One whose root itself relates to something is no thread. Each LATERAL is one look-up in an index: left to
# itself the planner may join what it does not know the size of, which took seconds for 10,000 events.
_THREADS = with_seen("""
WITH said AS (
    SELECT r.parent, r.ordinal, r.sub FROM rooms.relation AS r
     WHERE r.lane = %(lane)s::smallint AND r.room = %(room)s::integer AND r.rel_type = 'm.thread'
       AND (r.ordinal, r.sub) <= (%(ordinal)s, %(sub)s::integer) AND {seen}
     ORDER BY r.ordinal DESC, r.sub DESC LIMIT %(read)s
), newest AS (
    SELECT DISTINCT ON (parent) %(lane)s::smallint AS lane, %(room)s::integer AS room, parent, ordinal, sub
      FROM said ORDER BY parent, ordinal DESC, sub DESC
), thread AS (
    SELECT n.ordinal, n.sub, root.num
      FROM newest AS n
     CROSS JOIN LATERAL (
        SELECT r.ordinal, r.sub FROM rooms.relation AS r
         WHERE r.lane = n.lane AND r.room = n.room AND r.parent = n.parent AND r.rel_type = 'm.thread'
           AND r.ordinal <= %(upto)s AND {seen}
         ORDER BY r.ordinal DESC, r.sub DESC LIMIT 1) AS latest
      LEFT JOIN LATERAL (
        SELECT e.num, e.sender FROM rooms.event AS e
         WHERE e.lane = n.lane AND e.room = n.room AND e.event_id = n.parent AND e.ordinal IS NOT NULL
         LIMIT 1) AS root ON true
      LEFT JOIN LATERAL (
        SELECT r.num FROM rooms.relation AS r
         WHERE r.lane = n.lane AND r.room = n.room AND r.num = root.num LIMIT 1) AS beyond ON true
      LEFT JOIN LATERAL (
        SELECT r.num FROM rooms.relation AS r
         WHERE r.lane = n.lane AND r.room = n.room AND r.parent = n.parent AND r.rel_type = 'm.thread'
           AND r.sender = %(participant)s AND r.ordinal <= %(upto)s LIMIT 1) AS own ON true
     WHERE latest.ordinal = n.ordinal AND latest.sub = n.sub AND beyond.num IS NULL
       AND (%(participant)s::text IS NULL OR root.sender = %(participant)s OR own.num IS NOT NULL)
)
SELECT last.read, last.ordinal, last.sub, t.ordinal, t.sub, t.num
  FROM (SELECT count(*) AS read, (array_agg(ordinal ORDER BY ordinal, sub))[1] AS ordinal,
               (array_agg(sub ORDER BY ordinal, sub))[1] AS sub FROM said) AS last
  LEFT JOIN thread AS t ON true
 ORDER BY t.ordinal DESC, t.sub DESC
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
    }
    wanted = 5 * limit
    roots: list[StoredEvent] = []
    is_end = False
    for _ in range(MOST_ROUNDS):
        wanted = min(wanted, MOST_READ)
        async with ground.db.read() as session:
            rows = await session.fetch(
                _THREADS, {**values, "ordinal": at.ordinal, "sub": at.sub, "read": wanted}
            )
        found = await reader.by_nums([(ref, [num for *_, num in rows if num is not None])])
        for *_, ordinal, sub, num in rows:
            if len(roots) == limit:
                break
            root = found.get((ref, num))
            if root is not None and eyes.sees(root):
                roots.append(root)
                at = Place(ordinal, sub).before
        else:
            read, ordinal, sub, *_ = rows[0]
            is_end = read < wanted
            if not is_end:
                at = Place(ordinal, sub).before
        if is_end or len(roots) == limit:
            break
        wanted *= 2
    roots = await reader.shown(roots, {ref: eyes})
    return ThreadsPage(roots, None if is_end else at)

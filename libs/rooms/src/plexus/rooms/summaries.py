"""How many are in a room and who stands for them (``RoomSummary`` of /sync), as of an event and not of now.

One statement answers for many rooms, so counts and heroes are of one moment. Mostly that is the room's head:
its counts stand in its row, and the present members in an index. Only if the room's state has changed since
the event asked about are the intervals looked at that have begun or ended since.

Client-Server API, ``GET /sync``: ``RoomSummary``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4, int8
from plexus.rooms.values import RoomRef

# ``since`` counts the intervals that held at the ordinal and do not now, less those that hold now only. Who
# is not there is asked for only where there is one member at most, who would be left without a hero.
_SUMMARIES = """
WITH asked AS MATERIALIZED (
    SELECT q.i, q.lane, q.room, q.ordinal, r.snapshot <> q.snapshot AS moved,
           r.joined_members, r.invited_members
      FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[], %(ordinals)s::bigint[],
                  %(snapshots)s::integer[]) WITH ORDINALITY AS q (lane, room, ordinal, snapshot, i)
     CROSS JOIN LATERAL (SELECT * FROM rooms.room r WHERE r.lane = q.lane AND r.room = q.room LIMIT 1) AS r
), counted AS MATERIALIZED (
    SELECT a.i, a.lane, a.room, a.ordinal, a.moved,
           a.joined_members + coalesce(since.joined, 0) AS joined,
           a.invited_members + coalesce(since.invited, 0) AS invited
      FROM asked a
      LEFT JOIN LATERAL (
        SELECT sum(d.sign) FILTER (WHERE d.membership = 1) AS joined,
               sum(d.sign) FILTER (WHERE d.membership = 2) AS invited
          FROM (SELECT m.membership,
                       CASE WHEN m.from_ordinal <= a.ordinal THEN 1
                            WHEN m.to_ordinal = 9223372036854775807 THEN -1 ELSE 0 END AS sign
                  FROM rooms.membership m
                 WHERE a.moved AND m.lane = a.lane AND m.room = a.room AND m.to_ordinal > a.ordinal
                   AND (m.from_ordinal > a.ordinal OR m.to_ordinal < 9223372036854775807)) AS d
      ) AS since ON true
)
SELECT c.i - 1, c.joined, c.invited, present.users, gone.users
  FROM counted c
 CROSS JOIN LATERAL (
    SELECT array_agg(user_id ORDER BY from_ordinal) AS users
      FROM (SELECT p.user_id, p.from_ordinal
              FROM ((SELECT m.user_id, m.from_ordinal FROM rooms.membership m
                      WHERE m.lane = c.lane AND m.room = c.room AND m.membership <= 2
                        AND m.to_ordinal = 9223372036854775807 AND m.from_ordinal <= c.ordinal
                      ORDER BY m.from_ordinal LIMIT %(most)s)
                    UNION ALL
                    (SELECT m.user_id, m.from_ordinal FROM rooms.membership m
                      WHERE c.moved AND m.lane = c.lane AND m.room = c.room AND m.membership <= 2
                        AND m.from_ordinal <= c.ordinal AND m.to_ordinal > c.ordinal
                        AND m.to_ordinal < 9223372036854775807
                      ORDER BY m.from_ordinal LIMIT %(most)s)) AS p
             ORDER BY p.from_ordinal LIMIT %(most)s) AS first
 ) AS present
 CROSS JOIN LATERAL (
    SELECT array_agg(user_id ORDER BY from_ordinal) AS users
      FROM (SELECT m.user_id, m.from_ordinal FROM rooms.membership m
             WHERE c.joined + c.invited <= 1 AND m.lane = c.lane AND m.room = c.room AND m.membership > 3
               AND m.from_ordinal <= c.ordinal AND m.to_ordinal > c.ordinal
             ORDER BY m.from_ordinal LIMIT %(most)s) AS first
 ) AS gone
"""


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """``members`` are the first who are joined or invited, in the order in which they came; ``gone`` the
    first who left or were banned, given if there is but one member, or none.
    """

    joined: int
    invited: int
    members: tuple[str, ...]
    gone: tuple[str, ...] = ()

    def heroes(self, viewer: str, limit: int) -> list[str]:
        """Who stands for the room to this user: ``m.heroes``."""
        others = [user for user in self.members if user != viewer]
        return (others or [user for user in self.gone if user != viewer])[:limit]


async def read_summaries(
    ground: Ground, places: Sequence[tuple[RoomRef, int, int]], limit: int
) -> list[RoomSummary]:
    """The summary of each room after its live event of this ordinal, which left the room's state as this
    snapshot, with as many users as give ``limit`` heroes to anybody.
    """
    if not places:
        return []
    async with ground.db.read() as session:
        rows = await session.fetch(
            _SUMMARIES,
            {
                "lanes": int4([ref.lane for ref, _, _ in places]),
                "rooms": int4([ref.room for ref, _, _ in places]),
                "ordinals": int8([ordinal for _, ordinal, _ in places]),
                "snapshots": int4([snapshot for _, _, snapshot in places]),
                "most": limit + 1,
            },
        )
    found = {i: RoomSummary(int(j), int(n), tuple(m or ()), tuple(g or ())) for i, j, n, m, g in rows}
    return [found[i] for i in range(len(places))]

"""What somebody has not read: counted as differences, not event by event.

What is read of the main timeline reaches as far as the user's receipts, the last event that they sent there,
and their join, whichever is furthest. Each event carries how many had notified by default (``notified``); the
difference to now is what is unread, but for the notices that say otherwise for this user.

Threads are counted apart, from the events in threads since what is read of all of the room: nobody is in so
many that this would be much, and `MOST_IN_THREADS` bounds it.

Client-Server API, "Receiving notifications", "Threaded read receipts".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4, int8
from plexus.rooms.values import RoomRef

MOST_IN_THREADS: Final = 10_000
"""The newest events in threads of a room that are looked at; what is older counts as read."""

MOST_UNNUMBERED: Final = 200
"""Events without a number, which a version before this one wrote beside it, that are passed over."""

_UNREAD = """
WITH asked AS (
    SELECT q.i, q.lane, q.room, r.notified, r.head_position, r.head_ordinal, read.everywhere,
           (SELECT e.event_id FROM rooms.event e
             WHERE e.lane = q.lane AND e.room = q.room AND e.num = r.head_ordinal) AS newest,
           greatest(read.everywhere, c.main, own.num) AS main
      FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[]) WITH ORDINALITY AS q (lane, room, i)
     CROSS JOIN LATERAL (SELECT * FROM rooms.room r WHERE r.lane = q.lane AND r.room = q.room LIMIT 1) AS r
     CROSS JOIN LATERAL (
        SELECT from_ordinal FROM rooms.membership m
         WHERE m.lane = q.lane AND m.room = q.room AND m.user_id = %(user)s
           AND m.to_ordinal = 9223372036854775807 AND m.membership = 1 LIMIT 1) AS m
     CROSS JOIN LATERAL (
        SELECT max(ordinal - (sub < 0)::integer) FILTER (WHERE thread = '') AS everywhere,
               max(ordinal - (sub < 0)::integer) FILTER (WHERE thread = 'main') AS main
          FROM rooms.receipt c WHERE c.lane = q.lane AND c.room = q.room AND c.user_id = %(user)s) AS c
     CROSS JOIN LATERAL (SELECT greatest(m.from_ordinal, c.everywhere) AS everywhere) AS read
      LEFT JOIN LATERAL (
        SELECT e.num FROM rooms.event e
         WHERE e.lane = q.lane AND e.room = q.room AND e.sender = %(user)s AND e.sent AND e.thread IS NULL
         ORDER BY e.num DESC LIMIT 1) AS own ON true
)
SELECT a.i - 1, a.head_position, a.head_ordinal, a.newest, NULL AS thread,
       a.notified - coalesce(b.notified, 0) + n.notify, n.highlight
  FROM asked a
  LEFT JOIN LATERAL (
    SELECT e.notified FROM rooms.event e
     WHERE e.lane = a.lane AND e.room = a.room AND e.num <= a.main AND e.num > a.main - %(back)s::integer
       AND e.notified IS NOT NULL AND a.notified > 0
     ORDER BY e.num DESC LIMIT 1) AS b ON true
 CROSS JOIN LATERAL (
    SELECT coalesce(sum(n.notify), 0)::integer AS notify, coalesce(sum(n.highlight), 0)::integer AS highlight
      FROM rooms.notice n
     WHERE n.lane = a.lane AND n.room = a.room AND n.user_id IN ('', %(user)s) AND n.num > a.main
       AND n.thread IS NULL) AS n
 UNION ALL
SELECT a.i - 1, a.head_position, a.head_ordinal, a.newest, t.thread, t.notify, t.highlight
  FROM asked a
 CROSS JOIN LATERAL (
    SELECT w.thread,
           (count(*) FILTER (WHERE w.notify > 0) + coalesce(sum(n.notify), 0))::integer AS notify,
           coalesce(sum(n.highlight), 0)::integer AS highlight
      FROM (
        SELECT e.thread, e.num, e.notify,
               max(e.num) FILTER (WHERE e.sent AND e.sender = %(user)s) OVER (PARTITION BY e.thread) AS own
          FROM (SELECT thread, num, notify, sent, sender FROM rooms.event e
                 WHERE e.lane = a.lane AND e.room = a.room AND e.thread IS NOT NULL AND e.num > a.everywhere
                 ORDER BY e.num DESC LIMIT %(most)s::integer) AS e
      ) AS w
      LEFT JOIN (
        SELECT thread, max(ordinal - (sub < 0)::integer) AS num FROM rooms.receipt c
         WHERE c.lane = a.lane AND c.room = a.room AND c.user_id = %(user)s GROUP BY thread
      ) AS c ON c.thread = w.thread
      LEFT JOIN (
        SELECT num, sum(notify) AS notify, sum(highlight) AS highlight FROM rooms.notice n
         WHERE n.lane = a.lane AND n.room = a.room AND n.user_id IN ('', %(user)s) AND n.num > a.everywhere
           AND n.thread IS NOT NULL
         GROUP BY num
      ) AS n ON n.num = w.num
     WHERE w.num > coalesce(greatest(w.own, c.num), 0)
     GROUP BY w.thread
 ) AS t
"""


_FURTHER = """
SELECT q.i - 1 FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[], %(afters)s::bigint[])
       WITH ORDINALITY AS q (lane, room, after, i)
 WHERE EXISTS (SELECT FROM rooms.receipt c
                WHERE c.lane = q.lane AND c.room = q.room AND c.user_id = %(user)s AND c.position > q.after)
"""


class Counts(NamedTuple):
    """Unread events that notify, and those of them that highlight."""

    notifications: int
    highlights: int

    def plus(self, notifications: int, highlights: int) -> Counts:
        return Counts(self.notifications + notifications, self.highlights + highlights)


NONE: Final = Counts(0, 0)


@dataclass(slots=True)
class Unread:
    """What a member has not read of a room whose last event is ``newest``, of this ``ordinal``, told by the
    fact at ``position``. ``threads`` are by their roots, those with something unread.
    """

    position: int
    ordinal: int
    newest: str
    main: Counts = NONE
    threads: dict[str, Counts] = field(default_factory=dict)

    @property
    def total(self) -> Counts:
        """Of all of the room."""
        total = self.main
        for counts in self.threads.values():
            total = total.plus(*counts)
        return total


class UnreadReader:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def further(self, refs: Sequence[RoomRef], user_id: str, since: Sequence[int]) -> list[RoomRef]:
        """Those of these rooms in which the user has moved a receipt after a cut. One query."""
        if not refs:
            return []
        asked = {
            "lanes": int4([ref.lane for ref in refs]),
            "rooms": int4([ref.room for ref in refs]),
            "afters": int8([since[ref.lane] for ref in refs]),
            "user": user_id,
        }
        async with self._ground.db.read(primary=True) as session:
            return [refs[i] for (i,) in await session.fetch(_FURTHER, asked)]

    async def read(self, refs: Sequence[RoomRef], user_id: str) -> dict[RoomRef, Unread]:
        """What a user has not read of each of these rooms, of those they are in. One query."""
        if not refs:
            return {}
        asked = {
            "lanes": int4([ref.lane for ref in refs]),
            "rooms": int4([ref.room for ref in refs]),
            "user": user_id,
            "most": MOST_IN_THREADS,
            "back": MOST_UNNUMBERED,
        }
        # Not from a replica, which may not have the receipt that the lanes have told of.
        async with self._ground.db.read(primary=True) as session:
            rows = await session.fetch(_UNREAD, asked)
        found: dict[RoomRef, Unread] = {}
        for i, position, ordinal, newest, thread, notifications, highlights in rows:
            unread = found.setdefault(refs[i], Unread(position, ordinal, newest))
            counts = Counts(max(0, notifications), max(0, highlights))
            if thread is None:
                unread.main = counts
            elif counts != NONE:
                unread.threads[thread] = counts
        return found

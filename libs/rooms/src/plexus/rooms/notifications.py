"""The events that somebody has been notified of, the newest first, through all their rooms.

They are those that notify everybody in a room while the user is in it, and those with a notice of their own,
which decides where there is one. The order is by ``origin_server_ts``, as clients show it: between rooms
there is no other.

Client-Server API, ``getNotifications``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from plexus.protocol.errors import InvalidParam
from plexus.rooms.ground import Ground
from plexus.rooms.notifying import RULE_IDS, default_actions
from plexus.rooms.packing import int4
from plexus.rooms.stored import StoredEvent, with_columns
from plexus.rooms.values import UserRoom

# The columns of an event stand in the query of all candidates: what is sorted is small.
_LISTED = """
WITH asked AS (
    SELECT lane, room FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[]) AS q (lane, room)
), own AS (
    SELECT n.ts, n.lane, n.room, n.num, n.actions, 0::smallint AS notify
      FROM rooms.notice n JOIN asked q ON q.lane = n.lane AND q.room = n.room
     WHERE n.user_id = %(user)s AND n.actions IS NOT NULL AND (n.highlighted OR NOT %(highlight)s::boolean)
       AND n.ts <= %(ts)s::bigint
       AND (n.ts, n.lane, n.room, n.num)
           < (%(ts)s::bigint, %(lane)s::integer, %(room)s::integer, %(num)s::bigint)
     ORDER BY n.ts DESC, n.lane DESC, n.room DESC, n.num DESC LIMIT %(limit)s::integer
), everybodys AS (
    SELECT e.* FROM asked q CROSS JOIN LATERAL (
        SELECT e.origin_server_ts AS ts, e.lane, e.room, e.num, NULL AS actions, e.notify FROM rooms.event e
         WHERE e.lane = q.lane AND e.room = q.room AND e.notify > 0 AND e.redacted_by IS NULL
           AND e.origin_server_ts <= %(ts)s::bigint
           AND (e.origin_server_ts, e.lane, e.room, e.num)
               < (%(ts)s::bigint, %(lane)s::integer, %(room)s::integer, %(num)s::bigint)
           AND e.sender <> %(user)s
           AND EXISTS (SELECT FROM rooms.membership m
                        WHERE m.lane = e.lane AND m.room = e.room AND m.user_id = %(user)s
                          AND m.membership = 1 AND m.from_ordinal < e.num AND e.num <= m.to_ordinal)
           AND NOT EXISTS (SELECT FROM rooms.notice n
                            WHERE n.lane = e.lane AND n.room = e.room AND n.user_id = %(user)s
                              AND n.num = e.num)
           AND (NOT %(highlight)s::boolean
                OR EXISTS (SELECT FROM rooms.notice n
                            WHERE n.lane = e.lane AND n.room = e.room AND n.user_id = '' AND n.num = e.num
                              AND n.highlighted))
         ORDER BY e.origin_server_ts DESC, e.num DESC LIMIT %(limit)s::integer) AS e
), found AS (
    SELECT * FROM own UNION ALL SELECT * FROM everybodys
     ORDER BY ts DESC, lane DESC, room DESC, num DESC LIMIT %(limit)s::integer
)
SELECT f.lane, f.room, f.ts, f.actions, f.notify, e.thread, e.*
  FROM found f
 CROSS JOIN LATERAL (SELECT thread, {columns} FROM rooms.event e
                      WHERE e.lane = f.lane AND e.room = f.room AND e.num = f.num) AS e
 ORDER BY f.ts DESC, f.lane DESC, f.room DESC, f.num DESC
"""

_TOKEN = re.compile(r"n(\d{1,16})_(\d{1,5})_(\d{1,9})_(\d{1,18})", re.ASCII)


class Listed(NamedTuple):
    """A place in the list, between two notifications."""

    ts: int
    lane: int
    room: int
    num: int

    def encode(self) -> str:
        return f"n{self.ts}_{self.lane}_{self.room}_{self.num}"

    @classmethod
    def decode(cls, token: str) -> Listed:
        """`InvalidParam` for what is no such token."""
        match = _TOKEN.fullmatch(token)
        if match is None or int(match[3]) >= 2**31:
            raise InvalidParam("Not a token of the list of notifications")
        return cls(*map(int, match.groups()))


NEWEST = Listed(2**62, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Notification:
    """``rule_id`` is that of the default push rule by which the event notifies everybody, None if it is a
    matter of this user; ``thread`` the root of the event's thread.
    """

    event: StoredEvent
    actions: Sequence[Any]
    rule_id: str | None
    thread: str | None
    place: Listed


class NotificationReader:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def read(
        self, rooms: Sequence[UserRoom], user_id: str, before: Listed, limit: int, *, highlights: bool
    ) -> list[Notification]:
        """At most ``limit`` notifications before a place in the list, the newest first."""
        refs = {(room.lane, room.room): room.ref for room in rooms if not room.forgotten}
        if not refs:
            return []
        asked = {
            "lanes": int4([lane for lane, _ in refs]),
            "rooms": int4([room for _, room in refs]),
            "user": user_id,
            "highlight": highlights,
            "limit": limit,
            **before._asdict(),
        }
        async with self._ground.db.read() as session:
            rows = await session.fetch(with_columns(_LISTED), asked)
        found = []
        for lane, room, ts, actions, notify, thread, _, *columns in rows:
            event = StoredEvent.of_row(refs[lane, room], columns)
            found.append(
                Notification(
                    event,
                    default_actions(notify) if actions is None else orjson.loads(actions),
                    RULE_IDS[notify] if actions is None else None,
                    thread,
                    Listed(ts, lane, room, event.num),
                )
            )
        return found

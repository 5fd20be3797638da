"""What those who tell push gateways ask: whom the events of some facts notify, and an event of them later.

Push Gateway API; Client-Server API, "Push Notifications".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from plexus.rooms.ground import Ground
from plexus.rooms.notifying import RULE_IDS, default_actions
from plexus.rooms.packing import int4, int8
from plexus.rooms.stored import StoredEvent, with_columns
from plexus.rooms.values import RoomRef

_EVENTS = """
SELECT q.i - 1, e.num, e.sender, coalesce(e.notify, 0), n.user_id, n.actions
  FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[], %(los)s::bigint[], %(his)s::bigint[])
       WITH ORDINALITY AS q (lane, room, lo, hi, i)
 CROSS JOIN LATERAL (
    SELECT e.num, e.sender, e.notify FROM rooms.event e
     WHERE e.lane = q.lane AND e.room = q.room AND e.num BETWEEN q.lo AND q.hi AND e.ordinal IS NOT NULL
       AND e.redacted_by IS NULL) AS e
  LEFT JOIN rooms.notice n ON n.lane = q.lane AND n.room = q.room AND n.num = e.num AND n.user_id <> ''
 WHERE e.notify > 0 OR n.actions IS NOT NULL
 ORDER BY q.i, e.num
"""

_MEMBERS = """
SELECT q.i - 1, m.user_id
  FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[], %(nums)s::bigint[])
       WITH ORDINALITY AS q (lane, room, num, i)
  JOIN rooms.membership m ON m.lane = q.lane AND m.room = q.room AND m.membership = 1
   AND m.from_ordinal < q.num AND q.num <= m.to_ordinal
   AND right(m.user_id, length(%(suffix)s)) = %(suffix)s
"""

_READERS = """
SELECT DISTINCT r.user_id
  FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[], %(after)s::bigint[], %(upto)s::bigint[])
       AS q (lane, room, after, upto)
  JOIN rooms.receipt r ON r.lane = q.lane AND r.room = q.room
   AND r.position > q.after AND r.position <= q.upto
"""

_ONE = """
SELECT r.room_id, r.room_version, e.thread, e.*
  FROM rooms.room r
 CROSS JOIN LATERAL (SELECT thread, {columns} FROM rooms.event e
                      WHERE e.lane = r.lane AND e.room = r.room AND e.num = %s AND e.redacted_by IS NULL) AS e
 WHERE r.lane = %s::smallint AND r.room = %s::integer
"""


@dataclass(slots=True)
class NotifyingEvent:
    """An event, by its number in its room, and the users of this server whom it notifies: the members if it
    notifies by a default rule (``rule_id``), and by their own rules those with actions in ``own``; not those
    who have None there.
    """

    lane: int
    room: int
    num: int
    sender: str
    rule_id: str | None
    actions: Sequence[Any]
    own: Mapping[str, Sequence[Any] | None]
    members: Sequence[str] = ()

    @property
    def user_ids(self) -> Sequence[str]:
        by_default = [user for user in self.members if user not in self.own]
        return [*by_default, *(user for user, actions in self.own.items() if actions is not None)]

    def is_by_default(self, user_id: str) -> bool:
        return user_id not in self.own

    def actions_of(self, user_id: str) -> Sequence[Any]:
        """What the rule says that decided for this user."""
        return self.own.get(user_id, self.actions) or ()


class PushReader:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def notifying(self, ranges: Sequence[tuple[RoomRef, int, int]]) -> list[NotifyingEvent]:
        """Those of the events of these rooms and numbers that notify somebody here. Two queries at most."""
        asked: dict[str, Any] = {
            "lanes": int4([ref.lane for ref, _, _ in ranges]),
            "rooms": int4([ref.room for ref, _, _ in ranges]),
            "los": int8([lo for _, lo, _ in ranges]),
            "his": int8([hi for _, _, hi in ranges]),
        }
        # Not from a replica: it may not have what the lanes tell of.
        async with self._ground.db.read(primary=True) as session:
            rows = await session.fetch(_EVENTS, asked)
            found: dict[tuple[int, int], NotifyingEvent] = {}
            own: dict[tuple[int, int], dict[str, Sequence[Any] | None]] = {}
            refs: dict[tuple[int, int], RoomRef] = {}
            for i, num, sender, notify, user_id, actions in rows:
                ref = ranges[i][0]
                key = (ref.room, num)
                if key not in found:
                    # Nobody is notified of what they sent themselves.
                    own[key] = {sender: None}
                    refs[key] = ref
                    rule = RULE_IDS.get(notify)
                    told = default_actions(notify) if rule is not None else ()
                    found[key] = NotifyingEvent(ref.lane, ref.room, num, sender, rule, told, own[key])
                if user_id is not None:
                    own[key][user_id] = None if actions is None else orjson.loads(actions)
            by_default = [(refs[key], event) for key, event in found.items() if event.rule_id is not None]
            if by_default:
                asked = {
                    "lanes": int4([ref.lane for ref, _ in by_default]),
                    "rooms": int4([ref.room for ref, _ in by_default]),
                    "nums": int8([event.num for _, event in by_default]),
                    "suffix": ":" + self._ground.settings.server_name,
                }
                members: list[list[str]] = [[] for _ in by_default]
                for i, user_id in await session.fetch(_MEMBERS, asked):
                    members[i].append(user_id)
                for (_, event), users in zip(by_default, members, strict=True):
                    event.members = users
        return list(found.values())

    async def readers(self, ranges: Sequence[tuple[RoomRef, int, int]]) -> set[str]:
        """Whose receipts in these rooms have changed last at a position after the one and up to the other."""
        if not ranges:
            return set()
        asked = {
            "lanes": int4([ref.lane for ref, _, _ in ranges]),
            "rooms": int4([ref.room for ref, _, _ in ranges]),
            "after": int8([after for _, after, _ in ranges]),
            "upto": int8([upto for _, _, upto in ranges]),
        }
        async with self._ground.db.read(primary=True) as session:
            return {user_id for (user_id,) in await session.fetch(_READERS, asked)}

    async def event(self, lane: int, room: int, num: int) -> tuple[StoredEvent, str | None] | None:
        """An event and the root of its thread; None if it was redacted or is gone."""
        async with self._ground.db.read(primary=True) as session:
            row = await session.one(with_columns(_ONE), (num, lane, room))
        if row is None:
            return None
        room_id, version, thread, _, *columns = row
        return StoredEvent.of_row(RoomRef(room_id, lane, room, version), columns), thread

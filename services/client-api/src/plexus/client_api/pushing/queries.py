"""The tables ``client_api.push`` and ``client_api.badge``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from plexus.platform.lanes.cursors import Step, moves
from plexus.platform.postgres import Database

WORKER = "push"

BADGE_PAUSE_MS = 1_000
"""Who scrolls through a room sends a receipt a moment, and only the last number matters."""

_QUEUE = """
WITH moved AS MATERIALIZED (
    SELECT lanes.move('push', %(generation)s::bigint, %(families)s::text[], %(lanes)s::smallint[],
                      %(starts)s::bigint[], %(ends)s::bigint[]) AS ok
), put AS (
    INSERT INTO client_api.push (lane, room, num, user_id, app_id, pushkey, actions, created_ts, due_ts)
    SELECT q.*, %(now)s, %(now)s
      FROM unnest(%(of_lanes)s::smallint[], %(rooms)s::integer[], %(nums)s::bigint[], %(users)s::text[],
                  %(apps)s::text[], %(keys)s::text[], %(actions)s::text[]) AS q
     WHERE (SELECT ok FROM moved)
    ON CONFLICT DO NOTHING
), badges AS (
    INSERT INTO client_api.push AS p (lane, room, num, user_id, app_id, pushkey, actions, created_ts, due_ts)
    SELECT 0::smallint, 0, 0, b.user_id, b.app_id, b.pushkey, '[]', %(now)s, %(badge_due)s
      FROM client_api.badge b
     WHERE b.user_id = ANY (%(readers)s::text[]) AND (SELECT ok FROM moved)
    -- It may be under way, with a number from before: `done` will see that this is another one.
    ON CONFLICT (lane, room, num, user_id, app_id, pushkey)
    DO UPDATE SET created_ts = greatest(p.created_ts + 1, excluded.created_ts)
)
SELECT ok FROM moved
"""

_CLAIM = """
UPDATE client_api.push p SET due_ts = %(lease)s, attempts = p.attempts + 1 FROM (
    SELECT lane, room, num, user_id, app_id, pushkey FROM client_api.push
     WHERE due_ts <= %(now)s ORDER BY due_ts LIMIT %(limit)s::integer FOR UPDATE SKIP LOCKED) AS c
 WHERE p.lane = c.lane AND p.room = c.room AND p.num = c.num AND p.user_id = c.user_id
   AND p.app_id = c.app_id AND p.pushkey = c.pushkey
RETURNING p.lane, p.room, p.num, p.user_id, p.app_id, p.pushkey, p.actions, p.created_ts, p.attempts
"""

_DONE = """
WITH gone AS (
    DELETE FROM client_api.push
     WHERE lane = %(lane)s::smallint AND room = %(room)s::integer AND num = %(num)s AND user_id = %(user)s
       AND app_id = %(app)s AND pushkey = %(key)s AND created_ts = %(created)s
    RETURNING 1
), told AS (
    INSERT INTO client_api.badge AS b (user_id, app_id, pushkey, unread)
    SELECT %(user)s, %(app)s, %(key)s, %(unread)s::integer WHERE %(unread)s::integer > 0
    ON CONFLICT (user_id, app_id, pushkey)
    DO UPDATE SET unread = excluded.unread WHERE b.unread <> excluded.unread
), nothing AS (
    DELETE FROM client_api.badge
     WHERE user_id = %(user)s AND app_id = %(app)s AND pushkey = %(key)s AND %(unread)s::integer = 0
)
SELECT count(*) FROM gone
"""

_DROP = """
WITH badge AS (DELETE FROM client_api.badge
                WHERE user_id = %(user)s AND app_id = %(app)s AND pushkey = %(key)s)
DELETE FROM client_api.push WHERE user_id = %(user)s AND app_id = %(app)s AND pushkey = %(key)s RETURNING 1
"""

_BADGE = "SELECT unread FROM client_api.badge WHERE user_id = %s AND app_id = %s AND pushkey = %s"

_POSTPONE = """
UPDATE client_api.push SET due_ts = %s
 WHERE user_id = %s AND app_id = %s AND pushkey = %s AND due_ts <= %s RETURNING 1
"""

_RETRY = """
UPDATE client_api.push SET due_ts = %s
 WHERE lane = %s::smallint AND room = %s::integer AND num = %s
   AND user_id = %s AND app_id = %s AND pushkey = %s
RETURNING 1
"""


@dataclass(frozen=True, slots=True)
class Queued:
    """A row to be."""

    lane: int
    room: int
    num: int
    user_id: str
    app_id: str
    pushkey: str
    actions: str


@dataclass(frozen=True, slots=True)
class Push:
    """A row that has been claimed. ``attempts`` counts this one."""

    lane: int
    room: int
    num: int
    user_id: str
    app_id: str
    pushkey: str
    actions: str
    created_ts: int
    attempts: int

    @property
    def is_badge(self) -> bool:
        """Whether it is about no event, and tells only how much is unread."""
        return self.num == 0

    @property
    def key(self) -> tuple[int, int, int, str, str, str]:
        return self.lane, self.room, self.num, self.user_id, self.app_id, self.pushkey

    @property
    def pusher(self) -> tuple[str, str, str]:
        return self.user_id, self.app_id, self.pushkey


async def queue(
    db: Database, steps: Sequence[Step], rows: Sequence[Queued], readers: Collection[str], now_ms: int
) -> bool:
    """Queue these, and badges of those of these users whose pushers know of something unread, and move the
    cursors; False, and nothing done, if one is not where its step begins.
    """
    generation, families, lanes, starts, ends = moves(steps)
    found = await db.call(
        _QUEUE,
        {
            "generation": generation,
            "families": families,
            "lanes": lanes,
            "starts": starts,
            "ends": ends,
            "now": now_ms,
            "of_lanes": [row.lane for row in rows],
            "rooms": [row.room for row in rows],
            "nums": [row.num for row in rows],
            "users": [row.user_id for row in rows],
            "apps": [row.app_id for row in rows],
            "keys": [row.pushkey for row in rows],
            "actions": [row.actions for row in rows],
            "readers": list(readers),
            "badge_due": now_ms + BADGE_PAUSE_MS,
        },
    )
    return bool(found[0][0])


async def claim(db: Database, now_ms: int, lease_ms: int, limit: int) -> list[Push]:
    """Those that are due, for the caller alone until the lease is over."""
    asked = {"now": now_ms, "lease": now_ms + lease_ms, "limit": limit}
    return sorted([Push(*row) for row in await db.call(_CLAIM, asked)], key=lambda push: push.created_ts)


async def told_unread(db: Database, pusher: tuple[str, str, str]) -> int:
    """How many unread messages the pusher was last told of."""
    async with db.read(primary=True) as session:
        row = await session.one(_BADGE, pusher)
    return 0 if row is None else row[0]


async def done(db: Database, push: Push, unread: int | None, now_ms: int) -> None:
    """It has been told, with ``unread``, or there was nothing to tell: None. A badge for which more was read
    meanwhile is due again.
    """
    asked = {**_named(push.pusher), "lane": push.lane, "room": push.room, "num": push.num}
    asked |= {"created": push.created_ts, "unread": unread}
    [(gone,)] = await db.call(_DONE, asked)
    if not gone and push.is_badge:
        await db.call(_RETRY, (now_ms, *push.key))


async def drop(db: Database, pusher: tuple[str, str, str]) -> None:
    """The pusher is gone, and with it what it was to be told."""
    await db.call(_DROP, _named(pusher))


async def retry(db: Database, pushes: Sequence[Push], now_ms: int, due_ms: int) -> None:
    """Try these again then, and nothing else of their pusher before."""
    for push in pushes:
        await db.call(_RETRY, (due_ms, *push.key))
    await db.call(_POSTPONE, (due_ms, *pushes[0].pusher, now_ms))


def _named(pusher: tuple[str, str, str]) -> dict[str, Any]:
    user_id, app_id, pushkey = pusher
    return {"user": user_id, "app": app_id, "key": pushkey}

"""The table ``client_api.push``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plexus.platform.lanes.cursors import Step
from plexus.platform.postgres import Database

WORKER = "push"

_QUEUE = """
WITH moved AS (
    UPDATE lanes.cursor SET position = %(end)s
     WHERE worker = 'push' AND shard = 0 AND family = 'r' AND lane = %(lane)s::smallint
       AND generation = %(generation)s AND position = %(start)s
    RETURNING 1
), put AS (
    INSERT INTO client_api.push (lane, room, num, user_id, app_id, pushkey, actions, created_ts, due_ts)
    SELECT %(lane)s::smallint, q.*, %(now)s, %(now)s
      FROM unnest(%(rooms)s::integer[], %(nums)s::bigint[], %(users)s::text[], %(apps)s::text[],
                  %(keys)s::text[], %(actions)s::text[]) AS q
     WHERE EXISTS (SELECT FROM moved)
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM moved
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
DELETE FROM client_api.push
 WHERE lane = %s::smallint AND room = %s::integer AND num = %s
   AND user_id = %s AND app_id = %s AND pushkey = %s
RETURNING 1
"""

_DROP = "DELETE FROM client_api.push WHERE user_id = %s AND app_id = %s AND pushkey = %s RETURNING 1"

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
    def key(self) -> tuple[int, int, int, str, str, str]:
        return self.lane, self.room, self.num, self.user_id, self.app_id, self.pushkey

    @property
    def pusher(self) -> tuple[str, str, str]:
        return self.user_id, self.app_id, self.pushkey


async def queue(db: Database, step: Step, rows: Sequence[Queued], now_ms: int) -> bool:
    """Queue these and move the cursor; False, and nothing done, if it is not where the step begins."""
    found = await db.call(
        _QUEUE,
        {
            "lane": step.lane,
            "generation": step.generation,
            "start": step.start,
            "end": step.end,
            "now": now_ms,
            "rooms": [row.room for row in rows],
            "nums": [row.num for row in rows],
            "users": [row.user_id for row in rows],
            "apps": [row.app_id for row in rows],
            "keys": [row.pushkey for row in rows],
            "actions": [row.actions for row in rows],
        },
    )
    return bool(found[0][0])


async def claim(db: Database, now_ms: int, lease_ms: int, limit: int) -> list[Push]:
    """Those that are due, for the caller alone until the lease is over."""
    asked = {"now": now_ms, "lease": now_ms + lease_ms, "limit": limit}
    return sorted([Push(*row) for row in await db.call(_CLAIM, asked)], key=lambda push: push.created_ts)


async def done(db: Database, push: Push) -> None:
    """It has been told, or there is nothing to tell."""
    await db.call(_DONE, push.key)


async def drop(db: Database, pusher: tuple[str, str, str]) -> None:
    """The pusher is gone, and with it what it was to be told."""
    await db.call(_DROP, pusher)


async def retry(db: Database, pushes: Sequence[Push], now_ms: int, due_ms: int) -> None:
    """Try these again then, and nothing else of their pusher before."""
    for push in pushes:
        await db.call(_RETRY, (due_ms, *push.key))
    await db.call(_POSTPONE, (due_ms, *pushes[0].pusher, now_ms))

"""The table ``client_api.delayed_event``, and nobody else's. Each statement is one transaction."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, LiteralString

import orjson
from plexus.client_api.delayed_events.models import DelayedEvent, Draft
from plexus.platform.postgres import Database
from plexus.rooms import Txn

_COLUMNS: Final[LiteralString] = (
    "d.delay_id, d.user_id, d.room_id, d.type, d.state_key, d.content, d.delay_ms, d.scheduled_ts, d.tries,"
    " d.finalised_ts, d.event_id, d.error"
)
_FREE: Final[LiteralString] = "d.finalised_ts IS NULL AND d.lease_until <= client_api.now_ms()"


def _sql(text: LiteralString) -> LiteralString:
    """A statement with ``{columns}`` and ``{free}``: not finalised, and nobody is sending it."""
    return text.replace("{columns}", _COLUMNS).replace("{free}", _FREE)


_SCHEDULE = """
SELECT * FROM client_api.schedule_delayed_event(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::integer)
"""

_GET = _sql("""
SELECT {columns} FROM client_api.delayed_event d WHERE d.delay_id = %s AND d.user_id = %s
""")

_SCHEDULED = _sql("""
SELECT {columns} FROM client_api.delayed_event d
 WHERE d.user_id = %s AND d.finalised_ts IS NULL ORDER BY d.send_ts, d.number
""")

_CANCEL = _sql("""
UPDATE client_api.delayed_event d SET finalised_ts = client_api.now_ms()
 WHERE d.delay_id = %s AND d.user_id = %s AND {free} RETURNING 1
""")

_RESTART = _sql("""
UPDATE client_api.delayed_event d SET scheduled_ts = client_api.now_ms()
 WHERE d.delay_id = %s AND d.user_id = %s AND {free} RETURNING 1
""")

_CLAIM = _sql("""
UPDATE client_api.delayed_event d SET lease_until = client_api.now_ms() + %s, tries = tries + 1
 WHERE d.delay_id = %s AND d.user_id = %s AND {free} RETURNING {columns}
""")

_CLAIM_DUE = _sql("""
SELECT {columns} FROM client_api.claim_delayed_events(%s, %s::integer) d ORDER BY d.send_ts, d.number
""")

_FINALISE = """
UPDATE client_api.delayed_event SET finalised_ts = client_api.now_ms(), event_id = %s, error = %s
 WHERE delay_id = %s AND finalised_ts IS NULL RETURNING 1
"""

_RELEASE = """
UPDATE client_api.delayed_event SET lease_until = client_api.now_ms() + %s
 WHERE delay_id = %s AND finalised_ts IS NULL RETURNING 1
"""

_FORGET = """
DELETE FROM client_api.delayed_event WHERE delay_id IN (
    SELECT delay_id FROM (
        SELECT delay_id, finalised_ts,
               row_number() OVER (PARTITION BY user_id ORDER BY finalised_ts DESC) AS newest
          FROM client_api.delayed_event WHERE finalised_ts IS NOT NULL) f
     WHERE finalised_ts < client_api.now_ms() - %s OR newest > %s) RETURNING 1
"""

_USERS = """
SELECT DISTINCT user_id FROM client_api.delayed_event WHERE user_id > %s ORDER BY user_id LIMIT %s
"""

_FORGET_USERS = "DELETE FROM client_api.delayed_event WHERE user_id = ANY (%s::text[]) RETURNING 1"


async def schedule(
    db: Database, delay_id: str, user_id: str, txn: Txn | None, draft: Draft, delay_ms: int, most: int
) -> tuple[str | None, int]:
    """The delay ID; or None and the milliseconds until there is room for one more."""
    scope = ("", "", None) if txn is None else (txn.device_id, txn.endpoint, txn.txn_id)
    content = orjson.dumps(draft.content)
    event = (draft.room_id, draft.type, draft.state_key, content)
    [(result, made, wait_ms)] = await db.call(_SCHEDULE, (delay_id, user_id, *scope, *event, delay_ms, most))
    return (made, 0) if result == "ok" else (None, wait_ms)


async def get(db: Database, user_id: str, delay_id: str) -> DelayedEvent | None:
    """One of the user's."""
    async with db.read(primary=True) as session:
        row = await session.one(_GET, (delay_id, user_id))
    return None if row is None else DelayedEvent(*row)


async def scheduled(db: Database, user_id: str) -> list[DelayedEvent]:
    """Those of the user that wait, the first due first."""
    async with db.read(primary=True) as session:
        return [DelayedEvent(*row) for row in await session.fetch(_SCHEDULED, (user_id,))]


async def cancel(db: Database, user_id: str, delay_id: str) -> bool:
    """False if there is none of the user's that is free."""
    return bool(await db.call(_CANCEL, (delay_id, user_id)))


async def restart(db: Database, user_id: str, delay_id: str) -> bool:
    """False if there is none of the user's that is free."""
    return bool(await db.call(_RESTART, (delay_id, user_id)))


async def claim(db: Database, user_id: str, delay_id: str, lease_ms: int) -> DelayedEvent | None:
    """One of the user's, due or not, to be sent by the caller alone; None if there is none that is free."""
    rows = await db.call(_CLAIM, (lease_ms, delay_id, user_id))
    return DelayedEvent(*rows[0]) if rows else None


async def claim_due(db: Database, lease_ms: int, limit: int) -> list[DelayedEvent]:
    """Those that are due, to be sent by the caller alone, the longest due first. None of a room in which
    somebody is sending one, so that a room gets them in order.
    """
    return [DelayedEvent(*row) for row in await db.call(_CLAIM_DUE, (lease_ms, limit))]


async def finalise(db: Database, delay_id: str, event_id: str | None, error: bytes | None) -> None:
    """It was sent, or could not be."""
    await db.call(_FINALISE, (event_id, error, delay_id))


async def release(db: Database, delay_id: str, pause_ms: int = 0) -> None:
    """Let it be sent later, by anybody, after a pause."""
    await db.call(_RELEASE, (pause_ms, delay_id))


async def forget(db: Database, kept_ms: int, most: int) -> None:
    """Forget those that were finalised longer ago, and a user's oldest beyond the ``most`` newest."""
    await db.call(_FORGET, (kept_ms, most))


async def users(db: Database, after: str, limit: int) -> list[str]:
    """Users of whom there are events, in order."""
    async with db.read(primary=True) as session:
        return [user_id for (user_id,) in await session.fetch(_USERS, (after, limit))]


async def forget_users(db: Database, user_ids: Collection[str]) -> None:
    """Forget all events of these users, sent or not."""
    await db.call(_FORGET_USERS, (list(user_ids),))

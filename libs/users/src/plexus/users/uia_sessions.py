"""What is kept of user-interactive authentication between its stages.

Only sessions that have completed a stage, but not all, are rows: handing out a session ID costs nothing, so
nobody can fill the table by asking.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plexus.users.store import UserStore

LIFE_MS = 30 * 60_000


@dataclass(frozen=True, slots=True)
class UiaSession:
    """``completed`` in the order of completion, ``results`` by stage: JSON."""

    completed: tuple[str, ...] = ()
    results: Mapping[str, Any] = field(default_factory=dict)


class UiaSessionStore(UserStore):
    async def uia_session(self, session_id: str, request: bytes) -> UiaSession:
        """The session for this very request; an empty one if there is none."""
        async with self.read() as session:
            row = await session.one(
                "SELECT completed, results FROM users.uia_session"
                " WHERE id = %s AND request = %s AND expires_ts > %s",
                (session_id, request, self.clock.now_ms()),
            )
        return UiaSession() if row is None else UiaSession(tuple(row[0]), row[1])

    async def complete_uia_stage(
        self, session_id: str, request: bytes, stage: str, result: Any
    ) -> UiaSession:
        """Note that a stage is completed; the session as it is then. A session ID that is in use for another
        request starts anew.
        """
        now = self.clock.now_ms()
        rows = await self.db.call(
            "WITH old AS (DELETE FROM users.uia_session WHERE id IN ("
            "   SELECT id FROM users.uia_session WHERE expires_ts <= %(now)s AND id <> %(id)s"
            "   LIMIT 10 FOR UPDATE SKIP LOCKED))"
            " INSERT INTO users.uia_session AS s (id, request, completed, results, expires_ts)"
            " VALUES (%(id)s, %(request)s, ARRAY[%(stage)s::text], %(results)s::text::jsonb, %(expires)s)"
            " ON CONFLICT (id) DO UPDATE SET request = excluded.request, expires_ts = excluded.expires_ts,"
            "   completed = CASE WHEN s.request <> excluded.request OR s.expires_ts <= %(now)s"
            "     THEN excluded.completed"
            "     WHEN %(stage)s::text = ANY (s.completed) THEN s.completed"
            "     ELSE s.completed || excluded.completed END,"
            "   results = CASE WHEN s.request <> excluded.request OR s.expires_ts <= %(now)s"
            "     THEN excluded.results ELSE s.results || excluded.results END"
            " RETURNING completed, results",
            {
                "id": session_id,
                "request": request,
                "stage": stage,
                "results": json.dumps({stage: result}),
                "expires": now + LIFE_MS,
                "now": now,
            },
        )
        return UiaSession(tuple(rows[0][0]), rows[0][1])

    async def end_uia_session(self, session_id: str) -> None:
        await self.db.call("DELETE FROM users.uia_session WHERE id = %s RETURNING 1", (session_id,))

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

UNBOUND = b""
"""The request of a session that has completed stages on a page, and has not been used by a request yet."""

LIFE_MS = 30 * 60_000


@dataclass(frozen=True, slots=True)
class UiaSession:
    """``completed`` in the order of completion, ``results`` by stage: JSON."""

    completed: tuple[str, ...] = ()
    results: Mapping[str, Any] = field(default_factory=dict)


class UiaSessionStore(UserStore):
    async def uia_session(self, session_id: str, request: bytes) -> UiaSession:
        """The session for this very request; an empty one if there is none. One that was for none yet is for
        this one from now on.
        """
        rows = await self.db.call(
            "UPDATE users.uia_session SET request = %(request)s"
            " WHERE id = %(id)s AND request IN (%(request)s, %(unbound)s) AND expires_ts > %(now)s"
            " RETURNING completed, results",
            {"id": session_id, "request": request, "unbound": UNBOUND, "now": self.clock.now_ms()},
        )
        return UiaSession(tuple(rows[0][0]), rows[0][1]) if rows else UiaSession()

    async def complete_uia_stage(
        self, session_id: str, request: bytes, stage: str, result: Any
    ) -> UiaSession:
        """Note that a stage is completed; the session as it is then. A session ID that is in use for another
        request starts anew; with `UNBOUND` it goes on, whatever it is for.
        """
        now = self.clock.now_ms()
        rows = await self.db.call(
            "WITH old AS (DELETE FROM users.uia_session WHERE id IN ("
            "   SELECT id FROM users.uia_session WHERE expires_ts <= %(now)s AND id <> %(id)s"
            "   LIMIT 10 FOR UPDATE SKIP LOCKED))"
            " INSERT INTO users.uia_session AS s (id, request, completed, results, expires_ts)"
            " VALUES (%(id)s, %(request)s, ARRAY[%(stage)s::text], %(results)s::text::jsonb, %(expires)s)"
            " ON CONFLICT (id) DO UPDATE SET expires_ts = excluded.expires_ts,"
            "   request = CASE WHEN excluded.request = %(unbound)s AND s.expires_ts > %(now)s"
            "     THEN s.request ELSE excluded.request END,"
            "   completed = CASE WHEN s.expires_ts <= %(now)s"
            "     OR (s.request <> excluded.request AND %(unbound)s NOT IN (s.request, excluded.request))"
            "     THEN excluded.completed"
            "     WHEN %(stage)s::text = ANY (s.completed) THEN s.completed"
            "     ELSE s.completed || excluded.completed END,"
            "   results = CASE WHEN s.expires_ts <= %(now)s"
            "     OR (s.request <> excluded.request AND %(unbound)s NOT IN (s.request, excluded.request))"
            "     THEN excluded.results ELSE s.results || excluded.results END"
            " RETURNING completed, results",
            {
                "id": session_id,
                "request": request,
                "unbound": UNBOUND,
                "stage": stage,
                "results": json.dumps({stage: result}),
                "expires": now + LIFE_MS,
                "now": now,
            },
        )
        return UiaSession(tuple(rows[0][0]), rows[0][1])

    async def end_uia_session(self, session_id: str) -> None:
        await self.db.call("DELETE FROM users.uia_session WHERE id = %s RETURNING 1", (session_id,))

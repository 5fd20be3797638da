"""Tokens that live for minutes and say who somebody is: a login token, good for one login, and an OpenID
token, which its owner shows to others. They give no other right.

Client-Server API, ``generateLoginToken`` and "OpenID".
"""

from __future__ import annotations

from plexus.protocol.errors import Forbidden, UserLocked
from plexus.users.models import NewDevice, Session
from plexus.users.sessions import SessionStore
from plexus.users.tokens import TokenKind, hash_token, lane_of_token, make_token

LOGIN_LIFE_MS = 120_000
OPENID_LIFE_MS = 3_600_000


class ShortTokenStore(SessionStore):
    async def make_login_token(self, user_id: str) -> str:
        """Good for `LOGIN_LIFE_MS` and one login."""
        return await self._make(user_id, "pll", LOGIN_LIFE_MS)

    async def login_token(self, token: str, device: NewDevice) -> Session:
        """Log in with one, which is used up by that whatever comes of it. `Forbidden` unless it is good,
        `UserLocked`; and the errors of `open_session`.
        """
        lane = self._lane_of("pll", token)
        rows = (
            []
            if lane is None
            else await self.db.call(
                "DELETE FROM users.short_token WHERE lane = %s::smallint AND token = %s AND kind = 'login'"
                " RETURNING user_id, expires_ts",
                (lane, hash_token(token)),
            )
        )
        if not rows or rows[0][1] <= self.clock.now_ms():
            raise Forbidden("The login token is not valid")
        user_id: str = rows[0][0]
        account = await self.account(user_id)
        if account is not None and account.locked:
            raise UserLocked
        return await self.open_session(user_id, device)

    async def make_openid_token(self, user_id: str) -> str:
        """Good for `OPENID_LIFE_MS`, however often it is shown."""
        return await self._make(user_id, "plo", OPENID_LIFE_MS)

    async def user_of_openid_token(self, token: str) -> str | None:
        """Who made it; None if it is not good, or the account is closed or locked."""
        lane = self._lane_of("plo", token)
        if lane is None:
            return None
        async with self.read() as session:
            row = await session.one(
                "SELECT t.user_id FROM users.short_token t"
                " JOIN users.account a ON a.lane = t.lane AND a.user_id = t.user_id"
                "  AND a.deactivated_ts IS NULL AND NOT a.locked"
                " WHERE t.lane = %s::smallint AND t.token = %s AND t.kind = 'openid' AND t.expires_ts > %s",
                (lane, hash_token(token), self.clock.now_ms()),
            )
        return None if row is None else str(row[0])

    async def _make(self, user_id: str, kind: TokenKind, life_ms: int) -> str:
        lane = self.lane(user_id)
        token = make_token(kind, lane)
        now = self.clock.now_ms()
        await self.db.call(
            "WITH old AS (DELETE FROM users.short_token WHERE lane = %(lane)s::smallint AND token IN ("
            "   SELECT token FROM users.short_token WHERE lane = %(lane)s::smallint AND expires_ts <= %(now)s"
            "   LIMIT 10 FOR UPDATE SKIP LOCKED))"
            " INSERT INTO users.short_token (lane, token, kind, user_id, expires_ts)"
            " VALUES (%(lane)s::smallint, %(token)s, %(kind)s, %(user)s, %(expires)s) RETURNING 1",
            {
                "lane": lane,
                "now": now,
                "token": hash_token(token),
                "kind": "login" if kind == "pll" else "openid",
                "user": user_id,
                "expires": now + life_ms,
            },
        )
        return token

    def _lane_of(self, kind: TokenKind, token: str) -> int | None:
        lane = lane_of_token(kind, token)
        return None if lane is None or lane >= self.platform.lanes.users else lane

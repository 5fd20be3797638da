"""Registration tokens: who has one may make an account.

Client-Server API, "Token-authenticated registration".
"""

from __future__ import annotations

from plexus.users.store import UserStore


class RegistrationTokenStore(UserStore):
    async def make_registration_token(
        self, token: str, *, uses_allowed: int | None = None, expires_ts: int | None = None
    ) -> bool:
        """False if there is one of that name."""
        rows = await self.db.call(
            "INSERT INTO users.registration_token (token, uses_allowed, expires_ts)"
            " VALUES (%s, %s::integer, %s) ON CONFLICT DO NOTHING RETURNING 1",
            (token, uses_allowed, expires_ts),
        )
        return bool(rows)

    async def registration_token_is_valid(self, token: str) -> bool:
        """Whether an account can be made with it now. The use itself is counted with the account."""
        async with self.read() as session:
            row = await session.one(
                "SELECT 1 FROM users.registration_token WHERE token = %s"
                " AND (uses_allowed IS NULL OR uses < uses_allowed)"
                " AND (expires_ts IS NULL OR expires_ts > %s)",
                (token, self.clock.now_ms()),
            )
        return row is not None

"""Addresses of accounts, and how it is found out that somebody reads what is sent to an email address.

1. `begin_email_validation` makes a token, or none if this attempt has been made. Who called sends it.
2. Whoever has it says so: `validate_email`.
3. Who knows the client secret may use the result until it expires: `validated_email`.

An identity server may have found it out instead: then the account's address names the server, and is not good
for a new password. What was bound on one to a user is remembered, to be unbound later.

Client-Server API, "Adding Account Administrative Contact Information".
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Literal

from plexus.users.store import UserStore
from plexus.users.tokens import hash_token

EMAIL_LIFE_MS = 24 * 3_600_000
"""How long a token and what it has validated are good."""

Purpose = Literal["register", "password", "add"]


@dataclass(frozen=True, slots=True)
class Threepid:
    medium: str
    address: str
    validated_ts: int
    added_ts: int
    id_server: str | None = None
    """Who has validated it; None: this server."""


@dataclass(frozen=True, slots=True)
class Binding:
    """An address that an identity server tells others to be this user's."""

    medium: str
    address: str
    id_server: str


@dataclass(frozen=True, slots=True)
class EmailValidation:
    """``token`` is None if the email of this attempt has been sent."""

    sid: str
    token: str | None = field(default=None, repr=False)


class ThreepidStore(UserStore):
    async def threepids(self, user_id: str) -> list[Threepid]:
        async with self.read() as session:
            rows = await session.fetch(
                "SELECT medium, address, validated_ts, added_ts, id_server FROM users.threepid"
                " WHERE user_id = %s ORDER BY medium, address",
                (user_id,),
            )
        return [Threepid(*row) for row in rows]

    async def user_of_email(self, email: str, *, validated_here: bool = False) -> str | None:
        """Whose address it is; ``email`` in small letters. With ``validated_here`` those do not count that
        another server has validated.
        """
        async with self.read() as session:
            row = await session.one(
                "SELECT user_id FROM users.threepid WHERE medium = 'email' AND address = %s"
                " AND (id_server IS NULL OR NOT %s)",
                (email, validated_here),
            )
        return None if row is None else str(row[0])

    async def add_email(
        self, user_id: str, email: str, validated_ts: int, *, id_server: str | None = None
    ) -> bool:
        """False if it is somebody else's. ``id_server`` is who has validated it, None for this server, whose
        word goes before.
        """
        rows = await self.db.call(
            "INSERT INTO users.threepid AS t (medium, address, user_id, validated_ts, added_ts, id_server)"
            " VALUES ('email', %s, %s, %s, %s, %s)"
            " ON CONFLICT (medium, address) DO UPDATE SET validated_ts = excluded.validated_ts,"
            "  id_server = CASE WHEN excluded.id_server IS NULL THEN NULL ELSE t.id_server END"
            " WHERE t.user_id = excluded.user_id RETURNING 1",
            (email, user_id, validated_ts, self.clock.now_ms(), id_server),
        )
        return bool(rows)

    async def bindings(self, user_id: str) -> list[Binding]:
        """What is bound to the user through this server and has not been unbound."""
        async with self.read() as session:
            rows = await session.fetch(
                "SELECT medium, address, id_server FROM users.threepid_binding"
                " WHERE lane = %s::smallint AND user_id = %s ORDER BY medium, address, id_server",
                (self.lane(user_id), user_id),
            )
        return [Binding(*row) for row in rows]

    async def add_binding(self, user_id: str, binding: Binding) -> None:
        await self.db.call(
            "INSERT INTO users.threepid_binding (lane, user_id, medium, address, id_server, bound_ts)"
            " VALUES (%s::smallint, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1",
            (
                self.lane(user_id),
                user_id,
                binding.medium,
                binding.address,
                binding.id_server,
                self.clock.now_ms(),
            ),
        )

    async def delete_binding(self, user_id: str, binding: Binding) -> bool:
        """False if there is none such."""
        rows = await self.db.call(
            "DELETE FROM users.threepid_binding WHERE lane = %s::smallint AND user_id = %s"
            " AND medium = %s AND address = %s AND id_server = %s RETURNING 1",
            (self.lane(user_id), user_id, binding.medium, binding.address, binding.id_server),
        )
        return bool(rows)

    async def delete_threepid(self, user_id: str, medium: str, address: str) -> bool:
        """False if the user has none such."""
        rows = await self.db.call(
            "DELETE FROM users.threepid WHERE user_id = %s AND medium = %s AND address = %s RETURNING 1",
            (user_id, medium, address),
        )
        return bool(rows)

    async def begin_email_validation(
        self, purpose: Purpose, email: str, client_secret: str, attempt: int, next_link: str | None
    ) -> EmailValidation:
        """The validation for this address and secret, with a new token if this attempt is later than the
        last. A new token is the only one that is good.
        """
        token = secrets.token_urlsafe(24)
        now = self.clock.now_ms()
        rows = await self.db.call(
            "WITH old AS (DELETE FROM users.email_validation WHERE id IN ("
            "   SELECT id FROM users.email_validation WHERE expires_ts <= %(now)s"
            "    AND (purpose, email, client_secret) <> (%(purpose)s, %(email)s, %(secret)s)"
            "   LIMIT 10 FOR UPDATE SKIP LOCKED)),"
            " begun AS (INSERT INTO users.email_validation AS v"
            "   (id, purpose, email, client_secret, token, attempt, next_link, expires_ts)"
            "   VALUES (%(id)s, %(purpose)s, %(email)s, %(secret)s, %(token)s, %(attempt)s, %(next)s,"
            "    %(expires)s)"
            "   ON CONFLICT (purpose, email, client_secret) DO UPDATE SET"
            "    id = CASE WHEN v.expires_ts <= %(now)s THEN excluded.id ELSE v.id END,"
            "    validated_ts = CASE WHEN v.expires_ts <= %(now)s THEN NULL ELSE v.validated_ts END,"
            "    token = excluded.token, attempt = excluded.attempt, next_link = excluded.next_link,"
            "    expires_ts = excluded.expires_ts"
            "   WHERE v.attempt < excluded.attempt OR v.expires_ts <= %(now)s RETURNING v.id)"
            " SELECT id, true FROM begun UNION ALL"
            " SELECT id, false FROM users.email_validation"
            "  WHERE (purpose, email, client_secret) = (%(purpose)s, %(email)s, %(secret)s)"
            "   AND NOT EXISTS (SELECT FROM begun)",
            {
                "id": secrets.token_urlsafe(18),
                "purpose": purpose,
                "email": email,
                "secret": client_secret,
                "token": hash_token(token),
                "attempt": attempt,
                "next": next_link,
                "expires": now + EMAIL_LIFE_MS,
                "now": now,
            },
        )
        sid, is_new = rows[0]
        return EmailValidation(sid, token if is_new else None)

    async def validate_email(self, sid: str, token: str) -> tuple[str | None] | None:
        """Somebody has the token: the address is theirs. A tuple of where to send them next; None if the
        token is not good.
        """
        now = self.clock.now_ms()
        rows = await self.db.call(
            "UPDATE users.email_validation SET validated_ts = coalesce(validated_ts, %s)"
            " WHERE id = %s AND token = %s AND expires_ts > %s RETURNING next_link",
            (now, sid, hash_token(token), now),
        )
        return (rows[0][0],) if rows else None

    async def validated_email(self, purpose: Purpose, sid: str, client_secret: str) -> tuple[str, int] | None:
        """The address and when it was validated; None if it is not, or was for another purpose."""
        async with self.read() as session:
            row = await session.one(
                "SELECT email, validated_ts FROM users.email_validation WHERE id = %s AND purpose = %s"
                " AND client_secret = %s AND validated_ts IS NOT NULL AND expires_ts > %s",
                (sid, purpose, client_secret, self.clock.now_ms()),
            )
        return None if row is None else (str(row[0]), int(row[1]))

    async def end_email_validation(self, sid: str) -> bool:
        """It is used, or its email could not be sent. False if somebody else has ended it."""
        return bool(
            await self.db.call("DELETE FROM users.email_validation WHERE id = %s RETURNING 1", (sid,))
        )

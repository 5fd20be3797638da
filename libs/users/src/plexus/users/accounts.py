"""Accounts: made, looked up, closed."""

from __future__ import annotations

import secrets
from asyncio import Lock
from collections.abc import Sequence
from weakref import WeakValueDictionary

from plexus.platform.context import Platform
from plexus.platform.lanes import UserFact
from plexus.protocol.errors import (
    Forbidden,
    InvalidParam,
    InvalidUsername,
    UserDeactivated,
    UserInUse,
    UserLocked,
)
from plexus.protocol.identifiers import is_user_id, make_user_id
from plexus.users.devices import facts_of_deletion
from plexus.users.models import Account, NewDevice, Session
from plexus.users.new_session import NewSession
from plexus.users.passwords import MAX_PASSWORD_BYTES, check_password_policy
from plexus.users.store import UserStore

_BAD_LOGIN = "Wrong user name or password"


class AccountStore(UserStore):
    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        self._logins: WeakValueDictionary[str, Lock] = WeakValueDictionary()

    def user_id_for(self, localpart: str) -> str:
        """The user ID a new account would have; `InvalidUsername`."""
        try:
            return make_user_id(localpart, self.settings.server_name)
        except InvalidParam as error:
            raise InvalidUsername(error.message) from None

    async def check_available(self, localpart: str) -> str:
        """The user ID it would have; `UserInUse` or `InvalidUsername`."""
        user_id = self.user_id_for(localpart)
        if await self.account(user_id) is not None:
            raise UserInUse
        return user_id

    async def account(self, user_id: str) -> Account | None:
        async with self.read() as session:
            row = await session.one(
                "SELECT password_hash, created_ts, guest, admin, deactivated_ts IS NOT NULL,"
                " locked, suspended FROM users.account WHERE lane = %s::smallint AND user_id = %s",
                (self.lane(user_id), user_id),
            )
        if row is None:
            return None
        return Account(
            user_id,
            row[0],
            row[1],
            is_guest=row[2],
            is_admin=row[3],
            deactivated=row[4],
            locked=row[5],
            suspended=row[6],
        )

    async def guests(self, *, after: str = "", limit: int) -> list[str]:
        """The first guests after one, in the order of their IDs; the accounts that are open."""
        async with self.read() as session:
            rows = await session.fetch(
                "SELECT user_id FROM users.account WHERE guest AND deactivated_ts IS NULL"
                ' AND user_id COLLATE "C" > %s ORDER BY user_id COLLATE "C" LIMIT %s',
                (after, limit),
            )
        return [user_id for (user_id,) in rows]

    async def guests_among(self, user_ids: Sequence[str]) -> list[str]:
        """Those of these users who are guests here."""
        local = [user_id for user_id in user_ids if self.is_local(user_id)]
        async with self.read() as session:
            rows = await session.fetch(
                "SELECT a.user_id FROM unnest(%s::smallint[], %s::text[]) AS w (lane, user_id)"
                " JOIN users.account a ON a.lane = w.lane AND a.user_id = w.user_id AND a.guest",
                ([self.lane(user_id) for user_id in local], local),
            )
        return [user_id for (user_id,) in rows]

    async def register(
        self,
        localpart: str | None,
        password: str | None,
        *,
        guest: bool = False,
        admin: bool = False,
        device: NewDevice | None = None,
        registration_token: str | None = None,
    ) -> tuple[str, Session | None]:
        """A new account and, if a device is given, its first session.

        Without ``localpart`` one is made up; without ``password`` none can log in. `UserInUse`,
        `InvalidUsername`, `WeakPassword`, `Forbidden` when the registration token is used up.
        """
        if password is not None:
            check_password_policy(self.settings.passwords, password)
        user_id = self.user_id_for(secrets.token_hex(8) if localpart is None else localpart)
        # Hashing is the costly part: look first, race later.
        if localpart is not None and await self.account(user_id) is not None:
            raise UserInUse
        password_hash = None if password is None else await self.hasher.hash(password)
        lane = self.lane(user_id)
        new = None if device is None else NewSession.make(lane, device, self.settings.sessions, self.clock)
        [(result,)] = await self.db.call(
            "SELECT users.register(%s::smallint, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                lane,
                user_id,
                password_hash,
                guest,
                admin,
                self.clock.now_ms(),
                registration_token,
                *(new.columns() if new is not None else (None,) * 5),
            ),
        )
        if result == "in_use":
            raise UserInUse
        if result == "bad_token":
            raise Forbidden("The registration token is not valid")
        return user_id, None if new is None else new.session(user_id)

    async def upgrade_guest(
        self,
        user_id: str,
        password: str,
        *,
        device: NewDevice | None = None,
        registration_token: str | None = None,
    ) -> Session | None:
        """Make a guest an ordinary user, and open a session if a device is given. The guest's own goes on, as
        the user's, unless it is of that device. `WeakPassword`; `Forbidden` if there is no such guest any
        more, or when the registration token is used up.
        """
        check_password_policy(self.settings.passwords, password)
        password_hash = await self.hasher.hash(password)
        lane = self.lane(user_id)
        new = None if device is None else NewSession.make(lane, device, self.settings.sessions, self.clock)
        [(result, position)] = await self.db.call(
            "SELECT * FROM users.upgrade_guest(%s::smallint, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                lane,
                user_id,
                password_hash,
                self.clock.now_ms(),
                registration_token,
                *(new.columns() if new is not None else (None,) * 5),
                self.settings.sessions.max_devices,
            ),
        )
        if result == "gone":
            raise Forbidden("There is no such guest")
        if result == "bad_token":
            raise Forbidden("The registration token is not valid")
        await self.tell(user_id, lane, position, [(UserFact.REVOKED, b"")])
        return None if new is None else new.session(user_id)

    async def check_password(self, user: str, password: str, *, address: str | None = None) -> Account:
        """Who ``user`` (user ID or localpart) is, if the password is right.

        `Forbidden` for a wrong one and for unknown users alike, `UserDeactivated`, `UserLocked` for the right
        one of a locked account, `LimitExceeded` when the address tries too often or the
        account has failed too often.
        """
        limits = self.platform.limits
        if address is not None:
            await limits.check("login_address", address)
        user_id = user if user.startswith("@") else f"@{user}:{self.settings.server_name}"
        # One at a time an account: failures count before the next guess is tried.
        async with self._logins.setdefault(user_id, Lock()):
            await limits.check("login_account", user_id, 0)
            known = is_user_id(user_id) and self.is_local(user_id)
            account = await self.account(user_id) if known else None
            too_long = len(password.encode("utf-8", "replace")) > MAX_PASSWORD_BYTES
            password_hash = None if account is None or too_long else account.password_hash
            if not await self.hasher.verify(password_hash, "" if too_long else password):
                if account is not None and account.deactivated:
                    raise UserDeactivated
                await limits.pay("login_account", user_id)
                raise Forbidden(_BAD_LOGIN)
        assert account is not None and password_hash is not None
        if self.hasher.is_outdated(password_hash):
            await self._rehash(account, password)
        if account.locked:
            raise UserLocked
        return account

    async def change_password(
        self,
        user_id: str,
        password: str,
        *,
        keep_device: str | None = None,
        logout_devices: bool = True,
    ) -> bool:
        """Set it, and delete the devices but ``keep_device`` if asked. False if there is no such account."""
        check_password_policy(self.settings.passwords, password)
        password_hash = await self.hasher.hash(password)
        lane = self.lane(user_id)
        [(result, deleted, had_keys, position)] = await self.db.call(
            "SELECT * FROM users.change_password(%s::smallint, %s, %s, %s, %s)",
            (lane, user_id, password_hash, logout_devices, keep_device),
        )
        if position is not None:
            await self.tell(user_id, lane, position, facts_of_deletion(deleted, had_keys))
        return bool(result == "ok")

    async def deactivate(self, user_id: str, *, erase: bool = False) -> bool:
        """Close the account for good; its user ID stays taken. False if there is none that is open.

        Leaves a room task "leave" for who sees to it that the user leaves their rooms.
        """
        lane = self.lane(user_id)
        [(result, deleted, had_keys, position, last)] = await self.db.call(
            "SELECT * FROM users.deactivate(%s::smallint, %s, %s, %s)",
            (lane, user_id, erase, self.clock.now_ms()),
        )
        if result != "ok":
            return False
        if position is not None:
            await self.tell(user_id, lane, position, facts_of_deletion(deleted, had_keys))
        await self.tell(user_id, lane, last, [(UserFact.REVOKED, b""), (UserFact.DEACTIVATED, b"")])
        return True

    async def moderate(
        self, user_id: str, *, locked: bool | None = None, suspended: bool | None = None
    ) -> bool:
        """Lock or suspend an account, or end it; None leaves it as it is. False if no open one is there.

        Nothing is revoked for good: every process forgets what it knows of the user's tokens and asks again.
        """
        lane = self.lane(user_id)
        [(result, position)] = await self.db.call(
            "SELECT * FROM users.moderate(%s::smallint, %s, %s::boolean, %s::boolean)",
            (lane, user_id, locked, suspended),
        )
        if position is not None:
            await self.tell(user_id, lane, position, [(UserFact.REVOKED, b"")])
        return bool(result == "ok")

    async def _rehash(self, account: Account, password: str) -> None:
        fresh = await self.hasher.hash(password)
        await self.db.call(
            "UPDATE users.account SET password_hash = %s"
            " WHERE lane = %s::smallint AND user_id = %s AND password_hash = %s RETURNING 1",
            (fresh, self.lane(account.user_id), account.user_id, account.password_hash),
        )

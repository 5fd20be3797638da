"""Sessions: logging in, refreshing, and whose token this is.

Client-Server API, "Refreshing access tokens", "Soft logout".
"""

from __future__ import annotations

from plexus.platform.http import Requester
from plexus.platform.lanes import UserFact
from plexus.platform.lanes.shared_read import SharedRead
from plexus.protocol.errors import Forbidden, UnknownToken, UserDeactivated, UserLocked
from plexus.users.accounts import AccountStore
from plexus.users.last_seen import LastSeen
from plexus.users.models import NewDevice, Session
from plexus.users.new_session import NewSession
from plexus.users.token_cache import Entry
from plexus.users.tokens import hash_token, lane_of_token, make_token

_DAY_MS = 86_400_000


class SessionStore(AccountStore):
    last_seen: LastSeen
    confirmation: SharedRead[None]
    """It lets the token cache know that all revocations have been seen, if they have."""

    async def login_password(
        self, user: str, password: str, device: NewDevice, *, address: str | None = None
    ) -> Session:
        """`check_password`, then `open_session`; with their errors."""
        account = await self.check_password(user, password, address=address)
        return await self.open_session(account.user_id, device)

    async def open_session(self, user_id: str, device: NewDevice) -> Session:
        """Log the user in, without asking why. A device known by its ID keeps its name and keys and loses its
        tokens. `UserDeactivated`; `Forbidden` for unknown users and when there are too many devices.
        """
        lane = self.lane(user_id)
        new = NewSession.make(lane, device, self.settings.sessions, self.clock)
        [(result, position)] = await self.db.call(
            "SELECT * FROM users.open_session(%s::smallint, %s, %s, %s, %s, %s, %s, %s, %s)",
            (lane, user_id, *new.columns(), self.clock.now_ms(), self.settings.sessions.max_devices),
        )
        if result == "deactivated":
            raise UserDeactivated
        if result == "too_many":
            raise Forbidden("There are too many devices: log out from one first")
        if result != "ok":
            raise Forbidden("There is no such user")
        if position is not None:
            await self.tell(user_id, lane, position, [(UserFact.REVOKED, new.device_id.encode())])
        return new.session(user_id)

    async def refresh(self, refresh_token: str) -> Session:
        """A new pair of tokens. The old refresh token works until the new pair is first used; `UnknownToken`,
        with ``soft_logout`` if it is only too old; `UserLocked`, and then the old pair stays.
        """
        lane = lane_of_token("plr", refresh_token)
        if lane is None:
            raise UnknownToken
        settings = self.settings.sessions
        now = self.clock.now_ms()
        life = settings.access_token_minutes * 60_000
        access, fresh = make_token("plx", lane), make_token("plr", lane)
        [(result, user_id, device_id, position, locked)] = await self.db.call(
            "SELECT r.*, a.locked FROM users.refresh(%s::smallint, %s, %s, %s, %s, %s, %s) r"
            " LEFT JOIN users.account a ON a.lane = %s::smallint AND a.user_id = r.user_id",
            (
                lane,
                hash_token(refresh_token),
                hash_token(access),
                now + life,
                hash_token(fresh),
                now,
                now - settings.refresh_token_days * _DAY_MS,
                lane,
            ),
        )
        if result != "ok":
            raise UnknownToken(soft_logout=result == "expired")
        if position is not None:
            await self.tell(user_id, lane, position, [(UserFact.REVOKED, device_id.encode())])
        if locked:
            # The client never sees the new pair, so the refresh token that it has works once it is unlocked.
            raise UserLocked
        return Session(user_id, device_id, access, fresh, life)

    async def authenticate(
        self, token: str, address: str | None = None, *, even_locked: bool = False
    ) -> Requester:
        """Whose access token this is; `UnknownToken`, with ``soft_logout`` when it has expired; `UserLocked`
        unless ``even_locked``, which is for logging out.

        A look-up in a dict when the token was used here lately. ``address``: where the client is, for the
        device's last use.
        """
        token_hash = hash_token(token)
        entry = self.tokens.get(token_hash)
        if entry is None and token_hash in self.tokens:
            await self.confirmation.get()
            entry = self.tokens.get(token_hash)
        if entry is None:
            self.tokens.forget(token_hash)
            entry = await self._read_token(token, token_hash)
        now = self.clock.now_ms()
        if entry.expires_ts is not None and now >= entry.expires_ts:
            raise UnknownToken("The access token has expired", soft_logout=True)
        if entry.locked and not even_locked:
            raise UserLocked
        if now >= entry.seen_due:
            entry.seen_due = self.last_seen.note(entry.requester, now, address)
        return entry.requester

    async def _read_token(self, token: str, token_hash: bytes) -> Entry:
        lane = lane_of_token("plx", token)
        if lane is None or lane >= self.platform.lanes.users:
            raise UnknownToken
        revocations = self.tokens.revocations
        began = self.clock.monotonic()
        rows = await self.db.call(
            "SELECT t.user_id, t.device_id, t.expires_ts, t.parent IS NOT NULL, a.guest, d.last_seen_ts,"
            " a.locked, a.suspended"
            " FROM users.token t"
            " JOIN users.account a ON a.lane = t.lane AND a.user_id = t.user_id AND a.deactivated_ts IS NULL"
            " JOIN users.device d ON d.lane = t.lane AND d.user_id = t.user_id AND d.device_id = t.device_id"
            " WHERE t.lane = %s::smallint AND t.access = %s",
            (lane, token_hash),
        )
        if not rows:
            raise UnknownToken
        user_id, device_id, expires_ts, unconfirmed, guest, last_seen, locked, suspended = rows[0]
        if unconfirmed and (expires_ts is None or self.clock.now_ms() < expires_ts):
            # The first use of a refreshed token: what it replaced stops working now.
            [(position,)] = await self.db.call(
                "SELECT users.confirm_token(%s::smallint, %s)", (lane, token_hash)
            )
            if position is not None:
                await self.tell(user_id, lane, position, [(UserFact.REVOKED, device_id.encode())])
        entry = Entry(
            Requester(user_id, device_id, token_hash, guest, lane, suspended),
            expires_ts,
            began,
            0 if last_seen is None else self.last_seen.due_after(last_seen),
            locked,
        )
        self.tokens.put(token_hash, entry, revocations)
        return entry

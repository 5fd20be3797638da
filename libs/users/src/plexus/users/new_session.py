"""A session about to be stored: the tokens in clear for the client, their hashes for the database."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Self

from plexus.platform.clock import Clock
from plexus.platform.settings import SessionSettings
from plexus.users.models import NewDevice, Session
from plexus.users.tokens import hash_token, make_token


@dataclass(frozen=True, slots=True)
class NewSession:
    device_id: str
    display_name: str | None
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_ts: int | None
    expires_in_ms: int | None

    @classmethod
    def make(cls, lane: int, device: NewDevice, settings: SessionSettings, clock: Clock) -> Self:
        """Who can refresh gets a token that expires; who cannot gets one that does not."""
        life = settings.access_token_minutes * 60_000 if device.refreshable else None
        return cls(
            device_id=device.device_id or make_device_id(),
            display_name=device.display_name,
            access_token=make_token("plx", lane),
            refresh_token=make_token("plr", lane) if device.refreshable else None,
            expires_ts=None if life is None else clock.now_ms() + life,
            expires_in_ms=life,
        )

    def columns(self) -> tuple[str, str | None, bytes, int | None, bytes | None]:
        """Device, its name, access token, expiry, refresh token: in the order of the server's functions."""
        return (
            self.device_id,
            self.display_name,
            hash_token(self.access_token),
            self.expires_ts,
            None if self.refresh_token is None else hash_token(self.refresh_token),
        )

    def session(self, user_id: str) -> Session:
        return Session(user_id, self.device_id, self.access_token, self.refresh_token, self.expires_in_ms)


def make_device_id() -> str:
    """Ten capital letters: people compare them when they verify a device."""
    return "".join(secrets.choice(ascii_uppercase) for _ in range(10))

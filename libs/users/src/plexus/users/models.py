"""The values that the users library gives and takes.

Times are milliseconds since the epoch. JSON that only passes through stays bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Account:
    """One local account. ``password_hash`` is None when no password can log in."""

    user_id: str
    password_hash: str | None
    created_ts: int
    is_guest: bool
    is_admin: bool
    deactivated: bool
    locked: bool = False
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class NewDevice:
    """What a login asks for. Without ``device_id`` one is made up; a known one keeps its name and keys."""

    device_id: str | None = None
    display_name: str | None = None
    refreshable: bool = False
    """Whether the client said that it can refresh its access token (``refresh_token: true``)."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a login, registration or refresh gives. The only place where tokens are seen in clear."""

    user_id: str
    device_id: str
    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_in_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Device:
    user_id: str
    device_id: str
    display_name: str | None
    last_seen_ts: int | None
    last_seen_ip: str | None


@dataclass(frozen=True, slots=True)
class AccountData:
    """One piece of account data as it stands now. ``room_id`` is "" for global data, ``content`` its JSON."""

    room_id: str
    type: str
    content: bytes
    position: int
    """Of the change that wrote it, in the user's lane; 0 for what was never written (default push rules)."""


@dataclass(frozen=True, slots=True)
class KeyCounts:
    """Client-Server API, "Extensions to /sync" of end-to-end encryption."""

    one_time: dict[str, int]
    unused_fallback_types: list[str]


@dataclass(frozen=True, slots=True)
class UserChanges:
    """What changed for one user within (after, upto] of the user's lane, for an incremental sync.

    ``account_data`` has the rows whose last change lies in the range; a row written again later shows up when
    its new position is within the range. Push rules are among them, as global ``m.push_rules``.
    """

    account_data: list[AccountData]


@dataclass(frozen=True, slots=True)
class ThreadSubscription:
    """A thread that a user follows, or does not follow any more, since the change at ``position`` in the
    user's lane. ``event_id`` is its root.
    """

    room_id: str
    event_id: str
    subscribed: bool
    automatic: bool
    position: int


@dataclass(frozen=True, slots=True)
class OneTimeKey:
    """A one-time or fallback key: ``key_id`` is the part after the colon, ``json`` its canonical JSON."""

    algorithm: str
    key_id: str
    json: bytes


@dataclass(frozen=True, slots=True)
class ToDeviceMessage:
    """A message in a device's inbox. A sync token that names ``sequence`` permits deletion up to it."""

    sequence: int
    event: bytes
    """The JSON object as a client gets it: ``sender``, ``type``, ``content``."""


@dataclass(frozen=True, slots=True)
class RoomTask:
    """Work owed to every room of a user: "profile" to bring memberships up to date, "leave" to leave them."""

    user_id: str
    kind: str
    version: int


Profile = dict[str, Any]
"""Field name to its JSON value; ``displayname`` and ``avatar_url`` among them."""

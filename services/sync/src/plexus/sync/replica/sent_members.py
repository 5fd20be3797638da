"""Which member events a lazy-loading device has been sent, so that they need not be sent again.

What went out with a response counts only once the device comes back with that response's token: a response
may be lost. A device that comes with a token from elsewhere starts anew, and so does an initial sync.

Client-Server API, "Lazy-loading room members".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable

_MOST_ROOMS = 500
_MOST_USERS = 2_000
"""Rooms for a device, and users for a room. Forgetting only makes a member event go out twice."""
_ROOM_BYTES, _USER_BYTES = 400, 100


class SentMembers:
    __slots__ = ("_count", "_pending", "_pending_count", "_pending_token", "_rooms", "_token")

    def __init__(self) -> None:
        self._token: str | None = None
        self._rooms: OrderedDict[str, set[str]] = OrderedDict()
        self._count = 0
        self._pending_token: str | None = None
        self._pending: list[tuple[str, frozenset[str]]] = []
        self._pending_count = 0

    def begin(self, since: str | None) -> None:
        """A request with this token (None: an initial sync) has come."""
        if since is not None and since == self._pending_token:
            for room_id, users in self._pending:
                self._add(room_id, users)
        elif since is None or since != self._token:
            self._rooms.clear()
            self._count = 0
        self._token = since
        self._pending_token = None
        self._pending = []
        self._pending_count = 0

    @property
    def size(self) -> int:
        """What it costs in memory, in bytes, roughly."""
        return 500 + _ROOM_BYTES * len(self._rooms) + _USER_BYTES * (self._count + self._pending_count)

    def unknown(self, room_id: str, users: Iterable[str]) -> frozenset[str]:
        """Those of these users whose member event the device does not have."""
        known: Collection[str] = self._rooms.get(room_id, ())
        return frozenset(user for user in users if user not in known)

    def forget(self, room_id: str) -> None:
        """The room is told anew: what the device has of its members may be older than what it missed."""
        self._count -= len(self._rooms.pop(room_id, ()))

    def answered(self, token: str, sent: list[tuple[str, frozenset[str]]]) -> None:
        """The answer with this token has these users' member events, by room."""
        self._pending_token = token
        self._pending = sent
        self._pending_count = sum(len(users) for _, users in sent)

    def _add(self, room_id: str, users: frozenset[str]) -> None:
        known = self._rooms.setdefault(room_id, set())
        self._count -= len(known)
        if len(known) + len(users) > _MOST_USERS:
            known.clear()
        known |= users
        self._count += len(known)
        self._rooms.move_to_end(room_id)
        while len(self._rooms) > _MOST_ROOMS:
            self._count -= len(self._rooms.popitem(last=False)[1])

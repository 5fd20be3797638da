"""Access tokens that this process has looked up.

A hit must be as good as a look-up: a token that is revoked anywhere stops working here within a second. So an
entry counts as long as it was either read, or confirmed by the follower, less than `STALE_AFTER` ago. The
follower confirms by having delivered everything up to heads that were read at that moment (`confirm`); what
it delivers (`see`) takes revoked tokens away. It does so once a second, and when somebody asks who finds that
too long ago: one read of the heads for all entries. While the follower is behind, each entry is good for one
second and then read again.

A request that is held asks once and then waits. So whoever holds requests watches (`watch`): the entries are
confirmed as long as something is held, and each revocation is told, once its entries are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from plexus.platform.clock import Clock
from plexus.platform.http import Requester
from plexus.platform.lanes import Fact, UserFact

STALE_AFTER = 0.9
"""Seconds. A tenth is left for the request itself."""

_REVOKING = (UserFact.REVOKED, UserFact.DEACTIVATED)


@dataclass(slots=True)
class Entry:
    requester: Requester
    expires_ts: int | None
    read_at: float
    """Monotonic seconds, taken before the read."""
    seen_due: int
    """When the device's last use is to be noted again, in milliseconds since the epoch."""
    locked: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """``revoked(user_id, device_id)`` is called for each revocation, with "" for all devices, when the cache
    has forgotten the tokens; it must not raise. ``holding`` says whether anything is held.
    """

    revoked: Callable[[str, str], None]
    holding: Callable[[], bool]


class TokenCache:
    """By the SHA-256 of the token, so that memory holds no more than the database does."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._entries: dict[bytes, Entry] = {}
        self._of_user: dict[str, set[bytes]] = {}
        self._confirmed_at = float("-inf")
        self._watches: list[Watch] = []
        self.revocations = 0
        """Goes up with each revocation seen: a look-up that one overtook must not be kept."""
        self._asked = False

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, token_hash: bytes) -> bool:
        """Whether there is an entry, good or in need of a confirmation."""
        return token_hash in self._entries

    def get(self, token_hash: bytes) -> Entry | None:
        """The entry, if it is good."""
        self._asked = True
        entry = self._entries.get(token_hash)
        if entry is None:
            return None
        now = self._clock.monotonic()
        good = now - self._confirmed_at < STALE_AFTER or now - entry.read_at < STALE_AFTER
        return entry if good else None

    def forget(self, token_hash: bytes) -> None:
        """Let an entry go that is to be read again."""
        if token_hash in self._entries:
            self._drop(token_hash)

    def put(self, token_hash: bytes, entry: Entry, revocations: int) -> None:
        """Keep what was read, unless a revocation was seen since ``revocations`` was taken."""
        if revocations != self.revocations:
            return
        while len(self._entries) >= self._most:
            self._drop(next(iter(self._entries)))
        self._entries[token_hash] = entry
        self._of_user.setdefault(entry.requester.user_id, set()).add(token_hash)

    def watch(self, watch: Watch) -> Callable[[], None]:
        """Tell of revocations from now on; what is returned ends it."""
        self._watches.append(watch)
        return lambda: self._watches.remove(watch)

    def in_use(self) -> bool:
        """Whether anybody has asked since the last call, or holds what they were let in for."""
        asked, self._asked = self._asked, False
        return asked or any(watch.holding() for watch in self._watches)

    def see(self, facts: Iterable[Fact]) -> None:
        """Take away what these facts revoke."""
        for fact in facts:
            if fact.kind not in _REVOKING:
                continue
            self.revocations += 1
            device = fact.data.decode()
            for token_hash in list(self._of_user.get(fact.subject, ())):
                if not device or self._entries[token_hash].requester.device_id == device:
                    self._drop(token_hash)
            for watch in tuple(self._watches):
                watch.revoked(fact.subject, device)

    def confirm(self, at: float) -> None:
        """Everything revoked before the monotonic time ``at`` has been seen."""
        self._confirmed_at = max(self._confirmed_at, at)

    def clear(self) -> None:
        self.revocations += 1
        self._entries.clear()
        self._of_user.clear()

    def _drop(self, token_hash: bytes) -> None:
        entry = self._entries.pop(token_hash)
        user_id = entry.requester.user_id
        hashes = self._of_user[user_id]
        hashes.discard(token_hash)
        if not hashes:
            del self._of_user[user_id]

"""Rate limits: token buckets by name and key, over the ephemeral port.

A bucket (``message``, ``login_address``, ...) is a rate and a burst from the settings; a key is whom it
counts: a user, an address, an account. All limits are off with ``rate_limits.enabled = false``.

Client-Server API, "Rate limiting".
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from plexus.protocol.errors import LimitExceeded

if TYPE_CHECKING:
    from plexus.platform.ports import Ephemeral
    from plexus.platform.settings import RateLimits


class RateLimiter:
    def __init__(self, ephemeral: Ephemeral, settings: RateLimits) -> None:
        self._ephemeral = ephemeral
        self._enabled = settings.enabled
        self._buckets = settings.buckets()

    async def check(self, bucket: str, key: str, cost: float = 1) -> None:
        """Take ``cost`` tokens or raise `LimitExceeded`, which says how long to wait.

        With ``cost`` 0 it only asks whether there is a token: a login asks first and pays when it failed.
        `KeyError` for a bucket that the settings do not name.
        """
        limit = self._buckets[bucket]
        if not self._enabled:
            return
        wait = await self._ephemeral.take(
            f"limit:{bucket}:{key}", per_second=limit.per_second, burst=limit.burst, cost=cost
        )
        if wait > 0:
            raise LimitExceeded(ceil(wait * 1000))

    async def pay(self, bucket: str, key: str) -> None:
        """Take a token if there is one, and never refuse."""
        limit = self._buckets[bucket]
        if self._enabled:
            await self._ephemeral.take(
                f"limit:{bucket}:{key}", per_second=limit.per_second, burst=limit.burst
            )

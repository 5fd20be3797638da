"""The embedded `Ephemeral`: a dictionary of this process.

Every operation runs without giving up the loop, which is what makes it atomic. Entries that have expired are
dropped when they are met, and a few more with every write, so that nothing piles up that nobody asks for.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from plexus.platform.clock import Clock

logger = logging.getLogger(__name__)

_SWEPT_A_WRITE = 4

Value = bytes | int | dict[str, int]


@dataclass(slots=True)
class _Entry:
    value: Value
    expires: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    full_at: float


class _Subscription:
    def __init__(self, callbacks: list[Callable[[bytes], None]], callback: Callable[[bytes], None]) -> None:
        self._callbacks = callbacks
        self._callback: Callable[[bytes], None] | None = callback
        callbacks.append(callback)

    def close(self) -> None:
        if self._callback is not None:
            self._callbacks.remove(self._callback)
            self._callback = None


class MemoryEphemeral:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._channels: dict[str, list[Callable[[bytes], None]]] = {}

    async def get(self, key: str) -> bytes | None:
        value = self._find(key)
        if value is not None and not isinstance(value, bytes):
            raise TypeError(f"{key} holds no bytes")
        return value

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        self._put(key, value, ttl_ms)

    async def delete(self, key: str) -> None:
        self._entries.pop(key, None)

    async def increment(self, key: str, by: int = 1, *, ttl_ms: int) -> int:
        value = self._find(key)
        if value is None:
            self._put(key, by, ttl_ms)
            return by
        if not isinstance(value, int):
            raise TypeError(f"{key} holds no number")
        self._entries[key].value = value + by
        return value + by

    async def merge_max(self, key: str, values: Mapping[str, int], *, ttl_ms: int) -> None:
        found = self._find(key)
        if found is not None and not isinstance(found, dict):
            raise TypeError(f"{key} holds no numbers")
        merged = dict(found or {})
        for name, value in values.items():
            merged[name] = max(value, merged.get(name, value))
        self._put(key, merged, ttl_ms)

    async def numbers(self, key: str) -> dict[str, int]:
        found = self._find(key)
        if found is not None and not isinstance(found, dict):
            raise TypeError(f"{key} holds no numbers")
        return dict(found or {})

    async def take(self, key: str, *, per_second: float, burst: float, cost: float = 1) -> float:
        now = self._clock.monotonic()
        bucket = self._buckets.get(key)
        tokens = burst if bucket is None else min(burst, bucket.tokens + (now - bucket.at) * per_second)
        wanted = cost if cost > 0 else 1
        if tokens < wanted:
            return (wanted - tokens) / per_second
        if cost > 0:
            left = tokens - cost
            self._buckets[key] = _Bucket(left, now, now + (burst - left) / per_second)
            self._buckets.move_to_end(key)
            self._forget_full(now)
        return 0.0

    async def publish(self, channel: str, payload: bytes) -> None:
        for callback in list(self._channels.get(channel, ())):
            try:
                callback(payload)
            except Exception:
                # The publisher has nothing to do with it, nor have the other subscribers.
                logger.exception("A subscriber of %s failed", channel)

    async def subscribe(
        self, channel: str, callback: Callable[[bytes], None], again: Callable[[], None] | None = None
    ) -> _Subscription:
        # Nothing is ever lost here.
        return _Subscription(self._channels.setdefault(channel, []), callback)

    async def close(self) -> None:
        self._entries.clear()
        self._buckets.clear()
        self._channels.clear()

    def __len__(self) -> int:
        return len(self._entries) + len(self._buckets)

    def _find(self, key: str) -> Value | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= self._clock.monotonic():
            del self._entries[key]
            return None
        return entry.value

    def _put(self, key: str, value: Value, ttl_ms: int) -> None:
        now = self._clock.monotonic()
        self._entries[key] = _Entry(value, now + ttl_ms / 1000)
        self._entries.move_to_end(key)
        # Look at the oldest; one that lives on goes to the end, so that those behind it have their turn.
        for _ in range(min(_SWEPT_A_WRITE, len(self._entries) - 1)):
            oldest = next(iter(self._entries))
            if self._entries[oldest].expires <= now:
                del self._entries[oldest]
            else:
                self._entries.move_to_end(oldest)

    def _forget_full(self, now: float) -> None:
        for _ in range(min(_SWEPT_A_WRITE, len(self._buckets) - 1)):
            oldest = next(iter(self._buckets))
            if self._buckets[oldest].full_at <= now:
                # A full bucket is the same as none.
                del self._buckets[oldest]
            else:
                self._buckets.move_to_end(oldest)

"""The embedded `Cache`: the least recently used values of this process go first.

Beside the values stands, for each key touched in the last minute, the newest position known of it. It
outlives the value, and so a slow reader cannot put back what it read before an invalidation. A reader slower
than that minute could; the deadlines of requests are far below it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from plexus.platform.clock import Clock

REMEMBERED_SECONDS = 60.0


class Generations:
    """What one process has seen of generations: one that was left never comes back."""

    def __init__(self) -> None:
        self.current: int | None = None
        self._left: set[int] = set()

    def was_left(self, generation: int) -> bool:
        return generation in self._left

    def enter(self, generation: int) -> bool:
        """Whether this generation may write. A new one becomes the current one."""
        if generation == self.current:
            return True
        if generation in self._left:
            return False
        if self.current is not None:
            self._left.add(self.current)
        self.current = generation
        return True


@dataclass(slots=True)
class _Entry:
    value: bytes
    position: int
    expires: float


class MemoryCache:
    def __init__(self, clock: Clock, *, max_bytes: int = 64 * 2**20) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._newest: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._generations = Generations()

    async def get(self, key: str, *, generation: int, at_least: int = 0) -> bytes | None:
        entry = self._entries.get(key) if generation == self._generations.current else None
        if entry is None or entry.position < at_least:
            return None
        if entry.expires <= self._clock.monotonic():
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    async def put(self, key: str, value: bytes, *, generation: int, position: int, ttl_ms: int) -> bool:
        if not self._enter(generation):
            return False
        now = self._clock.monotonic()
        if position < self._newest.get(key, (0, 0.0))[0]:
            return False
        self._remember(key, position, now)
        self._remove(key)
        self._entries[key] = _Entry(value, position, now + ttl_ms / 1000)
        self._bytes += len(key) + len(value)
        while self._bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))
        return True

    async def invalidate(self, key: str, *, generation: int, position: int) -> None:
        if not self._enter(generation):
            return
        self._remember(key, position, self._clock.monotonic())
        entry = self._entries.get(key)
        if entry is not None and entry.position < position:
            self._remove(key)

    async def close(self) -> None:
        self._entries.clear()
        self._newest.clear()
        self._bytes = 0

    def _enter(self, generation: int) -> bool:
        """Whether this generation may write. A new one empties the cache."""
        if generation == self._generations.current:
            return True
        if not self._generations.enter(generation):
            return False
        self._entries.clear()
        self._newest.clear()
        self._bytes = 0
        return True

    def _remember(self, key: str, position: int, now: float) -> None:
        known = self._newest.pop(key, (0, 0.0))[0]
        self._newest[key] = (max(position, known), now + REMEMBERED_SECONDS)
        while True:
            oldest = next(iter(self._newest))
            if self._newest[oldest][1] > now:
                return
            del self._newest[oldest]

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(key) + len(entry.value)

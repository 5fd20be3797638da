"""Fragments and events that were made once, kept for the next who asks. Bounded in bytes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    @property
    def size(self) -> int: ...


Value = TypeVar("Value", bound=Sized)
Key = tuple[str, object]
"""A room id and what within the room."""


class RoomCache(Generic[Value]):
    """Values by room and key, the least recently used dropped above ``limit`` bytes, a room's dropped at
    once.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self.forgotten = 0
        """Counts what was dropped at once. Who makes a value by themselves, and not by `get_or_build`, keeps
        it only if nothing was meanwhile: it may be made from what is not so any more."""
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._rooms: dict[str, set[Key]] = {}
        self._building: dict[Key, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        value = self._values.get(key)
        if value is None:
            self.misses += 1
        else:
            self.hits += 1
            self._values.move_to_end(key)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Keep a value, unless it alone would take an eighth of the room there is."""
        if value.size * 8 > self.limit:
            return
        self._drop(key)
        self._values[key] = value
        self._rooms.setdefault(key[0], set()).add(key)
        self.bytes += value.size
        while self.bytes > self.limit:
            self._drop(next(iter(self._values)))

    async def get_or_build(self, key: Key, build: Callable[[], Awaitable[Value]]) -> Value:
        """The value, made by the first who asks; the others wait for it, and try themselves if that one
        failed.
        """
        while True:
            value = self.get(key)
            if value is not None:
                return value
            building = self._building.get(key)
            if building is None:
                break
            await asyncio.shield(building)
        done = self._building[key] = asyncio.get_running_loop().create_future()
        try:
            value = await build()
            if self._building.get(key) is done:
                self.put(key, value)
            return value
        finally:
            if self._building.get(key) is done:
                del self._building[key]
            done.set_result(None)

    def forget(self, room_id: str) -> None:
        """Drop what is kept of a room; what is being made now is not kept either."""
        self.forgotten += 1
        for key in tuple(self._rooms.get(room_id, ())):
            self._drop(key)
        for key in [key for key in self._building if key[0] == room_id]:
            del self._building[key]

    def clear(self) -> None:
        self.forgotten += 1
        self._values.clear()
        self._rooms.clear()
        self._building.clear()
        self.bytes = 0

    def _drop(self, key: Key) -> None:
        value = self._values.pop(key, None)
        if value is None:
            return
        self.bytes -= value.size
        keys = self._rooms[key[0]]
        keys.discard(key)
        if not keys:
            del self._rooms[key[0]]

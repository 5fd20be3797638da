"""Events printed one after the other, as most answers have them: what is the same for everybody is bytes that
are kept, and only the ages are new each time.

The ages of a thousand events are printed by one call and put between the kept parts by another: 50 ns an
event, where an event by itself takes a microsecond.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson


class Run:
    """Events in a row. ``heads`` go up to the age, ``tails`` from it on, without the end of the event. Large
    answers are put together once, and never copied after that: half of their cost is memory.
    """

    __slots__ = ("_parts", "_stamps")

    def __init__(self, heads: Sequence[bytes], stamps: Sequence[int], tails: Sequence[bytes]) -> None:
        # What stands around the list is first and last.
        parts: list[bytes] = [b""] * (3 * len(heads) + 2)
        parts[1:-1:3] = heads
        parts[3:-1:3] = [tail + b"}}," if tail else b"}}," for tail in tails]
        if heads:
            parts[-2] = tails[-1] + b"}}"
        self._parts = parts
        self._stamps = stamps

    def __len__(self) -> int:
        return len(self._stamps)

    def print(self, now_ms: int, before: bytes, after: bytes) -> bytes:
        """The events with a comma between them, as of a time, between what stands before and after them."""
        if not self._stamps:
            return before + after
        parts = self._parts.copy()
        parts[0], parts[-1] = before, after
        parts[2:-1:3] = orjson.dumps([now_ms - stamp for stamp in self._stamps])[1:-1].split(b",")
        return b"".join(parts)

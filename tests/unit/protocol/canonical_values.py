"""Values of all kinds, by a seeded generator: many, fast, the awkward ones often."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

# Where encoders differ: escapes, control characters, what HTML or JavaScript escape, the ends of the one-,
# two-, three- and four-byte ranges, and both sides of the surrogates: by code unit U+10000 sorts before
# U+E000, by code point after it.
AWKWARD = (
    "\"\\/\b\f\n\r\t\0\x01\x1f\x7f\x80\xa0<>&'\u07ff\u0800\u2028\u2029\ud7ff\ue000\ufeff\ufffd\uffff"
    "\U00010000\U0001f600\U0010ffff"
)
INTEGERS = (0, 1, -1, 9, 10, 2**31, 2**32, -(2**31) - 1, 2**53 - 1, -(2**53) + 1)
FOREIGN_INTEGERS = (2**53, -(2**53), 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**30)
FLOATS = (0.0, -0.0, 1.0, 1.5, -2.25, 1e-7, 1e-5, 1e15, 1e16, 1e22, 5e-324, 1.7976931348623157e308, 0.1)
KEYS = ("type", "content", "body", "m.relates_to", "a", "A", "aa", "_", "é", "日本", "\ue000", "\U00010000")


class Values:
    """``next()`` gives a value; with ``foreign`` it may hold floats and integers of any size."""

    def __init__(self, seed: int, *, foreign: bool = False) -> None:
        random = Random(seed)
        self._bits = random.getrandbits
        self._random = random
        self._foreign = foreign

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self.value(4)

    def value(self, levels: int) -> Any:
        kind = self._bits(4)
        if levels and kind < 5:
            return {self.key(): self.value(levels - 1) for _ in range(self._bits(2))}
        if levels and kind < 8:
            return [self.value(levels - 1) for _ in range(self._bits(2))]
        if kind < 11:
            return self.text()
        if kind < 13:
            return self.integer()
        if kind == 13:
            return (None, True, False, "")[self._bits(2)]
        if kind == 14 and self._foreign:
            return self.number()
        return self.integer()

    def key(self) -> str:
        pick = self._bits(4)
        return KEYS[pick] if pick < len(KEYS) else self.text()

    def text(self) -> str:
        length = self._bits(3)
        kind = self._bits(2)
        if kind == 0:
            return "".join(AWKWARD[self._bits(5) % len(AWKWARD)] for _ in range(length))
        if kind == 1:
            return "".join(chr(32 + self._bits(6)) for _ in range(length))
        if kind == 2:
            return "plain words of a message"[: self._bits(5)]
        code = self._bits(20) + (self._bits(1) << 16)
        return chr(code) * (length & 1) if not 0xD800 <= code < 0xE000 else ""

    def integer(self) -> int:
        kind = self._bits(2)
        if kind == 0:
            return INTEGERS[self._bits(4) % len(INTEGERS)]
        return self._bits((7, 32, 53)[kind - 1]) * (1 - 2 * self._bits(1)) or 1

    def number(self) -> int | float:
        kind = self._bits(2)
        if kind == 0:
            return FLOATS[self._bits(4) % len(FLOATS)]
        if kind == 1:
            return FOREIGN_INTEGERS[self._bits(4) % len(FOREIGN_INTEGERS)]
        if kind == 2:
            return self._random.uniform(-1e6, 1e6)
        return self._random.lognormvariate(0, 50)

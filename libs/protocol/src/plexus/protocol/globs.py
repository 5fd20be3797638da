"""Globs that a stranger wrote: ``*`` matches zero or more characters, ``?`` exactly one.

A regular expression made of such a pattern backtracks, and a pattern like ``*a*a*a*a*b`` then costs minutes.
Here nothing backtracks:

1. The literal pieces of the pattern must occur in the text in this order. That is a handful of `str.find`,
   and nearly always the answer, which is no.
2. Without ``?`` and over the whole text, pieces at the first place possible are the answer too.
3. What is left reads the text once, keeping as bits of one integer all places of the pattern that the text
   so far can have led to. One step a character, whatever the pattern.

Matching ignores case. One character stays one character in that (so "ß" is not "ss"), else ``?`` would be
wrong.

Appendices, "Glob-style matching"; Client-Server API, "Conditions", for word boundaries.
"""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_WILD = re.compile(r"[*?]+")
MOST_CHARACTERS = 1_000_000
"""More than any event has."""
_QUICK_TRIES = 8
"""Occurrences of a literal looked at one by one, before the pass that looks at each character once."""


def fold(text: str) -> str:
    """The text without case, character by character."""
    if text.isascii():
        return text.lower()
    folded = text.casefold()
    if len(folded) == len(text):
        return folded
    return "".join(one if len(one := each.casefold()) == 1 else each for each in text)


def pieces_match(pieces: tuple[str, ...], text: str) -> bool:
    """Whether the text is these pieces with anything between them: a pattern cut at its ``*``.

    From left to right, each piece at the first place possible; with ``*`` alone no other choice does better.
    """
    if len(pieces) == 1:
        return text == pieces[0]
    first, *middle, last = pieces
    if not text.startswith(first):
        return False
    at = len(first)
    for piece in middle:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return len(text) - len(last) >= at and text.endswith(last)


def at_word_boundary(text: str, at: int) -> bool:
    """Whether the place before character ``at`` is not inside of a word.

    "A word boundary is defined as the start or end of the value, or any character not in the sets [A-Z],
    [a-z], [0-9] or _."
    """
    return at == 0 or at == len(text) or text[at] not in _WORD or text[at - 1] not in _WORD


class Glob:
    """A pattern, compiled. The texts that it is given must have gone through `fold`."""

    __slots__ = ("_first", "_literals", "_made", "_pieces", "_shortest", "folded", "is_literal")

    def __init__(self, pattern: str, *, literal: bool = False) -> None:
        """``literal``: the pattern has no wildcards, its ``*`` and ``?`` stand for themselves."""
        self.folded = folded = fold(pattern)
        self.is_literal = literal or not _WILD.search(folded)
        self._pieces: tuple[str, ...] | None
        if self.is_literal:
            self._pieces = (folded,)
        else:
            self._pieces = None if "?" in folded else tuple(folded.split("*"))
        self._literals = (
            self._pieces if self._pieces is not None else tuple(filter(None, _WILD.split(folded)))
        )
        self._first = self._literals[0] if self._literals else ""
        self._shortest = len(folded) - (0 if self.is_literal else folded.count("*"))
        self._made: _Machine | None = None

    def matches(self, folded: str, most: int = MOST_CHARACTERS) -> bool:
        """Whether the pattern matches the entire text; with ``?``, a text longer than ``most`` never."""
        if self._pieces is not None:
            return pieces_match(self._pieces, folded)
        return len(folded) <= most and self._may_match(folded) and self._machine.matches(folded)

    def occurs_in(self, folded: str, most: int = MOST_CHARACTERS) -> bool:
        """Whether the pattern matches a part of the text that starts and ends at a word boundary.

        Where the quick ways do not tell, only the first ``most`` characters are looked at.
        """
        if self._first not in folded or not self._may_match(folded):
            return False
        if self.is_literal:
            size, at = len(self.folded), -1
            for _ in range(_QUICK_TRIES):
                at = folded.find(self.folded, at + 1)
                if at < 0:
                    return False
                if at_word_boundary(folded, at) and at_word_boundary(folded, at + size):
                    return True
        return self._machine.occurs_in(folded, most)

    def _may_match(self, folded: str) -> bool:
        if len(folded) < self._shortest:
            return False
        at = 0
        for literal in self._literals:
            at = folded.find(literal, at)
            if at < 0:
                return False
            at += len(literal)
        return True

    @property
    def _machine(self) -> _Machine:
        if self._made is None:
            self._made = _Machine(self.folded, wildcards=not self.is_literal)
        return self._made


class _Machine:
    """All ways through the pattern at once: bit n is set if its first n characters can be behind us."""

    def __init__(self, pattern: str, *, wildcards: bool) -> None:
        self._stays = 0
        """The places where a ``*`` lets any character pass."""
        any_character = 0
        literal: dict[str, int] = {}
        place = 1
        for character in pattern:
            if character == "*" and wildcards:
                self._stays |= place
                continue
            if character == "?" and wildcards:
                any_character |= place
            else:
                literal[character] = literal.get(character, 0) | place
            place <<= 1
        self._end = place
        self._any = any_character
        self._steps = {character: places | any_character for character, places in literal.items()}

    def matches(self, text: str) -> bool:
        stays, steps, any_character = self._stays, self._steps, self._any
        places = 1
        for character in text:
            places = ((places & steps.get(character, any_character)) << 1) | (places & stays)
            if not places:
                return False
        return places & self._end != 0

    def occurs_in(self, text: str, most: int) -> bool:
        stays, steps, any_character, end = self._stays, self._steps, self._any, self._end
        places = 0
        in_word = False
        for character in text if most >= len(text) else text[:most]:
            is_word = character in _WORD
            if not (in_word and is_word):
                # A boundary: a match may have ended here, and may begin.
                places |= 1
                if places & end:
                    return True
            in_word = is_word
            places = ((places & steps.get(character, any_character)) << 1) | (places & stays)
        return (places | 1) & end != 0 and at_word_boundary(text, min(most, len(text)))


@lru_cache(maxsize=4096)
def _short_glob(pattern: str) -> Glob:
    return Glob(pattern)


def glob(pattern: str) -> Glob:
    """The compiled pattern; short ones are made once and shared."""
    return _short_glob(pattern) if len(pattern) <= 64 else Glob(pattern)

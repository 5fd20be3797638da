"""Text into words, the same way for what is kept and for what is asked.

No language is known of a message, so none is assumed: a word is a run of letters and digits, compared without
case and without the accents of Latin, Greek and Cyrillic. Scripts that put no spaces between words give each
character and each pair of neighbours, and are found by the pairs in a row.

What comes out are lexemes for PostgreSQL's ``tsvector`` and ``tsquery``, ready made, so that neither its
parser nor the locale of a database has a say. Decision 0027.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from unicodedata import normalize

MAX_WORD = 64
MAX_WORDS = 4000
"""Of one document: PostgreSQL takes no more than a megabyte, and 16,383 positions."""
MAX_TERMS = 32

# Marks that belong to the letters before them, where a language cannot be read without: not in \w.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711"
    "\u0730-\u074a\u07a6-\u07b0\u0816-\u082d\u08d3-\u08ff\u0900-\u0903\u093a-\u094f\u0951-\u0957"
    "\u0962\u0963\u0981-\u0983\u09bc-\u09d7\u0a01-\u0a51\u0abc-\u0acd\u0b3c-\u0b57\u0bbe-\u0bcd"
    "\u0c3e-\u0c56\u0cbc-\u0cd6\u0d3e-\u0d4d\u0dca-\u0ddf\u0f71-\u0f84\u200c\u200d\u3099\u309a"
)
# Written without spaces, or with endings that are not set off: Thai, Lao, Burmese, Khmer, kana, Han, Hangul.
_DENSE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
_ASCII = re.compile(r"[0-9A-Za-z]+")
_WORD = re.compile(rf"[{_DENSE}]+|(?:(?![{_DENSE}_])[\w{_MARKS}])+")
_IS_DENSE = re.compile(rf"[{_DENSE}]")
_ACCENTS = re.compile("[\u0300-\u036f]")
_WITHOUT_PARTS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
_PHRASE = re.compile(r'"([^"]*)"')


def fold(text: str) -> str:
    """The form in which texts are compared."""
    if text.isascii():
        return text.lower()
    bare = _ACCENTS.sub("", normalize("NFKD", text).casefold())
    return normalize("NFKC", bare).translate(_WITHOUT_PARTS)


def spans(text: str) -> Iterator[tuple[str, str]]:
    """Each word as it stands and as it is compared."""
    for match in (_ASCII if text.isascii() else _WORD).finditer(text):
        word = match[0]
        folded = fold(word)
        # Folding may leave a mark alone, or take a sign apart.
        yield word, folded if folded.isalnum() else "".join(_WORD.findall(folded))


def vector(text: str) -> str:
    """The words with their places, as PostgreSQL reads a ``tsvector``; empty if there are none."""
    places: dict[str, list[int]] = {}
    at = 0
    if text.isascii():
        # The same in one go: such words fold to themselves in small letters, and none is dense.
        for at, word in enumerate(_ASCII.findall(text.lower())[:MAX_WORDS], 1):
            places.setdefault(word[:MAX_WORD], []).append(at)
        return _lexemes(places)
    for _, word in spans(text):
        if not word:
            continue
        for lexemes in _pieces(word):
            at += 1
            for lexeme in lexemes:
                places.setdefault(lexeme, []).append(at)
        if at >= MAX_WORDS:
            break
    return _lexemes(places)


def _lexemes(places: dict[str, list[int]]) -> str:
    # PostgreSQL keeps no more than 255 places of a word.
    return " ".join([f"'{word}':{','.join(map(str, found[:255]))}" for word, found in places.items()])


def query(text: str) -> str | None:
    """What to look for, as PostgreSQL reads a ``tsquery``: all words, those in quotation marks in a row. None
    if there is no word in it.
    """
    terms: list[str] = []
    rest = text
    for phrase in _PHRASE.findall(text):
        row = [step for _, word in spans(phrase) for step in _steps(word)]
        if row:
            terms.append(_in_a_row(row))
    rest = _PHRASE.sub(" ", text)
    terms += [_in_a_row(steps) for _, word in spans(rest) if (steps := _steps(word))]
    return " & ".join(dict.fromkeys(terms[:MAX_TERMS])) or None


def beginnings(text: str) -> str | None:
    """The same for words that begin so; pairs and characters are looked for as they are."""
    terms: list[str] = []
    for _, word in spans(text):
        if word and _IS_DENSE.match(word):
            terms.append(_in_a_row(_steps(word)))
        elif word:
            terms.append(f"'{word[:MAX_WORD]}':*")
    return " & ".join(dict.fromkeys(terms[:MAX_TERMS])) or None


def highlights(query_text: str, texts: Collection[str]) -> list[str]:
    """The words of the query, and how they are written in these texts where that is different."""
    wanted: dict[str, None] = {}
    written: dict[str, None] = {}
    for word, folded in spans(query_text):
        if folded:
            wanted[folded] = None
            written[word.lower()] = None
    for text in texts:
        for word, folded in spans(text):
            if folded in wanted:
                written[word.lower()] = None
    return list(written)


def _pieces(word: str) -> Iterator[tuple[str, ...]]:
    """The lexemes at each of the word's places."""
    if not _IS_DENSE.match(word):
        yield (word[:MAX_WORD],)
        return
    for at, character in enumerate(word):
        pair = word[at : at + 2]
        yield (character,) if len(pair) < 2 else (character, pair)


def _steps(word: str) -> list[str]:
    """What must follow one another for the word to be there."""
    if not word or not _IS_DENSE.match(word):
        return [word[:MAX_WORD]] if word else []
    if len(word) == 1:
        return [word]
    return [word[at : at + 2] for at in range(len(word) - 1)][:MAX_TERMS]


def _in_a_row(steps: list[str]) -> str:
    quoted = [f"'{step}'" for step in steps[:MAX_TERMS]]
    return quoted[0] if len(quoted) == 1 else f"({' <-> '.join(quoted)})"

"""plexus.protocol.globs"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol import globs
from plexus.protocol.globs import Glob, fold, pieces_match

PATTERNS = st.text("aAb_ -*?ß", max_size=8)
TEXTS = st.text("aAb_ -?ß", max_size=14)


def slowly(pattern: str, text: str) -> bool:
    """The definition, by trying everything."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(slowly(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and slowly(pattern[1:], text[1:])


def is_boundary(text: str, at: int) -> bool:
    return at in (0, len(text)) or not re.fullmatch("[A-Za-z0-9_]{2}", text[at - 1 : at + 1])


def slowly_in_words(pattern: str, text: str) -> bool:
    return any(
        slowly(pattern, text[start:end])
        for start in range(len(text) + 1)
        for end in range(start, len(text) + 1)
        if is_boundary(text, start) and is_boundary(text, end)
    )


@given(PATTERNS, TEXTS)
def test_it_is_the_definition(pattern: str, text: str) -> None:
    assert Glob(pattern).matches(fold(text)) is slowly(fold(pattern), fold(text))


@given(PATTERNS, TEXTS)
def test_in_words_it_is_the_definition(pattern: str, text: str) -> None:
    assert Glob(pattern).occurs_in(fold(text)) is slowly_in_words(fold(pattern), fold(text))


@given(st.text("ab*?", max_size=4), st.text("ab*? ", max_size=10))
def test_a_literal_has_no_wildcards(literal: str, text: str) -> None:
    expected = any(
        text[at : at + len(literal)] == literal
        and is_boundary(text, at)
        and is_boundary(text, at + len(literal))
        for at in range(len(text) + 1)
    )
    assert Glob(literal, literal=True).occurs_in(text) is expected


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_pieces_are_the_definition(pattern: str, text: str) -> None:
    assert pieces_match(tuple(pattern.split("*")), text) is slowly(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("lunc?*", "Lunch plans", True),
        ("lunc?*", "LUNCH", True),
        ("lunc?*", " lunch", False),
        ("lunc?*", "lunc", False),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
        ("a*", "a\nb", True),
        ("STRASSE", "strasse", True),
        ("ÄÖ?", "äöü", True),
        ("?", "ß", True),
        ("?", "İ", True),
    ],
)
def test_examples(pattern: str, text: str, expected: bool) -> None:
    assert Glob(pattern).matches(fold(text)) is expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("ex*ple", "An example event.", True),
        ("ex*ple", "exple", True),
        ("ex*ple", "An exciting triple-whammy", True),
        ("ex*ple", "An exemplary event", False),
        ("cake", "cake", True),
        ("cake", "a Cake!", True),
        ("cake", "cakes", False),
        ("cake", "_cake", False),
        ("cake", "cupcakes and cake", True),
        ("cake", "écake", True),
        ("c?ke", "a coke.", True),
        ("c?ke", "cookes", False),
        ("#room", "see #room", True),
        ("#room", "see#room", True),
        ("", "anything", True),
    ],
)
def test_words(pattern: str, text: str, expected: bool) -> None:
    assert Glob(pattern).occurs_in(fold(text)) is expected


def lines_run(call: Callable[[], Any]) -> int:
    """Lines of the module that a call runs: a measure of work that no clock disturbs."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename != globs.__file__:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


HOSTILE = [
    ("*a" * 20 + "b", "a"),
    ("?*" * 40 + "b", "a"),
    ("*?a" * 30 + "b", "a"),
    ("a" * 60, "a"),
    ("*" * 500 + "b?", "a"),
    ("a a*" * 20 + "?b", "a "),
]


@pytest.mark.parametrize(("pattern", "unit"), HOSTILE)
@pytest.mark.parametrize("way", ["matches", "occurs_in"])
def test_a_hostile_pattern_costs_a_few_steps_for_each_character(pattern: str, unit: str, way: str) -> None:
    wanted = Glob(pattern)
    for size in (1000, 4000):
        # The end lets what looks for literals first find them all.
        text = unit * (size // len(unit)) + ("b" if way == "matches" else "b_")
        wanted.matches("b" * 500), wanted.occurs_in("b" * 500)  # what is made once
        assert lines_run(partial(getattr(wanted, way), text)) <= 12 * size + 2000

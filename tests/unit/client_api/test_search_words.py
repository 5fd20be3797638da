"""Words of a text, for what is kept and for what is asked."""

import pytest
from plexus.client_api.search.words import MAX_TERMS, fold, highlights, query, vector


@pytest.mark.parametrize(
    "text", ["Tell nobody: TELL nobody!", "a_b 4th 10.5", "x" * 70 + " " + "x" * 80, "word " * 5_000]
)
def test_plain_letters_give_what_they_give_among_others(text: str) -> None:
    """A text of ASCII alone has a way of its own."""
    among_others = vector(text + " \u00e9t\u00e9")
    assert vector(text) == among_others.partition(" 'ete':")[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat, the CAT!", "'the':1,3 'cat':2,4"),
        ("snake_case don't", "'snake':1 'case':2 'don':3 't':4"),
        ("Łódź Straße", "'lodz':1 'strasse':2"),
        ("e\u0301te\u0301 ﬁn", "'ete':1 'fin':2"),
        ("नमस्ते दुनिया", "'नमस्ते':1 'दुनिया':2"),
        ("喝茶 tea", "'喝':1 '喝茶':1 '茶':2 'tea':3"),
        ("ガ", "'ガ':1"),
        ("' \\ \0 <-> & | :* ()", ""),
    ],
)
def test_a_text_as_a_tsvector(text: str, expected: str) -> None:
    assert vector(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("big cats", "'big' & 'cats'"),
        ("cats cats", "'cats'"),
        ('"big cats" run', "('big' <-> 'cats') & 'run'"),
        ('"big', "'big'"),
        ("我喝茶", "('我喝' <-> '喝茶')"),
        ("茶", "'茶'"),
        (":* & | ! '", None),
    ],
)
def test_a_text_as_a_tsquery(text: str, expected: str | None) -> None:
    assert query(text) == expected


def test_bounds() -> None:
    assert len(vector("a" * 10_000)) < 100
    assert vector("a " * 1000).count(",") == 254
    asked = query(" ".join(f"w{number}" for number in range(100)))
    assert asked is not None and asked.count("&") == MAX_TERMS - 1


def test_both_sides_fold_alike() -> None:
    for one, other in (("ÅNGSTRÖM", "angstrom"), ("ΣΊΣΥΦΟΣ", "σισυφος"), ("Ёлка", "елка"), ("Æsir", "aesir")):
        assert fold(one) == fold(other)


def test_what_to_highlight_is_written_as_in_the_texts() -> None:
    assert highlights("strasse", ["Die Straße", "the STRASSE"]) == ["strasse", "straße"]

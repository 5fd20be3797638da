"""Percent-decoding of paths and queries, and tokens: clean text or a 4xx."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.platform.http import bearer, query
from plexus.platform.http.hot import _decode_again
from plexus.platform.http.paths import segments_of
from plexus.protocol.errors import InvalidParam, MissingToken

_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.lists(_text))
def test_any_segments_survive(segments: list[str]) -> None:
    raw = "/".join(["", *(quote(segment, safe="") for segment in segments)]).encode()
    assert segments_of(raw) == ["", *segments]


@pytest.mark.parametrize(
    "raw", [b"/%zz", b"/a%2", b"/%", b"/%ff", b"/%C3%28", b"/a%00b", b"/\xc3\xa4", b"/%ED%A0%80"]
)
def test_paths_that_are_no_clean_text(raw: bytes) -> None:
    with pytest.raises(InvalidParam):
        segments_of(raw)


@given(st.dictionaries(_text.filter(bool), _text))
def test_queries_decode_as_the_standard_library_does(pairs: dict[str, str]) -> None:
    raw = urlencode(pairs).encode()
    assert query({"query_string": raw}) == dict(parse_qsl(raw.decode(), keep_blank_values=True)) == pairs


def test_query_forms() -> None:
    assert query({"query_string": b"a&b=&&c=1&c=2&d=x%3Dy&e=a+b"}) == {
        "a": "",
        "b": "",
        "c": "2",
        "d": "x=y",
        "e": "a b",
    }


@pytest.mark.parametrize("raw", [b"a=%zz", b"a=%ff", b"%00=1", b"a=\xff", b"a=%2"])
def test_queries_that_are_no_clean_text(raw: bytes) -> None:
    with pytest.raises(InvalidParam):
        query({"query_string": raw})


def test_what_is_remembered_of_queries_is_bounded() -> None:
    _decode_again.cache_clear()
    for _ in range(2):
        assert query({"query_string": b"filter=%7B%7D&since=s1_2&long=" + b"%41" * 1_000}) == {
            "filter": "{}",
            "since": "s1_2",
            "long": "A" * 1_000,
        }
        with pytest.raises(InvalidParam):
            query({"query_string": b"filter=%ff"})
    # Neither what needs no decoding, nor what is long, nor what is refused.
    assert _decode_again.cache_info().currsize == 1
    for number in range(1_100):
        query({"query_string": b"filter=%%7B%d" % number})
    assert _decode_again.cache_info().currsize == 1_000


def scope(headers: list[tuple[bytes, bytes]], raw: bytes = b"") -> dict[str, object]:
    return {"headers": headers, "query_string": raw}


def test_tokens() -> None:
    assert bearer(scope([(b"host", b"x"), (b"authorization", b"Bearer  abc ")])) == "abc"
    assert bearer(scope([(b"authorization", b"bearer abc")])) == "abc"
    assert bearer(scope([], b"a=1&access_token=q%2Fq")) == "q/q"
    assert bearer(scope([(b"authorization", b"Bearer h")], b"access_token=q")) == "h"
    assert bearer(scope([])) is None
    assert bearer(scope([(b"authorization", b"Bearer ")])) is None
    with pytest.raises(MissingToken):
        bearer(scope([(b"authorization", b"Basic abc")]))

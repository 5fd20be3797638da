"""plexus.protocol.wire_json"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol.errors import BadJson, MatrixError, NotJson
from plexus.protocol.wire_json import items, members

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=6,
)
indents = st.sampled_from([None, 0, 1, "\t", " \r\n"])


@given(st.dictionaries(texts, json_values, max_size=4), indents, st.booleans())
def test_the_members_of_an_object(value: dict[str, Any], indent: Any, escaped: bool) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=escaped).encode()
    for cutting in ((), tuple(value)[::2]):
        read = {}
        for key, part in members(raw, cutting=cutting).items():
            assert isinstance(part, list) == (key in cutting and isinstance(value[key], list))
            read[key] = [json.loads(item) for item in part] if isinstance(part, list) else json.loads(part)
        assert read == value


@given(st.lists(json_values, max_size=4), indents, st.booleans())
def test_the_items_of_a_list(value: list[Any], indent: Any, escaped: bool) -> None:
    raw = b" " + json.dumps(value, indent=indent, ensure_ascii=escaped).encode() + b"\n"
    assert [json.loads(part) for part in items(raw)] == value


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        (rb'["]", "\"]", "\\", {"a]":"}"}]', [rb'"]"', rb'"\"]"', rb'"\\"', b'{"a]":"}"}']),
        (b"[1e400,tru,\xff]", [b"1e400", b"tru", b"\xff"]),
    ],
)
def test_parts_are_cut_and_not_read(raw: bytes, parts: list[bytes]) -> None:
    assert items(raw) == parts


def test_depth_is_no_limit() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert items(b"[" + deep + b",1]") == [deep, b"1"]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", BadJson),
        (b"[]", BadJson),
        (b"null", BadJson),
        (b"{", NotJson),
        (b'{"a"', NotJson),
        (b'{"a":', NotJson),
        (b'{"a":}', NotJson),
        (b'{"a":1', NotJson),
        (b'{"a":1,}', NotJson),
        (b'{"a":1 "b":2}', NotJson),
        (b'{"a":1}x', NotJson),
        (b'{"a":1}{}', NotJson),
        (b"{a:1}", NotJson),
        (b'{"a":"', NotJson),
        (b'{"a":["]}', NotJson),
        (b'{"\\ud800":1}', NotJson),
        (b'{"\xff":1}', NotJson),
        (b'{"a":1,"a":2}', BadJson),
        (b'{"a":1,"\\u0061":2}', BadJson),
    ],
)
def test_a_frame_that_is_broken(raw: bytes, error: type[MatrixError]) -> None:
    for cutting in ("", "a"):
        with pytest.raises(error):
            members(raw, cutting=cutting)


@pytest.mark.parametrize("raw", [b"[1,]", b"[,1]", b"[1 2]", b"[", b"[1", b"[:]", b'["]', b"[[]"])
def test_a_list_that_is_broken(raw: bytes) -> None:
    with pytest.raises(NotJson):
        items(raw)


@pytest.mark.parametrize(
    "hostile",
    [b'["' + b'\\"' * 500_000, b"[" + b'"' * 500_001, b"[" * 1_000_000, b"[" + b" " * 1_000_000],
)
def test_time_grows_with_length_only(hostile: bytes) -> None:
    # Quadratic, this would take hours; the test's own time limit is the judge.
    with pytest.raises(NotJson):
        items(hostile)

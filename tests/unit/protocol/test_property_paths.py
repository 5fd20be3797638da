"""plexus.protocol.property_paths"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol.property_paths import apply_event_fields, split_path, without_redundant


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("content.body", ("content", "body")),
        (r"content.m\.relates_to", ("content", "m.relates_to")),
        (r"content.m\\foo", ("content", r"m\foo")),
        (r"a\xb", (r"a\xb",)),
        (r"a\\.b", ("a\\", "b")),
        ("a\\", ("a\\",)),
        ("", ("",)),
        ("a..b", ("a", "", "b")),
        (".", ("", "")),
        ("a." * 400 + "b", ("a",) * 400 + ("b",)),
    ],
)
def test_splitting(path: str, names: tuple[str, ...]) -> None:
    assert split_path(path) == names


@given(st.lists(st.text(".\\ab", max_size=5), min_size=1, max_size=4))
def test_an_escaped_path_is_split_into_its_names(names: list[str]) -> None:
    path = ".".join(name.replace("\\", "\\\\").replace(".", "\\.") for name in names)
    assert split_path(path) == tuple(names)


def test_what_lies_below_another_path_says_nothing_more() -> None:
    assert without_redundant(["content.a", "content", "type", "content.a.b", "type"]) == ("content", "type")
    assert without_redundant(["a.b", "a.c", r"a\.b"]) == ("a.b", "a.c", r"a\.b")
    assert without_redundant([]) == ()


OBJECTS = st.recursive(
    st.integers(0, 3),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)
PATHS = st.lists(st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(".".join), max_size=6)


def leaves(value: Any, at: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(value, dict) or not value:
        return {at: value}
    return {path: leaf for name in value for path, leaf in leaves(value[name], (*at, name)).items()}


@given(st.dictionaries(st.sampled_from("ab"), OBJECTS), PATHS)
def test_what_is_kept_lies_on_a_path(event: dict[str, Any], paths: list[str]) -> None:
    before = deepcopy(event)
    kept = apply_event_fields(event, without_redundant(paths))
    assert event == before
    wanted = [tuple(path.split(".")) for path in paths]
    expected = {
        path: value
        for path, value in leaves(event).items()
        if path and any(path[: len(want)] == want for want in wanted)
    }
    assert {path: value for path, value in leaves(kept).items() if path} == expected
    assert apply_event_fields(event, paths) == kept

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.platform.lanes import Fact, Group
from plexus.platform.lanes.records import decode_group, encode_group

numbers = st.integers(-(2**63), 2**63 - 1)
facts = st.builds(
    Fact,
    position=st.just(0),
    kind=st.integers(1, 9),
    subject=st.text(max_size=20),
    lo=numbers,
    hi=numbers,
    data=st.binary(max_size=20),
    body=st.none() | st.binary(max_size=50),
)


def numbered(first: int, facts: list[Fact]) -> tuple[Fact, ...]:
    return tuple(Fact(first + i, f.kind, f.subject, f.lo, f.hi, f.data, f.body) for i, f in enumerate(facts))


@given(
    numbers,
    st.sampled_from("ru"),
    st.integers(0, 63),
    st.integers(1, 2**60),
    st.lists(facts, min_size=1, max_size=5),
)
def test_a_group_comes_back_as_it_was(
    generation: int, family: str, lane: int, first: int, made: list[Fact]
) -> None:
    group = Group(generation, family, lane, numbered(first, made))
    assert decode_group(encode_group(group)) == group


def test_a_large_record_goes_without_its_largest_bodies() -> None:
    group = Group(1, "r", 2, numbered(5, [Fact(0, 1, "!a:x", body=b"x" * n) for n in (10, 5_000, 700)]))
    record = encode_group(group, most_bytes=1_000)
    assert len(record) <= 1_000
    assert [fact.body for fact in decode_group(record).facts] == [b"x" * 10, None, b"x" * 700]


@pytest.mark.parametrize("record", [b"", b"\xff\xff", b"\x10\x07"])
def test_other_bytes_are_refused(record: bytes) -> None:
    with pytest.raises(ValueError, match="record"):
        decode_group(record)

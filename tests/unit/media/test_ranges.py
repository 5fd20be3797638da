"""One range of bytes. RFC 9110, 14.1.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.media.ranges import Unsatisfiable, range_of


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=2-4", (2, 5)),
        ("bytes=2-", (2, 10)),
        ("bytes=2-99", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("Bytes=1-1", (1, 2)),
        # Not one range of bytes: all of it is sent.
        ("bytes=4-2", None),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=0-" + "9" * 40, None),
    ],
)
def test_ranges_of_ten_bytes(header: str | None, wanted: tuple[int, int] | None) -> None:
    assert range_of(header, 10) == wanted


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_a_range_outside_is_unsatisfiable(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        range_of(header, size)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 1000))
def test_a_range_lies_within_the_content(first: int, last: int, size: int) -> None:
    try:
        found = range_of(f"bytes={first}-{last}", size)
    except Unsatisfiable:
        assert first >= size
        return
    if found is None:
        assert last < first
    else:
        assert (found[0], found[1]) == (first, min(last + 1, size)) and found[0] < found[1] <= size

"""plexus.protocol.uris"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol.identifiers import is_event_id, is_room_alias, is_room_id, is_user_id
from plexus.protocol.uris import Link, matrix_to, matrix_uri, parse_uri

ROOM, ALIAS, ALICE = "!somewhere:example.org", "#somewhere:example.org", "@alice:example.org"
VIA = ("elsewhere.ca",)


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("matrix:r/somewhere:example.org", Link(ALIAS)),
        ("matrix:roomid/somewhere:example.org?via=elsewhere.ca", Link(ROOM, via=VIA)),
        ("matrix:roomid/somewhere:example.org/e/event?via=elsewhere.ca", Link(ROOM, "$event", VIA)),
        ("matrix:u/alice:example.org?action=chat", Link(ALICE, action="chat")),
    ],
)
def test_the_examples_of_the_scheme(uri: str, link: Link) -> None:
    assert parse_uri(uri) == link
    assert matrix_uri(link) == uri


@pytest.mark.parametrize(
    ("uri", "link", "written"),
    [
        ("https://matrix.to/#/%23somewhere:example.org", Link(ALIAS), True),
        ("https://matrix.to/#/!somewhere:example.org?via=elsewhere.ca", Link(ROOM, via=VIA), True),
        (
            "https://matrix.to/#/!somewhere:example.org/$event:example.org?via=elsewhere.ca",
            Link(ROOM, "$event:example.org", VIA),
            True,
        ),
        ("https://matrix.to/#/@alice:example.org", Link(ALICE), True),
        ("https://matrix.to/#/%23somewhere%3Aexample.org", Link(ALIAS), False),
        ("https://matrix.to/#/%21somewhere%3Aexample.org?via=elsewhere.ca", Link(ROOM, via=VIA), False),
        (
            "https://matrix.to/#/%21somewhere%3Aexample.org/%24event%3Aexample.org?via=elsewhere.ca",
            Link(ROOM, "$event:example.org", VIA),
            False,
        ),
        ("https://matrix.to/#/%40alice%3Aexample.org", Link(ALICE), False),
        ("https://matrix.to/#/#somewhere:example.org", Link(ALIAS), False),
        ("https://matrix.to/#/!somewhere:example.org/$a/b", Link(ROOM, "$a/b"), False),
        ("https://matrix.to/#/!somewhere:example.org/", Link(ROOM), False),
    ],
)
def test_the_examples_of_matrix_to(uri: str, link: Link, written: bool) -> None:
    assert parse_uri(uri) == link
    assert (matrix_to(link) == uri) is written


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("MATRIX:u/alice:example.org", Link(ALICE)),
        ("matrix://authority/u/alice:example.org#fragment", Link(ALICE)),
        ("matrix:user/alice:example.org", Link(ALICE)),
        ("matrix:room/somewhere:example.org/event/x", Link(ALIAS, "$x")),
        ("matrix:u/alice:example.org?action=join", Link(ALICE)),
        ("matrix:r/somewhere:example.org?action=chat&via=&via=a%20b&via=x:80", Link(ALIAS, via=("x:80",))),
        ("matrix:r/somewhere:example.org?action=join", Link(ALIAS, action="join")),
        ("matrix:r/%C3%A9%2Fx:example.org", Link("#é/x:example.org")),
    ],
)
def test_what_is_read_leniently(uri: str, link: Link) -> None:
    assert parse_uri(uri) == link


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://example.org/#/@alice:example.org",
        "https://matrix.to/@alice:example.org",
        "https://matrix.to/#/",
        "https://matrix.to/#/alice",
        "https://matrix.to/#/+group:example.org",
        "https://matrix.to/#/@alice:example.org/$event",
        "https://matrix.to/#/!somewhere:example.org/event",
        "matrix:",
        "matrix:u",
        "matrix:u/",
        "matrix:x/alice:example.org",
        "matrix:u/alice",
        "matrix:u/alice:example.org/e/event",
        "matrix:roomid/somewhere:example.org/x/event",
        "matrix:roomid/somewhere:example.org/e",
        "matrix:roomid/somewhere:example.org/e/event/more",
    ],
)
def test_what_is_no_link(uri: str) -> None:
    assert parse_uri(uri) is None


NAMES = st.text(st.characters(exclude_characters=":\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
TARGETS = st.builds(lambda sigil, name: f"{sigil}{name}:x.org:80", st.sampled_from("@#!"), NAMES)
VIAS = st.lists(st.sampled_from(["a.org", "[::1]:80", "1.2.3.4"]), max_size=3).map(tuple)


@given(TARGETS, st.none() | NAMES.map("${}".format), VIAS, st.booleans())
def test_what_is_written_is_read(target: str, event_id: str | None, via: tuple[str, ...], asks: bool) -> None:
    assert is_user_id(target) or is_room_id(target) or is_room_alias(target)
    if target[0] == "@":
        event_id = None
    assert event_id is None or is_event_id(event_id)
    link = Link(target, event_id, via)
    assert parse_uri(matrix_to(link)) == link
    asking = Link(target, event_id, via, ("chat" if target[0] == "@" else "join") if asks else None)
    assert parse_uri(matrix_uri(asking)) == asking


@given(st.sampled_from(["matrix:", "https://matrix.to/#/"]), st.text(max_size=30))
def test_nothing_raises(start: str, rest: str) -> None:
    parse_uri(start + rest)

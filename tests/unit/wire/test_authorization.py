"""The grammar of the X-Matrix header. Server-Server API, "Request Authentication"; RFC 9110, 11.4."""
# ruff: noqa: E501 (headers are one line)

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.wire import RequestRefused, XMatrix, format_authorization, parse_authorization

CLAIMS = XMatrix("origin.hs.example.com", "destination.hs.example.com", "ed25519:key1", "ABCDEF")


@pytest.mark.parametrize(
    "header",
    [
        # The spec's own example.
        'X-Matrix origin="origin.hs.example.com",destination="destination.hs.example.com",key="ed25519:key1",sig="ABCDEF"',
        # Scheme and names in any case, several spaces, any order.
        'x-matrix   KEY="ed25519:key1",SIG=ABCDEF,Destination=destination.hs.example.com,origin=origin.hs.example.com',
        # White space around commas and (RFC 9110's BWS) around the equals sign; colons without quotes.
        "X-Matrix origin=origin.hs.example.com ,\t destination = destination.hs.example.com, key=ed25519:key1 , sig=ABCDEF",
        # Backslash pairs are unescaped.
        r'X-Matrix origin="origin.hs.example.co\m",destination="destination.hs.example.com",key="ed25519\:key1",sig="ABC\DEF"',
        # Unknown parameters are ignored, empty list elements skipped, a comma within quotes is text.
        'X-Matrix ,origin=origin.hs.example.com,,destination="destination.hs.example.com",a="b,c=\\"d\\"",key="ed25519:key1",sig="ABCDEF",',
    ],
)
def test_the_same_claims_in_every_allowed_spelling(header: str) -> None:
    assert parse_authorization(header) == CLAIMS


def test_an_old_server_leaves_the_destination_out() -> None:
    assert parse_authorization('X-Matrix origin=a.org,key="ed25519:1",sig="x+/"') == XMatrix(
        "a.org", None, "ed25519:1", "x+/"
    )


@pytest.mark.parametrize(
    "header",
    [
        "",
        "X-Matrix",
        "Bearer abc",
        "X-Matrixorigin=a.org,key=k:1,sig=s",
        "X-Matrix\torigin=a.org,key=k:1,sig=s",
        "X-Matrix origin=a.org,key=k:1",
        "X-Matrix origin=a.org,sig=s",
        "X-Matrix key=k:1,sig=s",
        "X-Matrix origin=a.org key=k:1 sig=s",
        "X-Matrix origin=a.org,key=k:1,sig=",
        'X-Matrix origin="a.org,key="k:1",sig="s"',
        'X-Matrix origin="a.org,key=k:1,sig=s',
        "X-Matrix origin=a.org,origin=b.org,key=k:1,sig=s",
        "X-Matrix origin=a.org,ORIGIN=a.org,key=k:1,sig=s",
        "X-Matrix origin=a.org,key=k:1,sig=a/b",
        "X-Matrix origin=not_a_server,key=k:1,sig=s",
        "X-Matrix origin=a.org,destination=,key=k:1,sig=s",
        'X-Matrix origin=a.org,destination="",key=k:1,sig=s',
        'X-Matrix origin=a.org,destination="b org",key=k:1,sig=s',
        'X-Matrix origin=a.org,key=k:1,sig="a\x00b"',
        "X-Matrix origin=a.org,key=k:1,sig=s,pad=" + "x" * 5000,
    ],
)
def test_what_breaks_the_grammar_is_refused(header: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse_authorization(header)
    answer = refused.value.to_matrix()
    assert (answer.status, answer.errcode) == (401, "M_UNAUTHORIZED")


def test_what_we_send_is_readable_for_old_servers() -> None:
    # One space, lower case, no white space around commas, no backslashes.
    assert format_authorization(CLAIMS) == (
        'X-Matrix origin="origin.hs.example.com",destination="destination.hs.example.com",'
        'key="ed25519:key1",sig="ABCDEF"'
    )


@given(
    st.from_regex(r"[a-z0-9]{1,20}(\.[a-z]{2,5})?(:[0-9]{1,5})?", fullmatch=True),
    st.from_regex(r"ed25519:[A-Za-z0-9_]{1,20}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9+/]{1,86}", fullmatch=True),
)
def test_what_is_formatted_parses_back(server: str, key_id: str, signature: str) -> None:
    claims = XMatrix(server, "b.org", key_id, signature)
    assert parse_authorization(format_authorization(claims)) == claims


@given(st.text(max_size=200))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        parse_authorization("X-Matrix " + text)
    except RequestRefused:
        return
    # What was accepted has the three needed names in it.
    assert all(name in text.lower() for name in ("origin", "key", "sig"))

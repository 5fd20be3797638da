"""The X-Matrix check: signed, altered, expired, for somebody else."""

import json
from dataclasses import replace
from typing import Any

import pytest
from plexus.protocol.errors import BadJson, NotJson
from plexus.protocol.signatures import SigningKey
from plexus.wire import (
    RemoteKey,
    RequestRefused,
    SignedRequest,
    XMatrix,
    check_request,
    parse_authorization,
    sign_request,
)

HERE, THERE = "here.example.org", "there.example.org:8448"
KEY = SigningKey("ed25519:a_1", bytes(range(32)))
OTHER = SigningKey("ed25519:a_1", bytes(range(1, 33)))
VALID_UNTIL = 1_700_000_000_000
KNOWN = RemoteKey(THERE, KEY.verify_key, VALID_UNTIL)
URI = "/_matrix/federation/v1/send/txn%201?a=%C3%A9"
CONTENT: dict[str, Any] = {"pdus": [], "edus": [{"content": {"é": 1}}], "origin": THERE}


def signed(
    method: str = "PUT", uri: str = URI, destination: str = HERE, content: dict[str, Any] | None = CONTENT
) -> tuple[SignedRequest, XMatrix]:
    header = sign_request(method, uri, origin=THERE, destination=destination, key=KEY, content=content)
    body = b"" if content is None else json.dumps(content, indent=1).encode()
    return SignedRequest(method, uri, body), parse_authorization(header)


def check(
    request: SignedRequest, claims: XMatrix, key: RemoteKey | None = KNOWN, now_ms: int = VALID_UNTIL - 1
) -> dict[str, Any] | None:
    return check_request(request, claims, key, server_name=HERE, now_ms=now_ms)


def test_a_signed_request_is_who_it_says_and_its_body_is_parsed_once() -> None:
    assert check(*signed()) == CONTENT


def test_a_request_without_a_body_signs_no_content() -> None:
    assert check(*signed("GET", "/_matrix/federation/v1/version", content=None)) is None


def test_a_server_of_before_v1_3_names_no_destination_but_signs_it() -> None:
    request, claims = signed()
    assert check(request, replace(claims, destination=None)) == CONTENT
    elsewhere, claims = signed(destination="elsewhere.org")
    with pytest.raises(RequestRefused):
        check(elsewhere, replace(claims, destination=None))


@pytest.mark.parametrize(
    "alter",
    [
        lambda request: replace(request, method="POST"),
        lambda request: replace(request, uri=request.uri.replace("%20", "+")),
        lambda request: replace(request, uri=request.uri.partition("?")[0]),
        lambda request: replace(request, uri=request.uri + "&b=1"),
        lambda request: replace(request, body=b""),
        lambda request: replace(request, body=b"{}"),
        lambda request: replace(request, body=request.body.replace(b"pdus", b"pduz")),
        lambda request: replace(request, body=json.dumps({**CONTENT, "x": 1.5}).encode()),
    ],
    ids=["method", "path", "no query", "more query", "no body", "empty body", "altered body", "float added"],
)
def test_an_altered_request_is_refused(alter: Any) -> None:
    request, claims = signed()
    check(request, claims)
    with pytest.raises(RequestRefused, match="signature"):
        check(alter(request), claims)


def test_altered_claims_are_refused() -> None:
    request, claims = signed()
    flipped = ("B" if claims.signature[0] == "A" else "A") + claims.signature[1:]
    for wrong in (flipped, claims.signature[:-4], "", "é", "!" * 86):
        with pytest.raises(RequestRefused):
            check(request, replace(claims, signature=wrong))
    with pytest.raises(RequestRefused, match="not known"):
        check(request, replace(claims, origin="other.org"))
    with pytest.raises(RequestRefused, match="not known"):
        check(request, replace(claims, key_id="ed25519:a_2"))


def test_a_key_expires_by_the_clock_that_is_given() -> None:
    request, claims = signed()
    assert check(request, claims, now_ms=VALID_UNTIL) == CONTENT
    with pytest.raises(RequestRefused, match="expired"):
        check(request, claims, now_ms=VALID_UNTIL + 1)


def test_a_retired_key_signs_no_requests_however_long_it_was_valid() -> None:
    with pytest.raises(RequestRefused, match="expired"):
        check(*signed(), key=replace(KNOWN, expired_ts=VALID_UNTIL + 10))


def test_an_unknown_key_and_another_key_of_the_same_name_are_refused() -> None:
    with pytest.raises(RequestRefused, match="not known"):
        check(*signed(), key=None)
    with pytest.raises(RequestRefused, match="signature"):
        check(*signed(), key=replace(KNOWN, verify_key=OTHER.verify_key))


def test_a_request_for_another_server_is_refused_with_401() -> None:
    with pytest.raises(RequestRefused, match="not for") as refused:
        check(*signed(destination="elsewhere.org"))
    assert refused.value.to_matrix().status == 401


def test_nobody_speaks_in_our_name() -> None:
    request, claims = signed()
    with pytest.raises(RequestRefused, match="itself"):
        check(request, replace(claims, origin=HERE), key=replace(KNOWN, server_name=HERE))


@pytest.mark.parametrize(("body", "error"), [(b"{", NotJson), (b"[]", BadJson), (b'"\\ud800"', NotJson)])
def test_a_body_that_is_no_json_object_is_said_to_be_so(body: bytes, error: type[Exception]) -> None:
    request, claims = signed()
    with pytest.raises(error):
        check(replace(request, body=body), claims)


def test_a_body_with_floats_is_proven_as_older_servers_sign_it() -> None:
    content = {"edus": [{"content": {"speed": 1.5, "big": 2**60}}]}
    message = {"method": "PUT", "uri": URI, "origin": THERE, "destination": HERE, "content": content}
    raw = json.dumps(message, sort_keys=True, separators=(",", ":")).encode()
    claims = XMatrix(THERE, HERE, KEY.key_id, KEY.sign(raw))
    request = SignedRequest("PUT", URI, json.dumps(content).encode())
    assert check(request, claims) == content
    with pytest.raises(RequestRefused):
        check(replace(request, body=request.body.replace(b"1.5", b"1.6")), claims)


def test_we_never_sign_what_canonical_json_does_not_know() -> None:
    with pytest.raises(BadJson):
        sign_request("PUT", URI, origin=HERE, destination=THERE, key=KEY, content={"a": 0.5})

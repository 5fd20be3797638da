"""plexus.protocol.hashes"""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

import canonicaljson
import pytest
from plexus.protocol import ROOM_VERSIONS, RoomVersion, get_room_version
from plexus.protocol.errors import BadHash
from plexus.protocol.hashes import (
    check_content_hash,
    content_hash,
    decode_base64,
    encode_base64,
    event_id_of,
    reference_hash,
)

MINIMAL: dict[str, Any] = {
    "room_id": "!x:domain",
    "sender": "@a:domain",
    "origin": "domain",
    "origin_server_ts": 1000000,
    "signatures": {},
    "hashes": {},
    "type": "X",
    "content": {},
    "prev_events": [],
    "auth_events": [],
    "depth": 3,
    "unsigned": {"age_ts": 1000000},
}
REDACTABLE: dict[str, Any] = {
    "content": {"body": "Here is the message content"},
    "event_id": "$0:domain",
    "origin": "domain",
    "origin_server_ts": 1000000,
    "type": "m.room.message",
    "room_id": "!r:domain",
    "sender": "@u:domain",
    "signatures": {},
    "unsigned": {"age_ts": 1000000},
}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"f", "Zg"),
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"foob", "Zm9vYg"),
        (b"fooba", "Zm9vYmE"),
        (b"foobar", "Zm9vYmFy"),
    ],
)
def test_base64_of_the_appendix(data: bytes, text: str) -> None:
    assert encode_base64(data) == text
    assert decode_base64(text) == data
    assert decode_base64(text + "=" * (-len(text) % 4)) == data


def test_base64_takes_both_alphabets_and_nothing_else() -> None:
    assert decode_base64("-_8") == decode_base64("+/8") == b"\xfb\xff"
    for wrong in ("Zm 9v", "Zm9v!", "Z", "é"):
        with pytest.raises(ValueError, match="base64"):
            decode_base64(wrong)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (MINIMAL, "5jM4wQpv6lnBo7CLIghJuHdW+s2CMBJPUOGOC89ncos"),
        (REDACTABLE, "onLKD1bGljeBWQhWZ1kaP9SorVmRQNdN5aM2JYU2n/g"),
    ],
)
def test_content_hashes_of_the_appendix(event: dict[str, Any], expected: str) -> None:
    assert encode_base64(content_hash(event)) == expected
    hashed = {**event, "hashes": {"sha256": expected}}
    check_content_hash(hashed)
    with pytest.raises(BadHash):
        check_content_hash({**hashed, "content": {"body": "another"}})
    with pytest.raises(BadHash):
        check_content_hash(event)


@pytest.mark.parametrize("number", [1.5, 1e16, 1e-7, 2**63, 10**30])
def test_the_content_hash_of_an_old_room_is_over_what_python_prints(number: float) -> None:
    event = {**REDACTABLE, "content": {"body": number}}
    covered = {key: value for key, value in event.items() if key not in ("signatures", "unsigned", "hashes")}
    theirs = sha256(canonicaljson.encode_canonical_json(covered)).digest()
    assert content_hash(event) == theirs
    check_content_hash({**event, "hashes": {"sha256": encode_base64(theirs)}})


def test_what_nobody_can_print_has_no_hash() -> None:
    event = {**REDACTABLE, "content": {"body": float("inf")}, "hashes": {"sha256": "h" * 43}}
    with pytest.raises(BadHash):
        check_content_hash(event)


def test_how_each_version_names_an_event() -> None:
    # Known bytes, so that the hash holds both letters in which the alphabets differ.
    event = {**REDACTABLE, "hashes": {"sha256": "h"}, "depth": 8}
    digest = reference_hash(get_room_version("3"), event)
    named = {version: event_id_of(rules, event) for version, rules in ROOM_VERSIONS.items()}
    assert named["1"] == named["2"] == "$0:domain"
    assert named["3"] == "$" + b64encode(digest).decode().rstrip("=")
    assert {"+", "/"} <= set(named["3"])
    url_safe = "$" + urlsafe_b64encode(digest).decode().rstrip("=")
    assert [named[version] for version in ("4", "5", "6", "7", "8", "9", "10")] == [url_safe] * 7
    # From version 11 on a redaction takes ``origin`` away, so it is not in the hash.
    without = {key: value for key, value in event.items() if key != "origin"}
    assert named["11"] == named["12"] == event_id_of(get_room_version("10"), without) != url_safe


def test_a_given_id_must_be_there() -> None:
    with pytest.raises(KeyError):
        event_id_of(get_room_version("1"), MINIMAL)


def test_the_reference_hash_covers_the_redacted_form_only(version: RoomVersion) -> None:
    event = {**REDACTABLE, "hashes": {"sha256": "h"}}
    covered = reference_hash(version, event)
    assert (
        reference_hash(version, {**event, "content": {}, "unsigned": {}, "signatures": {"x": {}}}) == covered
    )
    assert reference_hash(version, {**event, "hashes": {"sha256": "i"}}) != covered
    assert reference_hash(version, {**event, "depth": 1}) != covered
    # Whether it names the event or not, no redaction takes an ``event_id`` away.
    assert reference_hash(version, {**event, "event_id": "$1:domain"}) != covered

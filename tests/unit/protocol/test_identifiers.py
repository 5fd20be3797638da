"""plexus.protocol.identifiers"""

from __future__ import annotations

import pytest
from plexus.protocol import identifiers as ids
from plexus.protocol.errors import InvalidParam

HASH = "Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"


@pytest.mark.parametrize(
    "name",
    [
        "matrix.org",
        "matrix.org:8888",
        "1.2.3.4",
        "1.2.3.4:1234",
        "[1234:5678::abcd]",
        "[1234:5678::abcd]:5678",
        "localhost",
        "MATRIX.org",
    ],
)
def test_server_names_of_the_specification(name: str) -> None:
    assert ids.is_server_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ":80",
        "a:",
        "a:b",
        "a:123456",
        "1.2.3.256",
        "[::1",
        "[::1]x",
        "[::1]:",
        "a_b",
        "a b",
        "a/b",
        "é.org",
    ],
)
def test_not_server_names(name: str) -> None:
    assert not ids.is_server_name(name)


def test_new_user_ids_are_strict_and_old_ones_are_accepted() -> None:
    assert ids.make_user_id("a.b_c=d-e/f+1", "x:8448") == "@a.b_c=d-e/f+1:x:8448"
    for localpart in ("", "Alice", "é", "a b", "a:b", "a*"):
        assert not ids.is_valid_new_localpart(localpart)
        with pytest.raises(InvalidParam):
            ids.make_user_id(localpart, "x")
    for user_id in ("@Alice:x", "@é:x", "@:x", "@a b:x:80", "@\x01:x"):
        assert ids.is_user_id(user_id)
        assert not ids.is_strict_user_id(user_id)
    assert ids.is_compliant_user_id("@Alice:x")
    assert not ids.is_compliant_user_id("@:x")
    assert not ids.is_compliant_user_id("@é:x")


@pytest.mark.parametrize(
    "user_id", ["", "alice:x", "@alice", "@al\0ice:x", "@\ud800:x", "@a:", "#a:x", 7, None]
)
def test_not_user_ids(user_id: object) -> None:
    assert not ids.is_user_id(user_id)
    with pytest.raises(InvalidParam):
        ids.check_user_id(user_id)


def test_the_limit_is_in_bytes() -> None:
    assert ids.is_user_id("@" + "a" * 252 + ":x")
    assert not ids.is_user_id("@" + "a" * 253 + ":x")
    assert ids.is_user_id("@" + "é" * 126 + ":x")
    assert not ids.is_user_id("@" + "é" * 127 + ":x")


def test_room_ids_with_and_without_domain() -> None:
    assert ids.parse_room_id("!abc:x:80") == ("abc", "x:80")
    assert ids.parse_room_id("!" + HASH) == (HASH, None)
    for room_id in ("!", "!abc", "!:x", "#abc:x", "!" + HASH[:-1], "!" + HASH[:-1] + "+"):
        assert not ids.is_room_id(room_id)


def test_aliases_and_event_ids() -> None:
    assert ids.parse_room_alias("#room é:x") == ("room é", "x")
    assert not ids.is_room_alias("#:x")
    assert ids.is_event_id("$" + HASH)
    assert ids.is_hash_event_id("$" + HASH)
    assert ids.is_event_id("$old:x")
    assert not ids.is_hash_event_id("$old:x")
    for event_id in ("$", "", "abc", "$" + "a" * 255, None):
        assert not ids.is_event_id(event_id)


def test_parts() -> None:
    assert ids.localpart_of("@alice:x:80") == "alice"
    assert ids.server_of("@alice:x:80") == "x:80"
    with pytest.raises(InvalidParam):
        ids.server_of("!" + HASH)


def test_opaque_and_device_ids() -> None:
    assert ids.is_opaque_id("aZ09-._~")
    assert not ids.is_opaque_id("")
    assert not ids.is_opaque_id("a b")
    assert not ids.is_opaque_id("a" * 256)
    assert ids.is_device_id("My phone")
    for device_id in ("", "a\0b", "a" * 256, 5):
        assert not ids.is_device_id(device_id)

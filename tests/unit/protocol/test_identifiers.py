"""plexus.protocol.identifiers"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
        "[::ffff:1.2.3.4]:1",
        "1.2.3.4.5",
        "a" * 255,
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
        "[1::2::3]",
        "[12345::]",
        "[1:2:3]",
        "[::1]:123456",
        "[fe80::1%eth0]",
        "1.2.3.4:",
        "a:٣",
        "a" * 256,
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
    for device_id in ("", "a\0b", "a" * 256, 5, ids.NO_DEVICE):
        assert not ids.is_device_id(device_id)


HOSTS = st.one_of(
    st.from_regex(r"[0-9A-Za-z.-]{1,40}", fullmatch=True).filter(ids.is_server_name),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
PORTS = st.none() | st.integers(0, 99999)
HISTORICAL = st.text(st.characters(exclude_characters=":\0", exclude_categories=["Cs"]), max_size=40)


def server(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"


@given(HOSTS, PORTS)
def test_server_names_fall_into_host_and_port(host: str, port: int | None) -> None:
    name = server(host, port)
    assert ids.is_server_name(name)
    assert ids.split_server_name(name) == (host, port)


@pytest.mark.parametrize("host", ["1.2.3.4", "[::1]", "[::ffff:1.2.3.4]"])
def test_ip_literals(host: str) -> None:
    assert ids.is_ip_literal(host)


@pytest.mark.parametrize("host", ["1.2.3", "1.2.3.4.5", "a.1.2.3", "localhost", "1.2.3.4a"])
def test_names_that_are_no_ip_literals(host: str) -> None:
    assert not ids.is_ip_literal(host)


@given(HISTORICAL, HOSTS, PORTS)
def test_what_has_a_localpart_falls_into_its_parts(localpart: str, host: str, port: int | None) -> None:
    name = server(host, port)
    fits = len(f"@{localpart}:{name}".encode()) <= 255
    assert ids.parse_user_id(f"@{localpart}:{name}") == ((localpart, name) if fits else None)
    expected = (localpart, name) if fits and localpart else None
    assert ids.parse_room_id(f"!{localpart}:{name}") == expected
    assert ids.parse_room_alias(f"#{localpart}:{name}") == expected
    assert ids.parse_event_id(f"${localpart}:{name}") == expected
    if fits:
        assert ids.localpart_of(f"@{localpart}:{name}") == localpart
        assert ids.server_of(f"@{localpart}:{name}") == name


@given(st.text(max_size=12), st.sampled_from("@!#$"), st.text("ab:\0\ud800é", max_size=6))
def test_nothing_is_taken_for_two_kinds_and_nothing_raises(start: str, sigil: str, rest: str) -> None:
    text = start + sigil + rest
    kinds = (ids.is_user_id, ids.is_room_id, ids.is_room_alias, ids.is_event_id)
    assert sum(kind(text) for kind in kinds) <= 1


@given(st.from_regex(r"[a-z0-9._=\-/+]{1,60}", fullmatch=True), HOSTS)
def test_new_users_are_users(localpart: str, host: str) -> None:
    user_id = ids.make_user_id(localpart, host)
    assert ids.parse_user_id(user_id) == (localpart, host)
    assert ids.is_strict_user_id(user_id) and ids.is_compliant_user_id(user_id)


def test_event_ids_of_each_format() -> None:
    # The examples of room versions 1, 3 and 4.
    first, third = "$1:domain.com", "$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk"
    fourth = "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"
    assert [ids.parse_event_id(each) for each in (first, third, fourth)] == [("1", "domain.com"), None, None]
    assert [ids.is_old_hash_event_id(each) for each in (first, third, fourth)] == [False, True, False]
    assert [ids.is_hash_event_id(each) for each in (first, third, fourth)] == [False, False, True]
    assert all(ids.is_event_id(each) for each in (first, third, fourth))


def test_limits_count_bytes_in_every_kind() -> None:
    for sigil, kind in (
        ("@", ids.is_user_id),
        ("!", ids.is_room_id),
        ("#", ids.is_room_alias),
        ("$", ids.is_event_id),
    ):
        assert kind(sigil + "é" * 126 + ":x")
        assert not kind(sigil + "é" * 126 + ":xy" + "z")


@pytest.mark.parametrize("name", ["m.room", "com.example.id", "a", "a-b_c.1", "x" * 255])
def test_namespaced_ids(name: str) -> None:
    assert ids.is_namespaced_id(name)


@pytest.mark.parametrize("name", ["", "1a", ".a", "_a", "A", "a b", "aé", "x" * 256, "a\n"])
def test_not_namespaced_ids(name: str) -> None:
    assert not ids.is_namespaced_id(name)

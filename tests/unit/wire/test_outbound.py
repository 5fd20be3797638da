"""Whom outgoing requests trust, and where they may lead."""

from __future__ import annotations

import socket
import ssl
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from plexus.platform.clock import SystemClock
from plexus.platform.context import Platform
from plexus.platform.settings import Settings, SettingsError
from plexus.wire import AddressGuard, AddressRefused, MemoryRemoteKeys, Wire

from tests.unit.platform.certificates import write_certificate


def wire(**outbound: Any) -> Wire:
    settings = Settings.model_validate({"server_name": "here.org", "outbound": outbound})
    platform = SimpleNamespace(settings=settings, clock=SystemClock(), keys=None)
    return Wire(cast(Platform, platform), remote_keys=MemoryRemoteKeys())


@pytest.mark.parametrize("address", ["8.8.8.8", "172.15.255.255", "172.32.0.0", "192.167.255.255", "1.0.0.0"])
def test_public_addresses(address: str) -> None:
    guard = AddressGuard()
    assert guard.permits(address)
    assert guard.permits(f"::ffff:{address}")
    assert guard.permits(f"64:ff9b::{address}")
    assert guard.permits("2a00:1450:4001:800::200e")


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.1.1",
        "239.1.1.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:a00:1",
        "64:ff9b::192.168.0.1",
        "64:ff9b:1::1",
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "2001:0:1:2:3:4:5:6",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not AddressGuard().permits(address)
    with pytest.raises(AddressRefused) as refused:
        AddressGuard().check("evil.org", [address])
    assert address not in str(refused.value)
    assert refused.value.to_matrix().status == 502


def test_what_is_allowed_is_reached_and_nothing_beside_it() -> None:
    guard = AddressGuard([ip_network("10.1.0.0/16"), ip_network("fd00::/8")])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd12::1", "8.8.8.8"):
        assert guard.permits(address)
    for address in ("10.2.0.0", "::ffff:10.2.0.0", "fc00::1", "127.0.0.1"):
        assert not guard.permits(address)


def test_of_several_addresses_the_reachable_ones_are_left() -> None:
    guard = AddressGuard()
    resolved = ["127.0.0.1", "8.8.4.4", "::1", "2a00::1"]
    assert guard.check("half.org", resolved) == ["8.8.4.4", "2a00::1"]
    with pytest.raises(AddressRefused):
        guard.check("nowhere.org", [])
    with pytest.raises(ValueError):
        guard.permits("localhost")


@pytest.mark.parametrize("literal", ["127.0.0.1", "0177.0.0.1", "2130706433", "0x7f.1", "localhost"])
def test_whatever_the_resolver_makes_of_a_name_is_seen(literal: str) -> None:
    found = {str(each[4][0]) for each in socket.getaddrinfo(literal, 8448, type=socket.SOCK_STREAM)}
    assert found
    with pytest.raises(AddressRefused):
        wire().outbound.addresses.check(literal, found)
    allowing = wire(allowed_private_ranges=["127.0.0.0/8", "::1/128"]).outbound
    assert set(allowing.addresses.check(literal, found)) == found


def handshake(client: ssl.SSLContext, folder: Path, name: str) -> None:
    """In memory, with a server that has the certificate in ``folder``; raises what the client finds."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname=name)
    theirs = server.wrap_bio(there, back, server_side=True)
    waiting = [ours, theirs]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            return
    raise AssertionError("the handshake does not end")


def test_extra_authorities_are_trusted_and_names_still_checked(tmp_path: Path) -> None:
    write_certificate(tmp_path, "one of ours")
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
        handshake(wire().outbound.tls, tmp_path, "localhost")
    trusting = wire(extra_ca=str(tmp_path / "tls.crt")).outbound.tls
    handshake(trusting, tmp_path, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(trusting, tmp_path, "elsewhere.org")


def test_the_systems_authorities_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("system", "extra"):
        (tmp_path / name).mkdir()
        write_certificate(tmp_path / name, name)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system" / "tls.crt"))
    handshake(wire().outbound.tls, tmp_path / "system", "localhost")
    both = wire(extra_ca=str(tmp_path / "extra" / "tls.crt")).outbound.tls
    handshake(both, tmp_path / "system", "localhost")
    handshake(both, tmp_path / "extra", "localhost")
    assert both.minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_of_authorities_that_is_none_stops_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=r"outbound\.extra_ca"):
        wire(extra_ca=str(path))

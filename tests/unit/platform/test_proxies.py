"""The client's true address: read from the right, through trusted proxies only."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from plexus.platform.http.proxies import TrustedProxies

NETWORKS = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        # What the client itself claims stands on the left, and is not looked at.
        ("1.1.1.1, 203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7, 10.2.3.4", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("10.9.9.9", "10.9.9.9"),
        ("203.0.113.7, unknown", "10.0.0.1"),
        ("203.0.113.7, nonsense, 10.2.3.4", "10.2.3.4"),
        ("", "10.0.0.1"),
    ],
)
def test_x_forwarded_for(header: str, client: str) -> None:
    headers = [(b"x-forwarded-for", header.encode())] if header else []
    assert TrustedProxies(NETWORKS).client("10.0.0.1", headers) == client


def test_several_headers_are_one_list() -> None:
    headers = [(b"x-forwarded-for", b"1.1.1.1"), (b"a", b"b"), (b"x-forwarded-for", b"203.0.113.7, 10.1.1.1")]
    assert TrustedProxies(NETWORKS).client("10.0.0.1", headers) == "203.0.113.7"


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("for=203.0.113.7", "203.0.113.7"),
        ('proto=https;For="[2001:db8::1]:80";by=10.1.1.1', "2001:db8::1"),
        ("for=1.1.1.1, for=203.0.113.7, for=10.2.2.2", "203.0.113.7"),
        ("for=_hidden", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
    ],
)
def test_forwarded(header: str, client: str) -> None:
    proxies = TrustedProxies(NETWORKS, forwarded=True)
    # The header of the other kind may be the client's own.
    headers = [(b"x-forwarded-for", b"9.9.9.9"), (b"forwarded", header.encode())]
    assert proxies.client("10.0.0.1", headers) == client


def test_trust() -> None:
    proxies = TrustedProxies(NETWORKS)
    assert proxies.trusts("10.255.0.1")
    assert proxies.trusts("::ffff:10.0.0.1")
    assert proxies.trusts("fd00::1")
    assert not proxies.trusts("11.0.0.1")
    assert not proxies.trusts("")
    assert not TrustedProxies([]).trusts("127.0.0.1")

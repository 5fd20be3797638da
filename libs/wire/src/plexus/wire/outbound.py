"""What every request to others is made with: whose certificates we trust, and where it may lead.

Where a request goes is said by others: a server name in an event, a delegation, a pusher's URL, a link to
preview. So none may reach what only we can reach: `AddressGuard` sees the addresses that a name was resolved
to, and the caller connects to those that it returns, never to the name again, which may resolve to another
address by then. A literal goes through the resolver like a name: ``0177.0.0.1`` is an address to it too.

`outbound` makes both from the settings; `plexus.wire.client` sends the requests.

IANA's registries of special-purpose addresses (RFC 6890); RFC 4291, RFC 6052, RFC 3056 for addresses within
addresses.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

from plexus.platform.settings import OutboundSettings, SettingsError
from plexus.wire.errors import AddressRefused

Network = IPv4Network | IPv6Network

# A table of our own: what the standard library calls global differs between its patch releases.
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' own
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local: clouds tell a machine its secrets at 169.254.169.254
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/96",  # this host, loopback, and the IPv4-compatible addresses of old
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",  # protocols' own, Teredo among them
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressGuard:
    """``allowed``: networks that may be reached although they are not public."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def permits(self, address: str | IPv4Address | IPv6Address) -> bool:
        """Whether a request may go to this address; `ValueError` for what is none.

        Of an address that leads to an IPv4 address (mapped, NAT64, 6to4) the IPv4 address counts.
        """
        target = _target(ip_address(address))
        return _within(target, self._allowed) or not _within(target, _NOT_PUBLIC)

    def check(self, name: str, addresses: Iterable[str]) -> list[str]:
        """Of the addresses that ``name`` was resolved to, those to connect to, in their order;
        `AddressRefused` if there is none.
        """
        resolved = list(addresses)
        permitted = [address for address in resolved if self.permits(address)]
        if not permitted:
            # Not which addresses: the answer may reach who asked, and is none of their business.
            raise AddressRefused(f"{name} has no address that may be reached")
        return permitted


def client_tls(extra_ca: Path | None = None) -> ssl.SSLContext:
    """The context of outgoing connections: the system's authorities and those of the PEM file ``extra_ca``;
    names are checked. Raises OSError (``ssl.SSLError`` is one) if the file cannot be read.
    """
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if extra_ca is not None:
        context.load_verify_locations(cafile=extra_ca)
    return context


@dataclass(frozen=True, slots=True)
class Outbound:
    """What an outgoing request takes."""

    tls: ssl.SSLContext
    addresses: AddressGuard


def outbound(settings: OutboundSettings) -> Outbound:
    """From the settings; `SettingsError` if the file of authorities is none."""
    try:
        tls = client_tls(settings.extra_ca)
    except OSError as error:
        problem = (
            f"outbound.extra_ca: no certificate authorities can be read from {settings.extra_ca}: {error}"
        )
        raise SettingsError([problem]) from None
    return Outbound(tls, AddressGuard(settings.allowed_private_ranges))


def _target(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _within(address: IPv4Address | IPv6Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)

"""The true address of a client behind reverse proxies.

A header is believed only when the peer is a trusted proxy, and is read from the right: each proxy appends
whom it heard from, so the first address that is not one of our proxies is the client, and all to its left is
hearsay.

RFC 7239 for ``Forwarded``; ``X-Forwarded-For`` has no standard.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from plexus.platform.http.hot import Header

_MAX_REMEMBERED = 10_000
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("(?:[^"\\]|\\.)*"|[^;,\s]+)', re.IGNORECASE)


class TrustedProxies:
    def __init__(self, networks: Sequence[IPv4Network | IPv6Network], *, forwarded: bool = False) -> None:
        """``forwarded``: read ``Forwarded`` and not ``X-Forwarded-For``; never both, one of them is
        unguarded.
        """
        self._networks = tuple(networks)
        self._forwarded = forwarded
        self.header = b"forwarded" if forwarded else b"x-forwarded-for"
        self._remembered: dict[str, bool] = {}

    def trusts(self, address: str) -> bool:
        known = self._remembered.get(address)
        if known is None:
            parsed = _parse(address)
            known = parsed is not None and any(
                parsed.version == network.version and parsed in network for network in self._networks
            )
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[address] = known
        return known

    def client(self, peer: str, headers: Iterable[Header]) -> str:
        """The client's address. ``peer`` is whom the connection comes from, a trusted proxy."""
        nearest = peer
        for hop in reversed(self._hops(headers)):
            address = _address_of(hop)
            if address is None:
                # "unknown", an obfuscated name or nonsense: the last address that a proxy of ours vouched
                # for.
                return nearest
            nearest = address
            if not self.trusts(nearest):
                return nearest
        return nearest

    def _hops(self, headers: Iterable[Header]) -> list[str]:
        text = b",".join([value for key, value in headers if key == self.header]).decode("latin-1")
        if not text:
            return []
        elements = [element.strip() for element in text.split(",")]
        if not self._forwarded:
            return elements
        found = []
        for element in elements:
            match = _FOR.search(element)
            found.append(match[1].strip('"') if match else "")
        return found


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    if text.count(":") == 1:
        return text.partition(":")[0]
    return text


@lru_cache(_MAX_REMEMBERED)
def _address_of(hop: str) -> str | None:
    parsed = _parse(_without_port(hop))
    return None if parsed is None else str(parsed)


@lru_cache(_MAX_REMEMBERED)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(text)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed

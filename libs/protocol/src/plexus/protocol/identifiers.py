"""Identifiers: users, rooms, aliases, events, servers, devices.

Two grammars for user IDs live side by side. What *we* hand out follows the strict one; what other servers
hand us is accepted under the historical one, because such users exist and their events must keep working.

``is_*`` answers a question, ``check_*`` raises `InvalidParam` (what a client sent us), ``parse_*`` returns
the parts or None.

Appendices, "Identifier Grammar" and "Opaque Identifiers".
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final

from plexus.protocol.errors import InvalidParam

MAX_ID_BYTES = 255
MAX_DEVICE_ID_BYTES = 255
"""The specification sets no limit for device IDs; the opaque identifier grammar's is used."""

_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]{2,45}\]")
_DNS_NAME = re.compile(r"[0-9A-Za-z.-]{1,255}")
_PORT = re.compile(r"[0-9]{1,5}")
_NEW_LOCALPART = re.compile(r"[a-z0-9._=\-/+]+")
_OPAQUE_ID = re.compile(r"[0-9A-Za-z._~-]{1,255}")
_NAMESPACED_ID = re.compile(r"[a-z][a-z0-9._-]{0,254}")
# The reference hash of an event: 32 bytes in unpadded base64.
_HASH_ID = re.compile(r"[A-Za-z0-9_-]{43}")
_OLD_HASH_ID = re.compile(r"[A-Za-z0-9+/]{43}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _within_limit(identifier: str, limit: int = MAX_ID_BYTES) -> bool:
    # Most identifiers are short ASCII; encoding is only needed where bytes and characters can differ.
    if len(identifier) * 4 <= limit:
        return True
    return len(identifier.encode("utf-8", "surrogatepass")) <= limit


@lru_cache(maxsize=4096)
def is_server_name(name: str) -> bool:
    """Whether ``name`` is ``hostname[:port]``; IPv6 literals stand in brackets."""
    if name.startswith("["):
        host, bracket, rest = name.partition("]")
        if not bracket or not _IPV6.fullmatch(host + "]") or not _is_ipv6(host[1:]):
            return False
        return not rest or (rest[0] == ":" and _PORT.fullmatch(rest[1:]) is not None)
    host, colon, port = name.partition(":")
    if colon and not _PORT.fullmatch(port):
        return False
    if _IPV4.fullmatch(host):
        return all(int(part) <= 255 for part in host.split("."))
    return _DNS_NAME.fullmatch(host) is not None


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def split_server_name(name: str) -> tuple[str, int | None]:
    """(host, port or None) of a server name already checked; an IPv6 literal keeps its brackets."""
    if name.startswith("["):
        host, _, rest = name.partition("]")
        return host + "]", int(rest[1:]) if rest else None
    host, colon, port = name.partition(":")
    return host, int(port) if colon else None


def is_ip_literal(host: str) -> bool:
    """Whether a host, without port, is an IPv4 address or an IPv6 address in brackets."""
    return host.startswith("[") or _IPV4.fullmatch(host) is not None


def _split(identifier: str, sigil: str) -> tuple[str, str] | None:
    if identifier[:1] != sigil or not _within_limit(identifier):
        return None
    localpart, colon, server = identifier[1:].partition(":")
    # Neither NUL nor lone surrogates are Unicode text that PostgreSQL or UTF-8 can carry.
    if not colon or "\0" in localpart or _SURROGATE.search(localpart) or not is_server_name(server):
        return None
    return localpart, server


@lru_cache(maxsize=16384)
def parse_user_id(user_id: str) -> tuple[str, str] | None:
    """(localpart, server name) under the historical grammar, or None.

    Appendices, "Historical User IDs": any localpart without ``:`` and NUL, the empty one included.
    """
    return _split(user_id, "@")


def is_user_id(user_id: object) -> bool:
    """Whether this may stand as a ``sender``: the historical grammar."""
    return isinstance(user_id, str) and parse_user_id(user_id) is not None


def is_compliant_user_id(user_id: str) -> bool:
    """Whether the localpart is not empty and within U+0021 to U+007E.

    Others are accepted in events but not passed to clients outside of them.
    """
    parts = parse_user_id(user_id)
    return parts is not None and parts[0] != "" and all("!" <= c <= "~" for c in parts[0])


def is_valid_new_localpart(localpart: str) -> bool:
    """The strict grammar: lower-case letters, digits, ``._=-/+``; not empty.

    The length limit is on the whole user ID; see `make_user_id`.
    """
    return _NEW_LOCALPART.fullmatch(localpart) is not None


def is_strict_user_id(user_id: str) -> bool:
    parts = parse_user_id(user_id)
    return parts is not None and is_valid_new_localpart(parts[0])


def make_user_id(localpart: str, server_name: str) -> str:
    """A user ID for a new account; `InvalidParam` if the grammar or the 255 bytes do not hold."""
    user_id = f"@{localpart}:{server_name}"
    if not is_strict_user_id(user_id):
        raise InvalidParam("A user ID may have only a-z, 0-9 and ._=-/+ and at most 255 bytes")
    return user_id


def parse_room_id(room_id: str) -> tuple[str, str | None] | None:
    """(opaque id, server name or None). Without a domain it is the hash of the create event (room version
    12).
    """
    if _HASH_ID.fullmatch(room_id, 1) and room_id[0] == "!":
        return room_id[1:], None
    parts = _split(room_id, "!")
    return parts if parts is not None and parts[0] else None


def is_room_id(room_id: object) -> bool:
    return isinstance(room_id, str) and parse_room_id(room_id) is not None


def parse_room_alias(alias: str) -> tuple[str, str] | None:
    """(localpart, server name), or None."""
    parts = _split(alias, "#")
    return parts if parts is not None and parts[0] else None


def is_room_alias(alias: object) -> bool:
    return isinstance(alias, str) and parse_room_alias(alias) is not None


def is_event_id(event_id: object) -> bool:
    """Any event ID: ``$`` and up to 254 more bytes, opaque to all but its room version."""
    return (
        isinstance(event_id, str)
        and len(event_id) > 1
        and event_id[0] == "$"
        and "\0" not in event_id
        and _SURROGATE.search(event_id) is None
        and _within_limit(event_id)
    )


def is_hash_event_id(event_id: str) -> bool:
    """Whether this is an event ID of room version 4 and later: the reference hash, URL-safe."""
    return event_id[:1] == "$" and _HASH_ID.fullmatch(event_id, 1) is not None


def is_old_hash_event_id(event_id: str) -> bool:
    """Whether this is an event ID of room version 3: the reference hash in the other base64."""
    return event_id[:1] == "$" and _OLD_HASH_ID.fullmatch(event_id, 1) is not None


def parse_event_id(event_id: str) -> tuple[str, str] | None:
    """(opaque id, server name) of an event ID of room versions 1 and 2, or None."""
    parts = _split(event_id, "$")
    return parts if parts is not None and parts[0] else None


def is_opaque_id(value: str) -> bool:
    """Appendices, "Opaque Identifiers": 1 to 255 of ``0-9 A-Z a-z - . _ ~``."""
    return _OPAQUE_ID.fullmatch(value) is not None


def is_namespaced_id(value: str) -> bool:
    """Appendices, "Common Namespaced Identifier Grammar"."""
    return _NAMESPACED_ID.fullmatch(value) is not None


NO_DEVICE: Final = "org.matrix.msc4140"
"""Stands for a device where the server sends a delayed event; no client may choose it."""


def is_device_id(device_id: object) -> bool:
    """A device ID is an opaque string chosen by a client; it must be storable, not empty and bounded."""
    return (
        isinstance(device_id, str)
        and len(device_id) > 0
        and device_id != NO_DEVICE
        and "\0" not in device_id
        and _SURROGATE.search(device_id) is None
        and _within_limit(device_id, MAX_DEVICE_ID_BYTES)
    )


def localpart_of(identifier: str) -> str:
    """What stands between the sigil and the first colon; for identifiers already checked."""
    return identifier[1:].partition(":")[0]


def server_of(identifier: str) -> str:
    """What stands after the first colon (the port included); for identifiers already checked.

    Raises `InvalidParam` for identifiers without a domain, such as room IDs of room version 12.
    """
    _, colon, server = identifier.partition(":")
    if not colon:
        raise InvalidParam(f"{identifier!r} names no server")
    return server


def check_user_id(user_id: object) -> str:
    if isinstance(user_id, str) and is_user_id(user_id):
        return user_id
    raise InvalidParam("Not a user ID")


def check_room_id(room_id: object) -> str:
    if isinstance(room_id, str) and is_room_id(room_id):
        return room_id
    raise InvalidParam("Not a room ID")


def check_room_alias(alias: object) -> str:
    if isinstance(alias, str) and is_room_alias(alias):
        return alias
    raise InvalidParam("Not a room alias")


def check_event_id(event_id: object) -> str:
    if isinstance(event_id, str) and is_event_id(event_id):
        return event_id
    raise InvalidParam("Not an event ID")


def check_server_name(name: object) -> str:
    if isinstance(name, str) and is_server_name(name):
        return name
    raise InvalidParam("Not a server name")


def check_device_id(device_id: object) -> str:
    if isinstance(device_id, str) and is_device_id(device_id):
        return device_id
    raise InvalidParam("Not a device ID")

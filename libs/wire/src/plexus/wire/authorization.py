"""The ``Authorization: X-Matrix`` header: its grammar and nothing else.

    credentials  = "X-Matrix" 1*SP #auth-param            ; the scheme in any case
    auth-param   = token BWS "=" BWS ( token / quoted-string )

Names are case-insensitive and stand once each, in any order; unknown ones are ignored; empty list elements
are skipped (RFC 9110, 5.6.1). Outside of quotes a colon is allowed too, because older servers do not quote.

Server-Server API, "Request Authentication"; RFC 9110, 11.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from plexus.protocol.identifiers import is_server_name
from plexus.wire.errors import RequestRefused

MAX_HEADER_CHARS = 4096

_SCHEME = re.compile(r"x-matrix +", re.IGNORECASE)
_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = re.compile(
    rf"(?P<name>{_NAME})[ \t]*=[ \t]*"
    rf"(?:\"(?P<quoted>(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*)\""
    rf"|(?P<plain>[!#$%&'*+\-.^_`|~0-9A-Za-z:]+))[ \t]*(?=,|$)"
)
_GAP = re.compile(r"[ \t,]*")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class XMatrix:
    """What one header claims. ``destination`` is None if an old server left it out."""

    origin: str
    destination: str | None
    key_id: str
    signature: str


def is_x_matrix(header: str) -> bool:
    """Whether this header uses the scheme at all."""
    return _SCHEME.match(header) is not None


def parse_authorization(header: str) -> XMatrix:
    """The claims of a header; `RequestRefused` if it breaks the grammar or leaves out what is needed."""
    scheme = _SCHEME.match(header)
    if scheme is None or len(header) > MAX_HEADER_CHARS:
        raise RequestRefused("Not an X-Matrix authorization header")
    parameters = _parameters(header, scheme.end())
    try:
        origin, key_id, signature = parameters["origin"], parameters["key"], parameters["sig"]
    except KeyError as missing:
        raise RequestRefused(f"The X-Matrix header has no {missing.args[0]}") from None
    destination = parameters.get("destination")
    for name in (origin, destination):
        if name is not None and not is_server_name(name):
            raise RequestRefused("The X-Matrix header names no server")
    return XMatrix(origin, destination, key_id, signature)


def format_authorization(claims: XMatrix) -> str:
    """The header's value as even the oldest servers read it: quoted, lower case, no white space."""
    destination = "" if claims.destination is None else f'destination="{claims.destination}",'
    return f'X-Matrix origin="{claims.origin}",{destination}key="{claims.key_id}",sig="{claims.signature}"'


def _parameters(header: str, start: int) -> dict[str, str]:
    found: dict[str, str] = {}
    position = _skip(header, start)
    while position < len(header):
        parameter = _PARAMETER.match(header, position)
        if parameter is None:
            raise RequestRefused("The X-Matrix header is malformed")
        name = parameter["name"].lower()
        if name in found:
            raise RequestRefused(f"The X-Matrix header has {name!r} twice")
        quoted = parameter["quoted"]
        found[name] = parameter["plain"] if quoted is None else _ESCAPED.sub(r"\1", quoted)
        position = _skip(header, parameter.end())
    return found


def _skip(header: str, position: int) -> int:
    gap = _GAP.match(header, position)
    return position if gap is None else gap.end()

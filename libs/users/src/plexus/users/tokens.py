"""Access tokens: ``plx_<user lane>_<random>_<checksum>``; ``plr_...`` are refresh tokens, ``pll_...`` login
tokens, ``plo_...`` OpenID tokens.

The lane lets a gateway route without a look-up, the checksum turns away what we never made; only the stored
SHA-256 gives any right.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from typing import Literal
from zlib import crc32

TokenKind = Literal["plx", "plr", "pll", "plo"]

_TOKEN = re.compile(r"(pl[xrlo])_([0-9]{1,3})_([0-9a-f]{40})_([0-9a-f]{8})", re.ASCII)


def make_token(kind: TokenKind, lane: int) -> str:
    """160 random bits."""
    body = f"{kind}_{lane}_{secrets.token_hex(20)}"
    return f"{body}_{crc32(body.encode()):08x}"


def lane_of_token(kind: TokenKind, token: str) -> int | None:
    """The lane that it names, or None if it is no token of this kind."""
    match = _TOKEN.fullmatch(token)
    if match is None or match[1] != kind or int(match[4], 16) != crc32(token[:-9].encode()):
        return None
    return int(match[2])


def hash_token(token: str) -> bytes:
    return sha256(token.encode()).digest()

"""A request's path as segments, percent-decoded once."""

from __future__ import annotations

import re
from urllib.parse import unquote

from plexus.protocol.errors import InvalidParam

_BAD_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


def segments_of(raw_path: bytes) -> list[str]:
    """The segments between the slashes; ``%2F`` does not separate. `InvalidParam` for what is no clean
    text.
    """
    try:
        path = raw_path.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidParam("The path is not percent-encoded") from None
    segments = path.split("/")
    if "%" not in path:
        return segments
    if _BAD_PERCENT.search(path):
        raise InvalidParam("The path has a broken percent-encoding")
    try:
        decoded = [unquote(segment, errors="strict") if "%" in segment else segment for segment in segments]
    except UnicodeDecodeError:
        raise InvalidParam("The path is not UTF-8") from None
    if "%00" in path:
        raise InvalidParam("The path has a NUL")
    return decoded

"""The ``Range`` header: one range of bytes. Pure. RFC 9110, 14."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=[ \t]*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))[ \t]*", re.IGNORECASE)


class Unsatisfiable(Exception):  # noqa: N818 - a finding, not a fault
    """416: the range lies outside of the content."""


def range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """(first byte, byte after the last); None when all of it is to be sent.

    What is no single range of bytes is ignored, as the RFC allows.
    """
    match = _RANGE.fullmatch(header) if header is not None else None
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        if int(suffix) == 0 or size == 0:
            raise Unsatisfiable
        return max(0, size - int(suffix)), size
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, min(size, int(last) + 1) if last else size

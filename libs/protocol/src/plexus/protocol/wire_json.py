"""A JSON document taken apart by its bytes, so that one bad part does not spoil the others.

A parser that meets a lone surrogate, too many brackets or a number past all doubles refuses the whole
document. Where a document is a list of things of different origin (the PDUs of a transaction, the state of
a room that is joined), each thing is cut out unread, and judged alone.

`members` cuts an object, `items` a list; neither looks into what it cuts out further than strings and
brackets. What is wrong inside of a part is found when the part is parsed. Time grows with length, whatever
the bytes are.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import orjson
from plexus.protocol.errors import BadJson, MatrixError, NotJson

# Possessive, so that bytes which do not match are read once and not again from each quote on.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SPACE = re.compile(rb"[ \t\n\r]*+")
_KEY = re.compile(_STRING, re.DOTALL)
_TO_BRACKET = re.compile(rb'[^"\[\]{}]*+(?:' + _STRING + rb'[^"\[\]{}]*+)*+([\[\]{}])', re.DOTALL)
_SCALAR = re.compile(_STRING + rb'|[^"\[\]{},: \t\n\r]++', re.DOTALL)
_OPENING = b"[{"


def members(raw: bytes, *, cutting: Collection[str] = ()) -> dict[str, bytes | list[bytes]]:
    """The values of a JSON object, unread; a list under one of the keys ``cutting`` as its entries.

    `BadJson` if it is no object or has a key twice, `NotJson` if it ends wrongly.
    """
    found: dict[str, bytes | list[bytes]] = {}
    start = _skip(raw, 0)
    if raw[start : start + 1] != b"{":
        raise BadJson("Not a JSON object")
    at, more = _enter(raw, start, b"}")
    while more:
        key = _KEY.match(raw, at)
        if key is None:
            raise _broken()
        name = _text(key.group())
        if name in found:
            raise BadJson("A key is there twice")
        at = _skip(raw, key.end())
        if raw[at : at + 1] != b":":
            raise _broken()
        start = _skip(raw, at + 1)
        if name in cutting and raw[start : start + 1] == b"[":
            found[name], at = _items(raw, start)
        else:
            at = _end(raw, start)
            found[name] = raw[start:at]
        at, more = _go_on(raw, at, b"}")
    _check_end(raw, at)
    return found


def items(raw: bytes) -> list[bytes]:
    """The entries of a JSON list, unread. `BadJson` if it is none, `NotJson` if it ends wrongly."""
    start = _skip(raw, 0)
    if raw[start : start + 1] != b"[":
        raise BadJson("Not a JSON list")
    found, at = _items(raw, start)
    _check_end(raw, at)
    return found


def _items(raw: bytes, start: int) -> tuple[list[bytes], int]:
    found: list[bytes] = []
    at, more = _enter(raw, start, b"]")
    while more:
        start, at = at, _end(raw, at)
        found.append(raw[start:at])
        at, more = _go_on(raw, at, b"]")
    return found, at


def _enter(raw: bytes, at: int, closing: bytes) -> tuple[int, bool]:
    """Past an opening bracket: where the first part begins, or past the end; and whether there is one."""
    at = _skip(raw, at + 1)
    return (at + 1, False) if raw[at : at + 1] == closing else (at, True)


def _go_on(raw: bytes, at: int, closing: bytes) -> tuple[int, bool]:
    """Past a part: the same for the next one."""
    at = _skip(raw, at)
    sign = raw[at : at + 1]
    if sign == closing:
        return at + 1, False
    if sign != b",":
        raise _broken()
    return _skip(raw, at + 1), True


def _check_end(raw: bytes, at: int) -> None:
    if _skip(raw, at) != len(raw):
        raise _broken()


def _end(raw: bytes, at: int) -> int:
    """Where the value ends that begins here."""
    if raw[at : at + 1] not in (b"[", b"{"):
        scalar = _SCALAR.match(raw, at)
        if scalar is None:
            raise _broken()
        return scalar.end()
    depth = 0
    while True:
        match = _TO_BRACKET.match(raw, at)
        if match is None:
            raise _broken()
        at = match.end()
        depth += 1 if raw[at - 1] in _OPENING else -1
        if depth == 0:
            return at


def _skip(raw: bytes, at: int) -> int:
    match = _SPACE.match(raw, at)
    return match.end() if match is not None else at


def _text(key: bytes) -> str:
    try:
        text: str = orjson.loads(key)
    except orjson.JSONDecodeError:
        raise _broken() from None
    return text


def _broken() -> MatrixError:
    return NotJson("The content is not JSON")

"""Canonical JSON, and JSON as it comes in.

Three doors:

1. `encode` turns a value into canonical JSON. It is the strict check of event content: what it refuses cannot
   be hashed and signed the same way by every server.
2. `decode` takes bytes that must already obey the rules of canonical JSON (but need not be sorted or free of
   white space) and refuses what cannot be seen any more once parsed: duplicate keys, exponents, ``-0``.
3. `decode_request` takes the body of an ordinary request: JSON, an object, not too deep. Floats are allowed
   there; `encode` finds them if they end up in an event.

Why it is fast: orjson parses and prints; the only Python per value is one loop that looks for floats and
large integers. Duplicate keys are found without a parser of our own: a value without floats never prints
longer than it was written, and an object that lost a duplicate prints shorter, so if the length is unchanged
there was none.

Appendices, "Canonical JSON".
"""

from __future__ import annotations

import json
from typing import Any

import orjson
from plexus.protocol.errors import BadJson, NotJson

MAX_DEPTH = 200
"""Levels of nesting accepted. orjson prints at most 254, and events travel inside other objects."""

MAX_INTEGER = 2**53 - 1
MIN_INTEGER = -MAX_INTEGER

_TOO_LARGE = "number is infinity when parsed as double"
"""orjson's words for what is JSON by its grammar, but no number that anybody can hold."""

# Subclasses and dataclasses are refused: printing them silently would hide a mistake in our own code.
_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def encode(value: Any) -> bytes:
    """The canonical JSON of ``value``.

    Raises `BadJson` for floats, integers outside ±(2**53 - 1), keys that are not strings, lone surrogates,
    nesting deeper than `MAX_DEPTH` and values that JSON does not know.
    """
    check(value)
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise BadJson(f"Not canonical JSON: {error}") from None


def check(value: Any, max_depth: int = MAX_DEPTH) -> None:
    """Raise `BadJson` for numbers that canonical JSON does not know, for other foreign values, for depth."""
    level: list[Any] = [value]
    depth = 0
    while level:
        deeper: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str or kind is bool or item is None:
                continue
            if kind is int:
                if not MIN_INTEGER <= item <= MAX_INTEGER:
                    raise BadJson("Not canonical JSON: integer out of range")
            elif kind is dict or kind is list or kind is tuple:
                if depth >= max_depth:
                    raise BadJson("The JSON is nested too deeply")
                deeper += item.values() if kind is dict else item
            elif kind is float:
                raise BadJson("Not canonical JSON: numbers must be integers")
            else:
                raise BadJson(f"Not canonical JSON: {kind.__name__}")
        level = deeper
        depth += 1


def decode(raw: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Parse bytes that must hold only what canonical JSON can express.

    Raises `NotJson` for what is not JSON in UTF-8, and `BadJson` for duplicate keys, floats and exponents,
    ``-0``, NaN and infinities, integers out of range, lone surrogates and nesting deeper than ``max_depth``.
    """
    value = _parse(raw)
    check(value, max_depth)
    if len(orjson.dumps(value)) != len(raw):
        # White space or a needless escape; or something that parsing hides.
        _reread(raw)
    return value


def decode_request(raw: bytes, *, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises `NotJson` if it is not JSON (lone surrogates included), `BadJson` if it is not an object, too deep,
    or holds a number past what a double can (``1e400``).
    """
    value = _parse(raw)
    if not isinstance(value, dict):
        raise BadJson("The body must be a JSON object")
    # Counting brackets costs nothing; only a body with many of them is walked.
    if raw.count(b"{") + raw.count(b"[") > max_depth:
        _check_depth(value, max_depth)
    return value


def contains_nul(value: Any) -> bool:
    """Whether a key or string anywhere in ``value`` holds U+0000, which PostgreSQL's text cannot store."""
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "\0" in item:
                return True
        elif isinstance(item, dict):
            stack += item.keys()
            stack += item.values()
        elif isinstance(item, list):
            stack += item
    return False


def _parse(raw: bytes) -> Any:
    try:
        # orjson bounds its own recursion, so hostile depth is an error here and never a crash.
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "depth limit" in error.msg or error.msg.startswith("Recursion limit"):
            raise BadJson("The JSON is nested too deeply") from None
        if error.msg == _TOO_LARGE:
            raise BadJson("A number is out of range") from None
        raise NotJson(f"The content is not JSON: {error.msg}") from None


def _check_depth(value: Any, max_depth: int) -> None:
    level = [value]
    depth = 0
    while level:
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict | list):
                if depth >= max_depth:
                    raise BadJson("The JSON is nested too deeply")
                deeper += item.values() if isinstance(item, dict) else item
        level = deeper
        depth += 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("Not canonical JSON: duplicate key")
    return found


def _refuse(number: str) -> Any:
    raise BadJson(f"Not canonical JSON: {number[:32]}")


def _integer(digits: str) -> int:
    return _refuse(digits) if digits == "-0" else 0


def _reread(raw: bytes) -> None:
    """Read again with a parser that shows every pair and number. Depth has been checked before."""
    json.loads(
        raw,
        object_pairs_hook=_unique,
        parse_float=_refuse,
        parse_constant=_refuse,
        parse_int=_integer,
    )

"""Canonical JSON, and JSON as it comes in.

Four doors:

1. `encode` turns a value into canonical JSON. Strict, it is the check of event content: what it refuses
   cannot be hashed and signed the same way by every server.
2. `decode` takes bytes that must already obey the rules of canonical JSON (but need not be sorted or free of
   white space) and refuses what cannot be seen any more once parsed: duplicate keys, exponents, ``-0``.
3. `decode_request` takes the body of an ordinary request: JSON, an object, not too deep. Floats are allowed
   there; `encode` finds them if they end up in an event.
4. `canonicalise` goes from text to canonical text and takes numbers by their value: ``1e10`` is an integer.

Rooms of versions 1 to 5 hold events with floats, with integers of any size, with keys given twice. For those,
``strict=False``: reading and printing then do what Python's json does, because that is what the servers of
these rooms have hashed and signed. The last of two equal keys counts, ``-0`` is 0, integers stay exact.

Why it is fast: orjson parses and prints; the only Python per value is one loop that looks for floats and
large integers. What parsing hides is found without a parser of our own: orjson keeps the order of keys, so a
document that prints exactly as it was written had no duplicate key, no exponent, no ``-0``. Only the others
are read again by Python's json, which shows every pair and every number.

Appendices, "Canonical JSON"; room versions 1 and 6, "Canonical JSON".
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

import orjson
from plexus.protocol.errors import BadJson, MatrixError, NotJson

MAX_DEPTH = 200
"""Levels of nesting accepted. orjson prints at most 254, and events travel inside other objects."""

MAX_INTEGER = 2**53 - 1
MIN_INTEGER = -MAX_INTEGER

_TOO_LARGE = "number is infinity when parsed as double"
"""orjson's words for what is JSON by its grammar, but no number that a double can hold."""

# Subclasses and dataclasses are refused: printing them silently would hide a mistake in our own code.
_LENIENT_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
_OPTIONS = _LENIENT_OPTIONS | orjson.OPT_STRICT_INTEGER

_PYTHON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)


def encode(value: Any, *, strict: bool = True) -> bytes:
    """The canonical JSON of ``value``.

    Raises `BadJson` for floats, integers outside ±(2**53 - 1), keys that are not strings, lone surrogates,
    nesting deeper than `MAX_DEPTH` and values that JSON does not know. Not strict, finite floats and all
    integers are printed as Python's json prints them.
    """
    if not strict and _needs_python(value):
        return _encode_by_python(value)
    if strict:
        check(value)
    try:
        return orjson.dumps(value, option=_OPTIONS if strict else _LENIENT_OPTIONS)
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
            elif kind is _Repeated:
                raise BadJson("Not canonical JSON: duplicate key")
            else:
                raise BadJson(f"Not canonical JSON: {kind.__name__}")
        level = deeper
        depth += 1


def decode(raw: bytes, *, strict: bool = True, max_depth: int = MAX_DEPTH) -> Any:
    """Parse bytes that must hold only what canonical JSON can express.

    Raises `NotJson` for what is not JSON in UTF-8, and `BadJson` for duplicate keys, floats and exponents,
    ``-0``, NaN and infinities, integers out of range, lone surrogates and nesting deeper than ``max_depth``.
    Not strict, only NaN, infinities, lone surrogates and depth are refused.
    """
    if not strict:
        return _decode_lenient(raw, max_depth)
    value = _parse(raw)
    check(value, max_depth)
    if orjson.dumps(value) != raw:
        # White space or a needless escape; or something that parsing hides.
        check(reveal(raw), max_depth)
    return value


def reveal(raw: bytes) -> Any:
    """Parse JSON so that `check` finds what parsing hides otherwise: duplicate keys, and ``-0``.

    Raises `NotJson` for what is none, and `BadJson` for what Python's json cannot read.
    """
    return _parse_by_python(raw, object_pairs_hook=_object, parse_int=_integer)


def canonicalise(raw: bytes) -> bytes:
    """The canonical JSON of any JSON text: numbers count by their value, so ``1e10`` and ``-0`` are integers.

    Raises `NotJson` and `BadJson` as `decode` does, for what has no canonical form.
    """
    check_depth(_parse(raw), MAX_DEPTH)
    return encode(_parse_by_python(raw, object_pairs_hook=_object, parse_float=_by_value))


def decode_request(raw: bytes, *, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises `NotJson` if it is not JSON (lone surrogates included), `BadJson` if it is not an object, too deep,
    or holds a number past what a double can (``1e400``).
    """
    value = _parse(raw)
    if not isinstance(value, dict):
        raise BadJson("The body must be a JSON object")
    _check_depth_of(value, raw, max_depth)
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


def check_depth(value: Any, max_depth: int = MAX_DEPTH) -> None:
    """Raise `BadJson` if ``value`` is nested deeper than ``max_depth``."""
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


def _check_depth_of(value: Any, raw: bytes, max_depth: int) -> None:
    # Counting brackets costs nothing; only what has many of them is walked.
    if raw.count(b"{") + raw.count(b"[") > max_depth:
        check_depth(value, max_depth)


def _parse(raw: bytes) -> Any:
    try:
        # orjson bounds its own recursion, so hostile depth is an error here and never a crash.
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _fault(error) from None


def _fault(error: orjson.JSONDecodeError) -> MatrixError:
    if "depth limit" in error.msg or error.msg.startswith("Recursion limit"):
        return BadJson("The JSON is nested too deeply")
    if error.msg == _TOO_LARGE:
        return BadJson("A number is out of range")
    return NotJson(f"The content is not JSON: {error.msg}")


class _Repeated(dict[str, Any]):
    """An object that had a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Repeated(found)


def _integer(digits: str) -> int | float:
    return -0.0 if digits == "-0" else int(digits)


def _by_value(number: str) -> int | float:
    value = float(number)
    # Past 2**53 a double no longer says which integer was meant.
    return int(value) if value.is_integer() and abs(value) <= MAX_INTEGER else value


def _needs_python(value: Any) -> bool:
    """Whether orjson would print ``value`` otherwise than Python does, or not at all.

    Raises `BadJson` for what neither prints, and for depth.
    """
    level: list[Any] = [value]
    depth = 0
    found = False
    while level:
        deeper: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str or kind is bool or item is None:
                continue
            if kind is int:
                found = found or not -(2**63) <= item < 2**64
            elif kind is float:
                if not isfinite(item):
                    raise BadJson("Not JSON: a number is infinite or none")
                found = True
            elif kind is dict or kind is list or kind is tuple:
                if depth >= MAX_DEPTH:
                    raise BadJson("The JSON is nested too deeply")
                if kind is dict and not all(type(key) is str for key in item):
                    # Python would turn them into strings.
                    raise BadJson("Not JSON: a key is not a string")
                deeper += item.values() if kind is dict else item
            else:
                raise BadJson(f"Not JSON: {kind.__name__}")
        level = deeper
        depth += 1
    return found


def _encode_by_python(value: Any) -> bytes:
    try:
        return _PYTHON.encode(value).encode()
    except UnicodeEncodeError:
        raise BadJson("Not canonical JSON: str is not valid UTF-8: surrogates not allowed") from None
    except ValueError:
        # Infinite, or none, or an integer of more digits than Python prints.
        raise BadJson("A number is out of range") from None


def _decode_lenient(raw: bytes, max_depth: int) -> Any:
    try:
        value = orjson.loads(raw)
        _check_depth_of(value, raw, max_depth)
        if not _has_floats(value):
            return value
    except orjson.JSONDecodeError:
        # Python reads some things that orjson does not; a later key may replace them.
        pass
    # orjson makes doubles of integers past 64 bits; to Python they are integers still.
    value = _parse_by_python(raw)
    check_depth(value, max_depth)
    # Nor does Python print all that it reads: infinities, lone surrogates.
    _encode_by_python(value)
    return value


def _parse_by_python(raw: bytes, **hooks: Any) -> Any:
    try:
        return json.loads(raw.decode(), parse_constant=_refuse, **hooks)
    except RecursionError:
        # Perhaps in a value that the same key replaces, so that the depth of what is parsed does not show it.
        raise BadJson("The JSON is nested too deeply") from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise NotJson("The content is not JSON in UTF-8") from None
    except ValueError:
        # More digits than Python reads.
        raise BadJson("A number is out of range") from None


def _refuse(constant: str) -> Any:
    raise NotJson(f"The content is not JSON: {constant}")


def _has_floats(value: Any) -> bool:
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        kind = type(item)
        if kind is float:
            return True
        if kind is dict:
            stack += item.values()
        elif kind is list:
            stack += item
    return False

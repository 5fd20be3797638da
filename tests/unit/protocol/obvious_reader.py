"""The rules for the bytes of a PDU, a second time: slow, by Python's json alone, one rule after the other.

And bytes to try them on: a good PDU, altered at random with the pieces that parsers stumble over.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from random import Random
from typing import Any

import canonicaljson

GOOD: dict[str, Any] = {
    "auth_events": ["$a", "$b"],
    "content": {"body": "héllo \U0001f600 \n", "list": [1, {"deep": [True, None]}], "n": -7},
    "depth": 12,
    "hashes": {"sha256": "h"},
    "origin_server_ts": 1700000000000,
    "prev_events": ["$p"],
    "room_id": "!r:one",
    "sender": "@a:one",
    "signatures": {"one": {"ed25519:1": "s"}},
    "state_key": "",
    "type": "m.room.message",
    "unsigned": {"age": 5, "ratio": 0.5},
}

PRINTINGS = (
    canonicaljson.encode_canonical_json(GOOD),
    json.dumps(GOOD).encode(),
    json.dumps(GOOD, ensure_ascii=False, indent=1).encode(),
)
NUMBERS = (
    b"-0", b"0", b"1.5", b"1.0", b"-0.0", b"1e5", b"1E+2", b"-1e-400", b"9007199254740991",
    b"9007199254740992", b"-9007199254740992", b"18446744073709551615", b"18446744073709551616",
    b"7" * 60, b"9" * 400,
)  # fmt: skip
MEMBERS = (
    b'"a":1,', b'"depth":12,', b'"content":{},', b'"unsigned":{"a":1.5},', b'"unsigned":{"a":-0,"a":2},',
    b'"s":"' + b"x" * 300 + b'",', b'"type":"' + b"x" * 256 + b'",', b'"room_id":5,', b'"room_id":null,',
    b'"state_key":"\\u0000",', b'"x":"\\u0000",',
    b'"body":"' + b"y" * 66000 + b'",', b'"prev_events":[' + b'"$e",' * 20 + b'"$e"],',
    b'"deep":' + b"[" * 190 + b"]" * 190 + b",", b'"deep":' + b'{"a":' * 199 + b"0" + b"}" * 199 + b",",
)  # fmt: skip
BYTES = (
    b"-", b"01", b"1e400", b"9" * 5000, b"NaN", b"-Infinity", b"null", b"true", b"[]", b"{}", b'"', b"\\",
    b",", b":", b"[", b"]", b"{", b"}", b" ", b"\n", b"\t", b"\r", b"\x00", b"\x0b", b"\x7f", b"\xff",
    b"\xed\xa0\x80", b"\xc3\xa9", b"\xef\xbb\xbf", b"\\u0061", b"\\u000A", b"\\u001F", b"\\ud800",
    b"\\ud83d\\ude00", b"\\udc00\\ud800", b"\\/", b"\\u12", b"[1,", b"]]", b"/*", b"'",
)  # fmt: skip
AN_OBJECT = re.compile(rb"{(?!})")
A_NUMBER = re.compile(rb"(?<=[:\[,])( ?)-?\d+")


def altered(random: Random, times: int) -> bytes:
    """The good PDU in some printing, altered ``times`` times: its numbers, its members, any of its bytes."""
    raw = random.choice(PRINTINGS)
    for _ in range(times):
        kind = random.randrange(5)
        if kind < 2:
            numbers = list(A_NUMBER.finditer(raw))
            cut = random.choice(numbers).span() if numbers else (0, 0)
            piece = random.choice(NUMBERS)
        elif kind < 4:
            objects = [
                at for at in range(1, len(raw)) if raw[at - 1 : at] == b"{" and raw[at : at + 1] != b"}"
            ]
            at = random.choice(objects or [0])
            cut, piece = (at, at), random.choice(MEMBERS)
        else:
            at = random.randrange(len(raw) + 1)
            cut, piece = (at, at + random.choice((0, 0, 1, 2, 10))), random.choice(BYTES)
        raw = raw[: cut[0]] + piece + raw[cut[1] :]
    return raw


class RefusedError(Exception):
    pass


@dataclass
class Read:
    pdu: dict[str, Any]
    raw: bytes
    is_strict: bool


class _Object(dict[str, Any]):
    repeated = False


class _MinusZero(int):
    pass


def read(raw: bytes) -> Read:
    """What stands in ``raw``, or `RefusedError`."""
    try:
        text = raw.decode()
        value = json.loads(text, object_pairs_hook=_pairs, parse_int=_number, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(str(error)) from None
    if not isinstance(value, _Object):
        raise RefusedError("no object")
    try:
        depth = depth_of(value)
    except RecursionError:
        depth = 1000
    if depth > 200:
        raise RefusedError("too deep")
    try:
        canonicaljson.encode_canonical_json(value)
    except ValueError as error:
        raise RefusedError(str(error)) from None
    is_strict = not value.repeated
    value.pop("unsigned", None)
    printed = canonicaljson.encode_canonical_json(value)
    if len(printed) > 65536:
        raise RefusedError("too large")
    for key in ("room_id", "event_id", "sender", "type", "state_key"):
        if isinstance(value.get(key), str) and (len(value[key].encode()) > 255 or "\0" in value[key]):
            raise RefusedError(key)
    if value.get("room_id") is not None and not isinstance(value["room_id"], str):
        raise RefusedError("room_id")
    for key, limit in (("prev_events", 20), ("auth_events", 10)):
        if isinstance(value.get(key), list) and len(value[key]) > limit:
            raise RefusedError(f"too many {key}")
    return Read(json.loads(printed), printed, is_strict and _strict(value))


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


def _strict(value: Any) -> bool:
    if isinstance(value, _Object):
        return not value.repeated and all(map(_strict, value.values()))
    if isinstance(value, list):
        return all(map(_strict, value))
    if isinstance(value, float | _MinusZero):
        return False
    return not isinstance(value, int) or abs(value) < 2**53


def _pairs(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    made.repeated = len(made) < len(pairs)
    return made


def _number(digits: str) -> int:
    return _MinusZero(0) if digits == "-0" else int(digits)


def _constant(name: str) -> Any:
    raise ValueError(name)

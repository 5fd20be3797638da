"""A transaction of another server, from its bytes: at most 50 PDUs and 100 EDUs, each judged alone.

`read_transaction` refuses the whole only if its frame is wrong: not JSON, not an object, ``pdus`` or
``edus`` no lists or too long. Whatever is wrong with one PDU or EDU becomes the fault that stands in its
place, so that the others are taken. This matters: a sender repeats a refused transaction for ever, and
nothing else of its comes through.

Two ways to the same answer. If the body as a whole parses, and prints exactly as it was written, then its
bytes hid nothing, and the parsed PDUs are taken as they are; this is how most servers write. Otherwise the
lists are cut by their bytes and each entry is read alone.

Server-Server API, "Transactions", "PDUs", "EDUs".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import orjson
from plexus.protocol import wire_json
from plexus.protocol.canonical_json import decode
from plexus.protocol.edus import Edu, read_edu
from plexus.protocol.errors import BadJson, InvalidEdu, InvalidEvent, MatrixError
from plexus.protocol.pdus import IncomingPdu, read_pdu, take_pdu

MAX_PDUS = 50
MAX_EDUS = 100

Entry = TypeVar("Entry")
Made = TypeVar("Made")
Fault = TypeVar("Fault", bound=Exception)

MaybePdu: TypeAlias = IncomingPdu | InvalidEvent
MaybeEdu: TypeAlias = Edu | InvalidEdu


@dataclass(frozen=True, slots=True)
class Transaction:
    """``pdus`` and ``edus`` in the order of the lists, a fault where one is not as it should be.

    ``origin_server_ts`` is None if it was left out: nothing depends on it. What the body says of its origin
    is not looked at, the signature of the request says it.
    """

    origin_server_ts: int | None
    pdus: tuple[MaybePdu, ...]
    edus: tuple[MaybeEdu, ...]


def read_transaction(raw: bytes, origin: str, *, parsed: dict[str, Any] | None = None) -> Transaction:
    """The transaction that ``origin`` sent, as the request's signature has proven.

    ``parsed`` is what `decode_request` made of the same bytes, if it has been asked. Raises `NotJson` and
    `BadJson` as the frame demands.
    """
    body = _plain(raw, parsed)
    if body is not None:
        return Transaction(
            _time(body.get("origin_server_ts")),
            _each(_list(body, "pdus", MAX_PDUS), take_pdu, InvalidEvent),
            _each(_list(body, "edus", MAX_EDUS), lambda edu: read_edu(edu, origin), InvalidEdu),
        )
    frame = wire_json.members(raw, cutting=("pdus", "edus"))
    time = frame.get("origin_server_ts", b"null")
    return Transaction(
        _time(decode(time, strict=False) if isinstance(time, bytes) else time),
        _each(_list(frame, "pdus", MAX_PDUS), read_pdu, InvalidEvent),
        _each(_list(frame, "edus", MAX_EDUS), lambda edu: _read_edu_bytes(edu, origin), InvalidEdu),
    )


def _plain(raw: bytes, parsed: dict[str, Any] | None) -> dict[str, Any] | None:
    """The body, if its bytes hide nothing."""
    try:
        body = orjson.loads(raw) if parsed is None else parsed
        return body if type(body) is dict and orjson.dumps(body) == raw else None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        # Perhaps one entry only; cutting will tell.
        return None


def _each(
    entries: Sequence[Entry], read: Callable[[Entry], Made], fault: type[Fault]
) -> tuple[Made | Fault, ...]:
    found: list[Made | Fault] = []
    for entry in entries:
        try:
            found.append(read(entry))
        except fault as error:
            found.append(error)
    return tuple(found)


def _list(body: Mapping[str, Any], key: str, limit: int) -> list[Any]:
    entries = body.get(key, [])
    if not isinstance(entries, list):
        raise BadJson(f"{key} is not a list")
    if len(entries) > limit:
        raise BadJson(f"A transaction has at most {limit} {key}")
    return entries


def _time(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is int and abs(value) < 2**63:
        return value
    raise BadJson("origin_server_ts is not an integer")


def _read_edu_bytes(raw: bytes, origin: str) -> Edu:
    try:
        value = decode(raw, strict=False)
    except MatrixError as error:
        raise InvalidEdu(error.message) from None
    return read_edu(value, origin)

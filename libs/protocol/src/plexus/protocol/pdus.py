"""PDUs as they come in: what can be said of the bytes before the room, and so the room version, is known.

1. `read_pdu` takes bytes (`take_pdu` a value whose bytes hid nothing) and gives an `IncomingPdu`, or raises
   `InvalidEvent`: JSON, an object, not too deep, not too large, identifiers and references within their
   limits. It also finds what only some room versions forbid, and remembers it.
2. The caller looks the room up by ``room_id``.
3. `IncomingPdu.to_event` judges by the room version: its JSON rules, and by `Event.from_pdu` its event
   format. After that come signatures, hashes and rules.

The bytes are parsed once and printed once; the printed bytes are the event's from then on. ``unsigned`` is
dropped at the start: no signature covers it, and a float in it is nobody's business. For depth it counts.

Client-Server API, "Size limits"; Server-Server API, "PDUs" and "Checks performed on receipt of a PDU"; room
versions 1 and 6, "Canonical JSON".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from plexus.protocol.canonical_json import MAX_DEPTH, check, check_depth, decode, encode, reveal
from plexus.protocol.errors import BadJson, InvalidEvent, MatrixError
from plexus.protocol.events import Event
from plexus.protocol.identifiers import MAX_ID_BYTES
from plexus.protocol.room_versions import RoomVersion
from plexus.protocol.validation import MAX_AUTH_EVENTS, MAX_EVENT_BYTES, MAX_PREV_EVENTS, bytes_of

_LIMITED = ("room_id", "event_id", "sender", "type", "state_key")


@dataclass(frozen=True, slots=True)
class IncomingPdu:
    """A PDU within all limits that do not depend on the room version.

    ``pdu`` is the object without ``unsigned`` and ``raw`` its canonical JSON. ``strict_fault`` says why rooms
    of version 6 and later refuse it: a float, an integer out of range, a key given twice, ``-0``.
    """

    pdu: dict[str, Any]
    raw: bytes
    strict_fault: str | None

    @property
    def room_id(self) -> str | None:
        """Where to look for the room version; None for a create event that gives the room its ID."""
        return self.pdu.get("room_id")

    def to_event(self, version: RoomVersion) -> Event:
        """The event, if the PDU has the format of this room version; `InvalidEvent` if not."""
        if self.strict_fault is not None and version.strict_canonical_json:
            raise InvalidEvent(self.strict_fault)
        return Event.from_pdu(version, self.pdu, raw=self.raw)


def read_pdu(raw: bytes) -> IncomingPdu:
    """The PDU that stands in these bytes; `InvalidEvent` if it breaks a limit that holds in every room."""
    try:
        pdu = orjson.loads(raw)
        if orjson.dumps(pdu) == raw:
            return take_pdu(pdu)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        # Too deep, or broken, or a number that older rooms may hold: the second reading will tell.
        pass
    try:
        pdu = decode(raw, strict=False)
    except MatrixError as error:
        raise InvalidEvent(error.message) from None
    return _take(pdu, _hidden_fault(raw))


def take_pdu(pdu: object) -> IncomingPdu:
    """`read_pdu` for what was parsed already, from bytes that are known to print the same."""
    return _take(pdu, None)


def _take(value: object, fault: str | None) -> IncomingPdu:
    if type(value) is not dict:
        raise InvalidEvent("A PDU is a JSON object")
    pdu: dict[str, Any] = value
    if "unsigned" in pdu:
        try:
            check_depth(pdu["unsigned"], MAX_DEPTH - 1)
        except BadJson as error:
            raise InvalidEvent(error.message) from None
        pdu = {key: item for key, item in pdu.items() if key != "unsigned"}
    try:
        raw = encode(pdu)
    except BadJson as error:
        fault = fault or error.message
        raw = _encode_lenient(pdu)
    if len(raw) > MAX_EVENT_BYTES:
        raise InvalidEvent(f"The event has more than {MAX_EVENT_BYTES} bytes")
    check_limits(pdu)
    return IncomingPdu(pdu, raw, fault)


def _encode_lenient(pdu: dict[str, Any]) -> bytes:
    try:
        return encode(pdu, strict=False)
    except BadJson as error:
        raise InvalidEvent(error.message) from None


def _hidden_fault(raw: bytes) -> str | None:
    """What is forbidden by canonical JSON and cannot be seen any more in the parsed value."""
    try:
        revealed = reveal(raw)
        if isinstance(revealed, dict):
            revealed.pop("unsigned", None)
        check(revealed)
    except BadJson as error:
        return error.message
    return None


def check_limits(pdu: dict[str, Any]) -> None:
    """`InvalidEvent` for identifiers over 255 bytes or with U+0000, and for more references than events have.

    What is missing or of another type is left to the event format of the room version.
    """
    for key in _LIMITED:
        value = pdu.get(key)
        if isinstance(value, str):
            if bytes_of(value) > MAX_ID_BYTES:
                raise InvalidEvent(f"{key} is longer than {MAX_ID_BYTES} bytes")
            if "\0" in value:
                # These are looked up by, and PostgreSQL's text cannot store it.
                raise InvalidEvent(f"{key} holds U+0000")
        elif key == "room_id" and value is not None:
            # It is looked up before the format is checked.
            raise InvalidEvent("room_id is not a string")
    for key, limit in (("prev_events", MAX_PREV_EVENTS), ("auth_events", MAX_AUTH_EVENTS)):
        value = pdu.get(key)
        if isinstance(value, list) and len(value) > limit:
            raise InvalidEvent(f"{key} has more than {limit} entries")

"""Shape and size of events, before any rule looks at them.

`check_draft` guards what our own users send and answers with Matrix errors; `check_pdu` guards what other
servers send and finds `InvalidEvent`, upon which the event is dropped.

Client-Server API, "Size limits"; Server-Server API, "Checks performed on receipt of a PDU", step 1; the event
format of each room version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.protocol.canonical_json import MAX_INTEGER, MIN_INTEGER
from plexus.protocol.errors import InvalidEvent, InvalidParam, TooLarge
from plexus.protocol.identifiers import MAX_ID_BYTES, is_event_id, is_user_id, parse_room_id
from plexus.protocol.room_versions import RoomVersion

MAX_EVENT_BYTES = 65536
MAX_PREV_EVENTS = 20
MAX_AUTH_EVENTS = 10
MAX_EVENT_DEPTH = MAX_INTEGER
"""An event after one of this depth has this depth too."""


def bytes_of(text: str) -> int:
    """Length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def check_event_size(size: int) -> None:
    """`TooLarge` if the whole PDU, signatures included, would not fit."""
    if size > MAX_EVENT_BYTES:
        raise TooLarge(f"The event has {size} bytes, at most {MAX_EVENT_BYTES} are allowed")


def check_draft(
    *,
    type: str,
    sender: str,
    state_key: str | None,
    room_id: str | None,
    prev_events: tuple[str, ...],
    auth_events: tuple[str, ...],
    depth: int,
) -> None:
    """The limits of one event of our own; `TooLarge` or `InvalidParam`."""
    if bytes_of(type) > MAX_ID_BYTES:
        raise TooLarge(f"The event type is longer than {MAX_ID_BYTES} bytes")
    if state_key is not None and bytes_of(state_key) > MAX_ID_BYTES:
        raise TooLarge(f"The state key is longer than {MAX_ID_BYTES} bytes")
    if not type:
        raise InvalidParam("The event type is empty")
    if not is_user_id(sender):
        raise InvalidParam("The sender is not a user ID")
    if room_id is not None and parse_room_id(room_id) is None:
        raise InvalidParam("Not a room ID")
    if len(prev_events) > MAX_PREV_EVENTS:
        raise InvalidParam(f"An event has at most {MAX_PREV_EVENTS} prev_events")
    if len(auth_events) > MAX_AUTH_EVENTS:
        raise InvalidParam(f"An event has at most {MAX_AUTH_EVENTS} auth_events")
    if not 0 <= depth <= MAX_EVENT_DEPTH:
        raise InvalidParam("The depth is out of range")


def check_pdu(version: RoomVersion, pdu: Mapping[str, Any]) -> None:
    """`InvalidEvent` unless this JSON object has the event format of the room version.

    The size is checked where the canonical bytes are at hand, see `Event.from_pdu`.
    """
    event_type = _text(pdu, "type", limit=MAX_ID_BYTES)
    if "state_key" in pdu:
        _text(pdu, "state_key", limit=MAX_ID_BYTES)
    if not is_user_id(pdu.get("sender")):
        raise InvalidEvent("sender is not a user ID")
    _check_room_id(version, event_type, pdu)
    _object(pdu, "content")
    hashes = _object(pdu, "hashes")
    if not isinstance(hashes.get("sha256"), str):
        raise InvalidEvent("hashes.sha256 is missing")
    _check_signatures(_object(pdu, "signatures"))
    if not 0 <= _integer(pdu, "depth") <= MAX_EVENT_DEPTH:
        raise InvalidEvent("depth is out of range")
    _integer(pdu, "origin_server_ts")
    _check_event_ids(pdu, "prev_events", MAX_PREV_EVENTS)
    _check_event_ids(pdu, "auth_events", MAX_AUTH_EVENTS)
    if not version.redacts_in_content and "redacts" in pdu and not is_event_id(pdu["redacts"]):
        raise InvalidEvent("redacts is not an event ID")


def _check_room_id(version: RoomVersion, event_type: str, pdu: Mapping[str, Any]) -> None:
    if version.room_id_is_create_event_hash and event_type == "m.room.create":
        if "room_id" in pdu:
            raise InvalidEvent("The create event must not have a room_id, it is what gives the room its ID")
        return
    room_id = pdu.get("room_id")
    parts = parse_room_id(room_id) if isinstance(room_id, str) else None
    if parts is None:
        raise InvalidEvent("room_id is not a room ID")
    if version.room_id_is_create_event_hash and parts[1] is not None:
        raise InvalidEvent("room_id must not have a domain in this room version")


def _check_signatures(signatures: Mapping[str, Any]) -> None:
    for by_server in signatures.values():
        if not isinstance(by_server, dict) or not all(isinstance(s, str) for s in by_server.values()):
            raise InvalidEvent("signatures is malformed")


def _check_event_ids(pdu: Mapping[str, Any], key: str, limit: int) -> None:
    ids = pdu.get(key)
    if not isinstance(ids, list) or not all(is_event_id(item) for item in ids):
        raise InvalidEvent(f"{key} is not a list of event IDs")
    if len(ids) > limit:
        raise InvalidEvent(f"{key} has more than {limit} entries")


def _text(pdu: Mapping[str, Any], key: str, *, limit: int) -> str:
    value = pdu.get(key)
    if not isinstance(value, str):
        raise InvalidEvent(f"{key} is not a string")
    if bytes_of(value) > limit:
        raise InvalidEvent(f"{key} is longer than {limit} bytes")
    return value


def _object(pdu: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = pdu.get(key)
    if not isinstance(value, dict):
        raise InvalidEvent(f"{key} is not an object")
    return value


def _integer(pdu: Mapping[str, Any], key: str) -> int:
    value = pdu.get(key)
    if type(value) is not int or not MIN_INTEGER <= value <= MAX_INTEGER:
        raise InvalidEvent(f"{key} is not an integer")
    return value

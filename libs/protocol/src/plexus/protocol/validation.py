"""Shape and size of events, before any rule looks at them.

`check_draft` guards what our own users send and answers with Matrix errors; `check_pdu` guards what other
servers send and finds `InvalidEvent`, upon which the event is dropped.

Client-Server API, "Size limits"; Server-Server API, "Checks performed on receipt of a PDU", step 1; the event
format of each room version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.protocol.errors import InvalidEvent, InvalidParam, TooLarge
from plexus.protocol.identifiers import MAX_ID_BYTES, is_event_id, is_server_name, is_user_id, parse_room_id
from plexus.protocol.room_versions import RoomVersion

MAX_EVENT_BYTES = 65536
MAX_PREV_EVENTS = 20
MAX_AUTH_EVENTS = 10


def bytes_of(text: str) -> int:
    """Length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def check_event_size(size: int) -> None:
    """`TooLarge` if the whole PDU, signatures included, would not fit."""
    if size > MAX_EVENT_BYTES:
        raise TooLarge(f"The event has {size} bytes, at most {MAX_EVENT_BYTES} are allowed")


def check_draft(
    version: RoomVersion,
    *,
    type: str,
    sender: str,
    state_key: str | None,
    room_id: str | None,
    event_id: str | None,
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
    if version.event_ids == "given":
        if not is_given_event_id(event_id):
            raise InvalidParam("An event ID is $, an opaque string, a colon and a server name")
    elif event_id is not None:
        raise InvalidParam("The event ID follows from the event")
    if len(prev_events) > MAX_PREV_EVENTS:
        raise InvalidParam(f"An event has at most {MAX_PREV_EVENTS} prev_events")
    if len(auth_events) > MAX_AUTH_EVENTS:
        raise InvalidParam(f"An event has at most {MAX_AUTH_EVENTS} auth_events")
    if not 0 <= depth <= version.max_integer:
        raise InvalidParam("The depth is out of range")


def is_given_event_id(event_id: object) -> bool:
    """Whether this is an event ID as servers gave them: ``$opaque:server`` (room versions 1 and 2)."""
    return (
        isinstance(event_id, str)
        and is_event_id(event_id)
        and not event_id.startswith("$:")
        and is_server_name(event_id.partition(":")[2])
    )


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
    if _integer(version, pdu, "depth") < 0:
        raise InvalidEvent("depth is negative")
    _integer(version, pdu, "origin_server_ts")
    if version.event_ids == "given" and not is_given_event_id(pdu.get("event_id")):
        raise InvalidEvent("event_id is not $, an opaque string, a colon and a server name")
    _check_references(version, pdu, "prev_events", MAX_PREV_EVENTS)
    _check_references(version, pdu, "auth_events", MAX_AUTH_EVENTS)
    _check_redacts(version, event_type, pdu)


def _check_redacts(version: RoomVersion, event_type: str, pdu: Mapping[str, Any]) -> None:
    """A key of redactions alone: in another event it is one that nobody knows, and may be anything."""
    if version.redacts_in_content or event_type != "m.room.redaction":
        return
    if "redacts" in pdu and not is_event_id(pdu["redacts"]):
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
    if version.room_id_is_create_event_hash != (parts[1] is None):
        raise InvalidEvent("room_id has a domain up to room version 11, and none from 12 on")


def _check_signatures(signatures: Mapping[str, Any]) -> None:
    for by_server in signatures.values():
        if not isinstance(by_server, dict) or not all(isinstance(s, str) for s in by_server.values()):
            raise InvalidEvent("signatures is malformed")


def _check_references(version: RoomVersion, pdu: Mapping[str, Any], key: str, limit: int) -> None:
    references = pdu.get(key)
    is_reference = _is_reference_with_hash if version.references_with_hashes else is_event_id
    if not isinstance(references, list) or not all(is_reference(item) for item in references):
        raise InvalidEvent(f"{key} is not a list of event IDs as this room version has them")
    if len(references) > limit:
        raise InvalidEvent(f"{key} has more than {limit} entries")


def _is_reference_with_hash(item: object) -> bool:
    # The hash itself is not looked at: nothing depends on it, and old rooms hold all kinds.
    return isinstance(item, list) and len(item) == 2 and is_event_id(item[0]) and isinstance(item[1], dict)


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


def _integer(version: RoomVersion, pdu: Mapping[str, Any], key: str) -> int:
    value = pdu.get(key)
    if type(value) is not int or not -version.max_integer <= value <= version.max_integer:
        raise InvalidEvent(f"{key} is not an integer within ±{version.max_integer}")
    return value

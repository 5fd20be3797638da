"""Making an event of our own.

`build` works with bytes, not with objects:

1. the content is dumped once;
2. the other top-level keys are dumped in the pieces between which ``content``, ``hashes`` and ``signatures``
   go in canonical order, so that each form of the event is a join of pieces;
3. the full form without hashes gives the content hash; the redacted form with hashes is what is signed, and
   its hash is the event ID, unless the room version wants one that is given.

Server-Server API, "Adding hashes and signatures to outgoing events"; the event format of each room version.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import orjson
from plexus.protocol.canonical_json import encode
from plexus.protocol.errors import InvalidParam
from plexus.protocol.events import Event, target_of
from plexus.protocol.hashes import ID_ENCODINGS
from plexus.protocol.redaction import redact_content
from plexus.protocol.room_versions import RoomVersion
from plexus.protocol.signatures import SIGNATURE_CHARS, SigningKey
from plexus.protocol.validation import check_draft, check_event_size

_NONE: Mapping[str, str] = MappingProxyType({})


def build(
    version: RoomVersion,
    *,
    room_id: str | None,
    type: str,
    sender: str,
    content: Mapping[str, Any],
    state_key: str | None = None,
    redacts: str | None = None,
    event_id: str | None = None,
    prev_events: Sequence[str],
    auth_events: Sequence[str],
    reference_hashes: Mapping[str, str] = _NONE,
    depth: int,
    origin_server_ts: int,
    server_name: str,
    key: SigningKey,
) -> Event:
    """Make, hash, name and sign an event of our own.

    ``room_id`` is None exactly for the create event of a room version in which its hash gives the room ID.
    ``redacts`` is put where the room version keeps it. Where IDs are given (`RoomVersion.event_ids`),
    ``event_id`` is ``$``, an opaque string that is unique, a colon and the server's name; elsewhere it is
    None. Where events are cited with their hashes (`RoomVersion.references_with_hashes`),
    ``reference_hashes`` has the one of each of ``prev_events`` and ``auth_events`` by event ID
    (`reference_hash_of`).

    Raises `BadJson` for content that is not canonical JSON, `TooLarge` and `InvalidParam` for what breaks a
    limit; all before anything is signed.
    """
    prev_events, auth_events = tuple(prev_events), tuple(auth_events)
    check_draft(
        version,
        type=type,
        sender=sender,
        state_key=state_key,
        room_id=room_id,
        event_id=event_id,
        prev_events=prev_events,
        auth_events=auth_events,
        depth=depth,
    )
    names_room = version.room_id_is_create_event_hash and type == "m.room.create"
    if (room_id is None) != names_room:
        raise InvalidParam("room_id belongs to every event but the one that gives the room its ID")
    content = dict(content)
    if redacts is not None:
        if type != "m.room.redaction":
            raise InvalidParam("Only a redaction redacts")
        if version.redacts_in_content:
            content["redacts"] = redacts

    # Keys in canonical order: auth_events, content, depth, event_id, hashes, origin_server_ts, prev_events,
    # redacts, room_id, sender, signatures, state_key, type.
    full_content = encode(content, strict=version.strict_canonical_json)
    kept_content = _kept_content(version, type, content, full_content)
    before = b'{"auth_events":' + _references(version, auth_events, reference_hashes) + b',"content":'
    middle = b',"depth":%d' % depth
    if event_id is not None:
        middle += b',"event_id":' + _dump(event_id)
    origin = b',"origin_server_ts":%d,"prev_events":%b' % (
        origin_server_ts,
        _references(version, prev_events, reference_hashes),
    )
    moved = b""
    if redacts is not None and not version.redacts_in_content:
        moved = b',"redacts":' + _dump(redacts)
    place = b',"sender":' + _dump(sender)
    if room_id is not None:
        place = b',"room_id":' + _dump(room_id) + place
    end = b',"type":' + _dump(type) + b"}"
    if state_key is not None:
        end = b',"state_key":' + _dump(state_key) + end

    complete = b"".join((before, full_content, middle, origin, moved, place, end))
    content_hash = b64encode(sha256(complete).digest())[:43]
    hashes = b',"hashes":{"sha256":"' + content_hash + b'"}'
    # A redaction takes away neither hashes nor anything else of ours but parts of the content and
    # ``redacts``.
    redacted = b"".join((before, kept_content, middle, hashes, origin, place, end))
    opening = b',"signatures":{' + _dump(server_name) + b":{" + _dump(key.key_id) + b':"'
    check_event_size(len(complete) + len(hashes) + len(opening) + SIGNATURE_CHARS + len(b'"}}'))

    signature = key.sign(redacted).encode("ascii")
    if event_id is None:
        event_id = "$" + ID_ENCODINGS[version.event_ids](sha256(redacted).digest())
    raw = b"".join(
        (before, full_content, middle, hashes, origin, moved, place, opening, signature, b'"}}', end)
    )
    return Event(
        raw,
        event_id,
        "!" + event_id[1:] if room_id is None else room_id,
        type,
        state_key,
        sender,
        origin_server_ts,
        depth,
        prev_events,
        auth_events,
        content,
        target_of(type, content) if version.redacts_in_content else redacts,
    )


def _references(version: RoomVersion, event_ids: tuple[str, ...], hashes: Mapping[str, str]) -> bytes:
    if not version.references_with_hashes:
        return _dump(event_ids)
    try:
        return orjson.dumps([[event_id, {"sha256": hashes[event_id]}] for event_id in event_ids])
    except KeyError as error:
        raise InvalidParam(f"The reference hash of {error} is missing") from None


def _kept_content(version: RoomVersion, type: str, content: dict[str, Any], dumped: bytes) -> bytes:
    if type not in version.redaction.content:
        return b"{}"
    kept = redact_content(version, type, content)
    if kept is content:
        return dumped
    if not version.strict_canonical_json:
        return encode(kept, strict=False)
    # Dumped values are canonical already, so only the selection is dumped again.
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)


def _dump(value: str | tuple[str, ...]) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        # Only a lone surrogate can bring this about.
        raise InvalidParam("Not valid Unicode") from None

"""Events: built, read, redacted.

An `Event` keeps the canonical bytes of its PDU (``raw``) and the parsed fields that the server works with.
The bytes are made or parsed once and passed on; nobody prints an event again to send it to another server.

`build` makes one of our own:

1. the content is dumped once;
2. the other top-level keys are dumped in the pieces between which ``content``, ``hashes`` and ``signatures``
   go in canonical order, so that each form of the event is a join of pieces;
3. the full form without hashes gives the content hash; the redacted form with hashes is what is signed, and
   its hash is the event ID.

`Event.from_raw` reads what we stored ourselves and trusts it; `Event.from_pdu` takes what came from another
server and checks shape and size. Hashes and signatures are checked by ``hashes`` and ``signatures``.

An Event is never changed after it was made.

https://spec.matrix.org/latest/rooms/ ("Event format"); Server-Server API, "Signing Events".
"""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Self

import orjson
from plexus.protocol.canonical_json import encode
from plexus.protocol.errors import InvalidEvent, InvalidParam, MatrixError
from plexus.protocol.hashes import event_id_of
from plexus.protocol.redaction import redact, redact_content
from plexus.protocol.room_versions import RoomVersion
from plexus.protocol.signatures import SIGNATURE_CHARS, SigningKey, sign_event
from plexus.protocol.validation import MAX_EVENT_BYTES, check_draft, check_event_size, check_pdu


@dataclass(slots=True, eq=False)
class Event:
    """One event of a room.

    ``raw`` is the canonical PDU with hashes and signatures, without ``event_id`` and ``unsigned``.
    ``room_id`` is always there, also for a create event whose PDU has none. ``redacts`` is the target of an
    m.room.redaction, wherever the room version keeps it. ``origin_server_ts`` is in milliseconds.
    """

    raw: bytes
    event_id: str
    room_id: str
    type: str
    state_key: str | None
    sender: str
    origin_server_ts: int
    depth: int
    prev_events: tuple[str, ...]
    auth_events: tuple[str, ...]
    content: dict[str, Any]
    redacts: str | None

    @property
    def is_state(self) -> bool:
        return self.state_key is not None

    @property
    def key(self) -> tuple[str, str]:
        """(type, state key) of a state event."""
        if self.state_key is None:
            raise ValueError("Not a state event")
        return (self.type, self.state_key)

    def pdu(self) -> dict[str, Any]:
        """The PDU as a JSON object of its own, parsed from ``raw``."""
        return orjson.loads(self.raw)  # type: ignore[no-any-return]

    @classmethod
    def from_raw(cls, version: RoomVersion, raw: bytes, event_id: str | None = None) -> Self:
        """Read canonical bytes that were checked before; without ``event_id`` it is computed."""
        return cls._of(version, orjson.loads(raw), raw, event_id)

    @classmethod
    def from_pdu(cls, version: RoomVersion, pdu: Mapping[str, Any]) -> Self:
        """Take a PDU from another server: `InvalidEvent` unless it has the format of the room version.

        ``unsigned`` is dropped: nothing in it is covered by a signature.
        """
        own = {key: value for key, value in pdu.items() if key not in ("unsigned", "event_id")}
        check_pdu(version, own)
        try:
            raw = encode(own)
        except MatrixError as error:
            raise InvalidEvent(error.message) from None
        if len(raw) > MAX_EVENT_BYTES:
            raise InvalidEvent(f"The event has more than {MAX_EVENT_BYTES} bytes")
        return cls._of(version, own, raw, None)

    @classmethod
    def _of(cls, version: RoomVersion, pdu: dict[str, Any], raw: bytes, event_id: str | None) -> Self:
        if event_id is None:
            event_id = event_id_of(version, pdu)
        content: dict[str, Any] = pdu["content"]
        return cls(
            raw,
            event_id,
            pdu["room_id"] if "room_id" in pdu else "!" + event_id[1:],
            pdu["type"],
            pdu.get("state_key"),
            pdu["sender"],
            pdu["origin_server_ts"],
            pdu["depth"],
            tuple(pdu["prev_events"]),
            tuple(pdu["auth_events"]),
            content,
            _target_of(pdu["type"], content if version.redacts_in_content else pdu),
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it is signed: what `check_auth` needs to judge it.

    ``room_id`` is None for a create event that is to give the room its ID.
    """

    type: str
    sender: str
    content: Mapping[str, Any]
    room_id: str | None
    state_key: str | None = None
    prev_events: tuple[str, ...] = ()


def build(
    version: RoomVersion,
    *,
    room_id: str | None,
    type: str,
    sender: str,
    content: Mapping[str, Any],
    state_key: str | None = None,
    redacts: str | None = None,
    prev_events: Sequence[str],
    auth_events: Sequence[str],
    depth: int,
    origin_server_ts: int,
    server_name: str,
    key: SigningKey,
) -> Event:
    """Make, hash, name and sign an event of our own.

    ``room_id`` is None exactly for the create event of a room version in which its hash gives the room ID.
    ``redacts`` is put where the room version keeps it. Raises `BadJson` for content that is not canonical
    JSON, `TooLarge` and `InvalidParam` for what breaks a limit; all before anything is signed.
    """
    prev_events, auth_events = tuple(prev_events), tuple(auth_events)
    check_draft(
        type=type,
        sender=sender,
        state_key=state_key,
        room_id=room_id,
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

    # Keys in canonical order: auth_events, content, depth, hashes, origin_server_ts, prev_events, redacts,
    # room_id, sender, signatures, state_key, type.
    full_content = encode(content)
    kept_content = _kept_content(version, type, content, full_content)
    before = b'{"auth_events":' + _dump(auth_events) + b',"content":'
    middle = b',"depth":%d' % depth
    origin = b',"origin_server_ts":%d,"prev_events":%b' % (origin_server_ts, _dump(prev_events))
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
    event_id = "$" + urlsafe_b64encode(sha256(redacted).digest())[:43].decode("ascii")
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
        _target_of(type, content) if version.redacts_in_content else redacts,
    )


def add_signature(version: RoomVersion, event: Event, server_name: str, key: SigningKey) -> Event:
    """The same event with one more signature, as for invites and restricted joins. Its ID stays the same."""
    raw = encode(sign_event(version, event.pdu(), server_name, key))
    return Event.from_raw(version, raw, event.event_id)


def redact_raw(version: RoomVersion, raw: bytes) -> bytes:
    """The canonical bytes of the redacted PDU; hashes and signatures stay and stay valid."""
    return encode(redact(version, orjson.loads(raw)))


def redact_event(version: RoomVersion, event: Event) -> Event:
    """The redacted event. It keeps its ID, which covers nothing that a redaction takes."""
    return Event.from_raw(version, redact_raw(version, event.raw), event.event_id)


def _target_of(type: str, holder: Mapping[str, Any]) -> str | None:
    target = holder.get("redacts") if type == "m.room.redaction" else None
    return target if isinstance(target, str) else None


def _kept_content(version: RoomVersion, type: str, content: dict[str, Any], dumped: bytes) -> bytes:
    if type not in version.redaction.content:
        return b"{}"
    kept = redact_content(version, type, content)
    # Dumped values are canonical already, so only the selection is dumped again.
    return dumped if kept is content else orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)


def _dump(value: str | tuple[str, ...]) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        # Only a lone surrogate can bring this about.
        raise InvalidParam("Not valid Unicode") from None

"""Events: read, drafted, redacted.

An `Event` keeps the canonical bytes of its PDU (``raw``) and the parsed fields that the server works with.
The bytes are made or parsed once and passed on; nobody prints an event again to send it to another server.

`Event.from_raw` reads what we stored ourselves and trusts it; `Event.from_pdu` takes what came from another
server and checks shape and size. Hashes and signatures are checked by ``hashes`` and ``signatures``. Our own
are made by ``building``. All room versions look alike here: an Event has its ID and those of the events that
it cites, whether its PDU holds them, hides them in pairs with hashes, or leaves them to be computed.

An Event is never changed after it was made.

https://spec.matrix.org/latest/rooms/ ("Event format"); Server-Server API, "Signing Events".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson
from plexus.protocol.canonical_json import decode, encode
from plexus.protocol.errors import InvalidEvent, MatrixError
from plexus.protocol.hashes import encode_base64, event_id_of, reference_hash
from plexus.protocol.redaction import redact
from plexus.protocol.room_versions import RoomVersion
from plexus.protocol.signatures import SigningKey, sign_event
from plexus.protocol.validation import MAX_EVENT_BYTES, check_pdu


@dataclass(slots=True, eq=False)
class Event:
    """One event of a room.

    ``raw`` is the canonical PDU with hashes and signatures, without ``unsigned``. ``room_id`` is always
    there, also for a create event whose PDU has none. ``redacts`` is the target of an m.room.redaction,
    wherever the room version keeps it. ``origin_server_ts`` is in milliseconds.
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
        pdu: dict[str, Any] = decode(self.raw, strict=False)
        return pdu

    @classmethod
    def from_raw(cls, version: RoomVersion, raw: bytes, event_id: str | None = None) -> Self:
        """Read canonical bytes that were checked before; without ``event_id`` it is computed."""
        # As `parse_raw`, without the call: every event that is looked at comes this way.
        pdu = orjson.loads(raw) if version.strict_canonical_json else decode(raw, strict=False)
        return cls._of(version, pdu, raw, event_id)

    @classmethod
    def from_pdu(cls, version: RoomVersion, pdu: Mapping[str, Any], *, raw: bytes | None = None) -> Self:
        """Take a PDU from another server: `InvalidEvent` unless it has the format of the room version.

        ``unsigned`` is dropped: nothing in it is covered by a signature. ``raw`` is the canonical JSON of the
        rest, if it has been made before (``pdus``).
        """
        own = {key: value for key, value in pdu.items() if key != "unsigned"}
        check_pdu(version, own)
        if raw is None:
            try:
                raw = encode(own, strict=version.strict_canonical_json)
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
        prev_events, auth_events = pdu["prev_events"], pdu["auth_events"]
        if version.references_with_hashes:
            prev_events, auth_events = (
                [cited[0] for cited in prev_events],
                [cited[0] for cited in auth_events],
            )
        return cls(
            raw,
            event_id,
            pdu["room_id"] if "room_id" in pdu else "!" + event_id[1:],
            pdu["type"],
            pdu.get("state_key"),
            pdu["sender"],
            pdu["origin_server_ts"],
            pdu["depth"],
            tuple(prev_events),
            tuple(auth_events),
            content,
            target_of(pdu["type"], content if version.redacts_in_content else pdu),
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it is signed: what `check_auth` needs to judge it.

    ``room_id`` is None for a create event that is to give the room its ID, ``event_id`` for an event that is
    to be named by its hash. ``redacts`` is the target of an m.room.redaction.
    """

    type: str
    sender: str
    content: Mapping[str, Any]
    room_id: str | None
    state_key: str | None = None
    prev_events: tuple[str, ...] = ()
    event_id: str | None = None
    redacts: str | None = None


def parse_raw(version: RoomVersion, raw: bytes) -> dict[str, Any]:
    """The PDU as a JSON object, from bytes that were checked before."""
    pdu: dict[str, Any] = orjson.loads(raw) if version.strict_canonical_json else decode(raw, strict=False)
    return pdu


def add_signature(version: RoomVersion, event: Event, server_name: str, key: SigningKey) -> Event:
    """The same event with one more signature, as for invites and restricted joins. Its ID stays the same."""
    signed = sign_event(version, parse_raw(version, event.raw), server_name, key)
    return Event.from_raw(version, encode(signed, strict=version.strict_canonical_json), event.event_id)


def redact_raw(version: RoomVersion, raw: bytes) -> bytes:
    """The canonical bytes of the redacted PDU; hashes and signatures stay and stay valid."""
    return encode(redact(version, parse_raw(version, raw)), strict=version.strict_canonical_json)


def redact_event(version: RoomVersion, event: Event) -> Event:
    """The redacted event. It keeps its ID, which covers nothing that a redaction takes."""
    return Event.from_raw(version, redact_raw(version, event.raw), event.event_id)


def reference_hash_of(version: RoomVersion, raw: bytes) -> str:
    """The reference hash of a PDU in unpadded base64, as `build` puts it beside the ID of an event that is
    cited. Redacted bytes give the same.
    """
    return encode_base64(reference_hash(version, parse_raw(version, raw)))


def target_of(type: str, holder: Mapping[str, Any]) -> str | None:
    """The target of a redaction, from the part of the PDU that holds it."""
    target = holder.get("redacts") if type == "m.room.redaction" else None
    return target if isinstance(target, str) else None

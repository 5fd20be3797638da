"""Pure Matrix: what the specification says, and nothing that needs a network, a disk or a clock.

An event's way through this package:

1. A request's body is parsed by `canonical_json.decode_request`, its identifiers are checked by
   `identifiers`.
2. `auth_types_for_event` says which state an event cites; the caller looks it up.
3. `check_auth` judges a `Draft` against the state of the room, by the rules of its `RoomVersion`.
4. `build_event` makes the canonical bytes, hashes and signs them and names the `Event`. What comes from
   another server enters by its bytes instead: `transactions.read_transaction` or `pdus.read_pdu`; its room
   version known, `IncomingPdu.to_event`; then `signing_requirements` and `signatures.verify_event` (or
   `verification`, for many), and `hashes.check_content_hash`.
   `server_acls` says which servers may take part at all.
5. Where branches of the room meet, `resolve_states`, or `state_resolution.resolve` for large rooms, says
   which state holds.
6. `visibility` decides who may see it, `Filter` who wants it, `push_evaluation` whom to notify, and
   `client_event` how it looks to clients.

Room versions differ only by values: see `room_versions`. Whatever goes wrong is in `errors`, where what we
answer (`MatrixError`) and what another server did (`RemoteFault`) are different things.

It does not store, send, fetch or wait; look-ups come in as functions, time and randomness as parameters.

The names below are the public face; less common ones are imported from their modules.
"""

from plexus.protocol.auth_rules import auth_types_for_event, check_auth, check_auth_events, may_redact
from plexus.protocol.building import build as build_event
from plexus.protocol.errors import (
    AuthRejected,
    BadHash,
    BadJson,
    BadSignature,
    Forbidden,
    InvalidEvent,
    InvalidParam,
    LimitExceeded,
    MatrixError,
    MissingEvents,
    MissingParam,
    NotFound,
    NotJson,
    ProtocolError,
    RemoteFault,
    TooLarge,
    Unavailable,
)
from plexus.protocol.events import Draft, Event, add_signature, redact_event, redact_raw
from plexus.protocol.filters import EventFilter, Filter, RoomFilter
from plexus.protocol.format import client_event, client_event_prefix, stripped_state
from plexus.protocol.power_levels import PowerLevels
from plexus.protocol.redaction import redact
from plexus.protocol.room_versions import DEFAULT_ROOM_VERSION, ROOM_VERSIONS, RoomVersion
from plexus.protocol.room_versions import get as get_room_version
from plexus.protocol.signatures import SigningKey, VerifyKey, sign_json, verify_json
from plexus.protocol.state_resolution import resolve_states

__all__ = [
    "DEFAULT_ROOM_VERSION",
    "ROOM_VERSIONS",
    "AuthRejected",
    "BadHash",
    "BadJson",
    "BadSignature",
    "Draft",
    "Event",
    "EventFilter",
    "Filter",
    "Forbidden",
    "InvalidEvent",
    "InvalidParam",
    "LimitExceeded",
    "MatrixError",
    "MissingEvents",
    "MissingParam",
    "NotFound",
    "NotJson",
    "PowerLevels",
    "ProtocolError",
    "RemoteFault",
    "RoomFilter",
    "RoomVersion",
    "SigningKey",
    "TooLarge",
    "Unavailable",
    "VerifyKey",
    "add_signature",
    "auth_types_for_event",
    "build_event",
    "check_auth",
    "check_auth_events",
    "client_event",
    "client_event_prefix",
    "get_room_version",
    "may_redact",
    "redact",
    "redact_event",
    "redact_raw",
    "resolve_states",
    "sign_json",
    "stripped_state",
    "verify_json",
]

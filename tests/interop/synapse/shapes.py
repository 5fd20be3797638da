"""One PDU with a key changed to everything that it might be sent as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

KEYS = (
    *("type", "state_key", "sender", "room_id", "content", "hashes", "signatures", "depth"),
    *("origin_server_ts", "prev_events", "auth_events", "redacts", "event_id", "unsigned", "org.example.key"),
)

MISSING = object()

VALUES: Mapping[str, Any] = {
    "missing": MISSING,
    "null": None,
    "text": "text",
    "empty text": "",
    "long text": "a" * 256,
    "many bytes": "ä" * 200,
    "NUL": "a\0b",
    "a user": "@a:one",
    "an odd user": "@",
    "a room": "!a:one",
    "a room without a server": "!" + "a" * 43,
    "an event": "$" + "a" * 43,
    "an event with a server": "$a:one",
    "true": True,
    "five": 5,
    "negative": -1,
    "2**53": 2**53,
    "2**63": 2**63,
    "a half": 0.5,
    "list": [],
    "numbers": [5],
    "events": ["$" + "a" * 43] * 2,
    "many events": ["$" + "a" * 43] * 25,
    "an event with its hash": [["$a:one", {}]],
    "object": {},
    "no hash": {"md5": "x"},
    "a number as hash": {"sha256": 5},
    "signatures of nobody": {"one": {}},
    "a number for signatures": {"one": 5},
    "a number for a signature": {"one": {"ed25519:a_one": 5}},
}


def altered(pdu: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(key, name of the value, PDU) for each key and value."""
    for key in KEYS:
        rest = {name: value for name, value in pdu.items() if name != key}
        for name, value in VALUES.items():
            yield key, name, rest if value is MISSING else {**rest, key: value}


STRICTER: Mapping[str, frozenset[str]] = {
    # Grammar of the identifier. Synapse knows no such room, and never sees such an event.
    "room_id": frozenset(VALUES),
    # At most 20 and 10: Synapse counts later. References are to event IDs.
    "prev_events": frozenset(("many events",)),
    "auth_events": frozenset(("many events",)),
    # 0.5 passes for an object in rooms without strict JSON.
    "content": frozenset(("a half",)),
    # Synapse refuses these when it comes to check the hash,
    "hashes": frozenset(("object", "no hash", "a half")),
    # and these by the rules: nobody of that name is in a room.
    "sender": frozenset(("a room", "an event with a server")),
    # Grammar of the identifier, where servers gave it themselves.
    "event_id": frozenset(("a user", "a room")),
}
"""Where we refuse by the specification's event format what Synapse takes, at this step."""

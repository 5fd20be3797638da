"""Events in the form in which servers send them to one another, for a filter with ``event_format:
federation``.

Sections are made as for everybody, and in the end each event is replaced by its PDU, with its ``event_id``
where the room version has none in it, and with the ``unsigned`` that the client would get. Rare, so by dicts.

Client-Server API, ``Filter``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson
from plexus.rooms import RoomRef, Rooms, StoredEvent
from plexus.sync.events import SyncEvent

Pdus = dict[str, bytes]
"""PDUs by event ID."""


async def read_pdus(rooms: Rooms, wanted: Sequence[tuple[RoomRef, Sequence[SyncEvent]]]) -> list[Pdus]:
    """The PDUs of the timelines of some rooms, in one query."""
    found = await rooms.events([(ref, [event.ordinal for event in events]) for ref, events in wanted])
    return [
        pdus_of(
            _as_told(found[ref, event.ordinal], event) for event in events if (ref, event.ordinal) in found
        )
        for ref, events in wanted
    ]


def pdus_of(events: Iterable[StoredEvent]) -> Pdus:
    return {event.event_id: event.raw for event in events}


def _as_told(stored: StoredEvent, told: SyncEvent) -> StoredEvent:
    """Redacted also if it is only this viewer who is told a redacted copy."""
    return stored.redacted() if told.is_redacted and not stored.is_redacted else stored


def in_federation_form(event: bytes, pdus: Pdus) -> bytes:
    """The PDU of an event that is given as clients get it; as it is if its PDU is not known."""
    client = orjson.loads(event)
    raw = pdus.get(client["event_id"])
    if raw is None:
        return event
    pdu = orjson.loads(raw)
    return orjson.dumps(pdu | {"event_id": client["event_id"], "unsigned": client.get("unsigned", {})})

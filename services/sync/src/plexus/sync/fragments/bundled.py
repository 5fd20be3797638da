"""Events with what is told of those that relate to them.

Client-Server API, "Aggregations of child events".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from plexus.rooms import Bundle, StoredEvent
from plexus.sync.events import SyncEvent


def with_bundles(
    printed: Sequence[bytes],
    events: Sequence[SyncEvent],
    bundles: Mapping[int, Bundle],
    viewer: str,
    device: str | None,
    now_ms: int,
) -> list[bytes]:
    """The printed form of some events, with what is bundled with each, by its ordinal."""

    def child(event: StoredEvent, relations: bytes | None) -> bytes:
        return event.client_bytes(
            now_ms=now_ms, user_id=viewer, device_id=device, with_room_id=False, relations=relations
        )

    found = [bundles.get(event.ordinal) for event in events]
    return [
        event
        if bundle is None
        # Into the unsigned data, which ends the event.
        else event[:-2] + b',"m.relations":' + bundle.json(child, viewer) + b"}}"
        for event, bundle in zip(printed, found, strict=True)
    ]

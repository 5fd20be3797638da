"""The events that receipts name: where they are, and in which thread.

What was read once is kept: the place of an event never changes, and whole rooms send their receipts for the
same one.

Client-Server API, "Threaded read receipts".
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson
from plexus.platform.postgres import ReadSession
from plexus.protocol.identifiers import is_event_id
from plexus.rooms.ground import Ground
from plexus.rooms.receipts import MAIN
from plexus.rooms.values import Place, RoomRef

MOST = 20_000
HOPS = 3
"""Relations that are followed to find the thread of an event, at most. The spec's number."""

_EVENT = """
SELECT ordinal, sub, redacted_by IS NOT NULL, raw FROM rooms.event
 WHERE lane = %s::smallint AND room = %s::integer AND event_id = %s
"""


@dataclass(frozen=True, slots=True)
class ReceiptTarget:
    """``thread`` is `MAIN` or the event ID of a root; None for what was redacted: that does not say it any
    more.
    """

    event_id: str
    place: Place
    thread: str | None


class ReceiptTargets:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._known: OrderedDict[tuple[str, str], ReceiptTarget] = OrderedDict()

    async def get(self, ref: RoomRef, event_id: str) -> ReceiptTarget | None:
        """None if the room's timeline has no such event."""
        key = (ref.room_id, event_id)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        # Not from a replica: the event may have been sent just now.
        async with self._ground.db.read(primary=True) as session:
            target = await _read(session, ref, event_id)
        if target is not None:
            self._known[key] = target
            if len(self._known) > MOST:
                self._known.popitem(last=False)
        return target


async def _read(session: ReadSession, ref: RoomRef, event_id: str) -> ReceiptTarget | None:
    row = await session.one(_EVENT, (ref.lane, ref.room, event_id))
    if row is None or row[0] is None:
        return None
    ordinal, sub, redacted, raw = row
    thread = None if redacted else await _thread(session, ref, raw)
    return ReceiptTarget(event_id, Place(ordinal, sub), thread)


async def _thread(session: ReadSession, ref: RoomRef, raw: bytes) -> str:
    for _ in range(HOPS):
        relation = _relation(raw)
        parent = relation.get("event_id")
        if not is_event_id(parent):
            return MAIN
        if relation.get("rel_type") == "m.thread":
            return str(parent)
        row = await session.one(_EVENT, (ref.lane, ref.room, parent))
        if row is None:
            return MAIN
        raw = row[3]
    relation = _relation(raw)
    parent = relation.get("event_id")
    return str(parent) if relation.get("rel_type") == "m.thread" and is_event_id(parent) else MAIN


def _relation(raw: bytes) -> dict[str, Any]:
    """``m.relates_to`` of an event; empty if it has none, or one without a type."""
    content = orjson.loads(raw).get("content")
    relation = content.get("m.relates_to") if isinstance(content, dict) else None
    return relation if isinstance(relation, dict) and "rel_type" in relation else {}

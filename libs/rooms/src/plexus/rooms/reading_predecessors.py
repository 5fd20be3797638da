"""What an event builds upon: the rows of its ``prev_events`` and ``auth_events``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plexus.platform.postgres import ReadSession
from plexus.protocol.events import Event
from plexus.rooms.errors import UnknownPredecessors
from plexus.rooms.packing import int8
from plexus.rooms.values import RoomRef
from plexus.rooms.writes import Flags

_BY_ID = """
SELECT num, event_id, flags, snap_after
  FROM rooms.event
 WHERE lane = %s::smallint AND room = %s::integer AND event_id = ANY (%s::text[])
"""

# Past events that are not live: those that they follow, and so on.
_BENEATH = """
WITH RECURSIVE past (num) AS (
    SELECT unnest(%(nums)s::bigint[])
    UNION
    SELECT p.num FROM past
     CROSS JOIN LATERAL (SELECT unnest(e.prev) AS num FROM rooms.event e
                          WHERE e.lane = %(lane)s::smallint AND e.room = %(room)s::integer
                            AND e.num = past.num AND e.flags & 3 <> 0) AS p
)
SELECT num FROM past
"""


@dataclass(frozen=True, slots=True)
class Predecessor:
    """An event that another one builds upon; ``snapshot`` is that of the state after it."""

    num: int
    event_id: str
    flags: Flags
    snapshot: int


async def read_predecessors(session: ReadSession, ref: RoomRef, event: Event) -> dict[str, Predecessor]:
    """What is here of the event's predecessors, and of the event itself."""
    ids = {event.event_id, *event.prev_events, *event.auth_events}
    rows = await session.fetch(_BY_ID, (ref.lane, ref.room, list(ids)))
    return {
        event_id: Predecessor(num, event_id, Flags(flags), snapshot)
        for num, event_id, flags, snapshot in rows
    }


def known_of(event: Event, found: dict[str, Predecessor]) -> tuple[list[Predecessor], list[Predecessor]]:
    """The ``prev_events`` and the ``auth_events``, each once; `UnknownPredecessors` unless they are all here.
    An outlier has no state, so it cannot be followed.
    """
    prev = [found.get(event_id) for event_id in dict.fromkeys(event.prev_events)]
    auth = [found.get(event_id) for event_id in dict.fromkeys(event.auth_events)]
    followed = [node for node in prev if node is not None and not node.flags & Flags.OUTLIER]
    cited = [node for node in auth if node is not None]
    if len(followed) < len(prev) or len(cited) < len(auth):
        raise UnknownPredecessors(
            event.event_id,
            set(event.prev_events) - {node.event_id for node in followed},
            set(event.auth_events) - {node.event_id for node in cited},
        )
    return followed, cited


async def passed_over(session: ReadSession, ref: RoomRef, prev: Sequence[Predecessor]) -> set[int]:
    """The events that cannot be extremities any more when one follows ``prev``: these, and what those of them
    follow that are not live, and so on.
    """
    nums = {node.num for node in prev}
    if any(node.flags for node in prev):
        rows = await session.fetch(_BENEATH, {"nums": int8(list(nums)), "lane": ref.lane, "room": ref.room})
        nums.update(num for (num,) in rows)
    return nums

"""The event of a room that is closest to a time, as one user may see it.

The time is what the sender's server says (``origin_server_ts``), so it need not follow the order of the
timeline. Of events of the same time the first in the direction of the search is meant.

Client-Server API, ``GET /rooms/{roomId}/timestamp_to_event``.
"""

from __future__ import annotations

from plexus.protocol.errors import Forbidden
from plexus.rooms.ground import Ground
from plexus.rooms.stored import StoredEvent, with_columns
from plexus.rooms.values import RoomRef
from plexus.rooms.visibility import Viewer, read_viewers

MOST_ROUNDS = 10
MOST_READ = 200
_END = 2**63 - 1

_FROM = with_columns("""
SELECT {columns} FROM rooms.event
 WHERE lane = %(lane)s::smallint AND room = %(room)s::integer AND ordinal IS NOT NULL
   AND (origin_server_ts, num) > (%(ts)s, %(num)s) AND ordinal <= %(last)s
   AND (ordinal <= %(hidden)s OR ordinal >= %(first)s)
 ORDER BY origin_server_ts, num LIMIT %(most)s
""")

_BACK_FROM = with_columns("""
SELECT {columns} FROM rooms.event
 WHERE lane = %(lane)s::smallint AND room = %(room)s::integer AND ordinal IS NOT NULL
   AND (origin_server_ts, num) < (%(ts)s, %(num)s) AND ordinal <= %(last)s
   AND (ordinal <= %(hidden)s OR ordinal >= %(first)s)
 ORDER BY origin_server_ts DESC, num DESC LIMIT %(most)s
""")


async def event_by_time(
    ground: Ground, ref: RoomRef, ts: int, *, backwards: bool, viewer: str
) -> StoredEvent | None:
    """The closest event at ``ts`` (milliseconds) or after it, or before it; None if there is none that the
    viewer may see. `Forbidden` if they may see nothing of this room.

    Looks at two thousand events at the most.
    """
    eyes = (await read_viewers(ground, [ref], viewer))[ref]
    if not eyes.may_read:
        raise Forbidden("You are not in this room")
    hidden, first, last = _reach(eyes)
    # Just before, or just behind, all events of that time.
    at = (ts, _END if backwards else -1)
    for _ in range(MOST_ROUNDS):
        async with ground.db.read() as session:
            rows = await session.fetch(
                _BACK_FROM if backwards else _FROM,
                {
                    "lane": ref.lane,
                    "room": ref.room,
                    "ts": at[0],
                    "num": at[1],
                    "hidden": hidden,
                    "first": first,
                    "last": last,
                    "most": MOST_READ,
                },
            )
        for row in rows:
            event = StoredEvent.of_row(ref, row)
            if eyes.sees(event):
                return event
            at = (event.origin_server_ts, event.num)
        if len(rows) < MOST_READ:
            break
    return None


def _reach(eyes: Viewer) -> tuple[int, int, int]:
    """Ordinals: nothing is visible after the first and before the second (what was said before they came),
    and nothing after the third (what was said after they left). That is not all that is hidden, but what may
    be long.
    """
    hidden = first = 0
    if eyes.memberships:
        first = hidden = eyes.memberships[0].start
        for start, value in reversed(eyes.visibilities):
            if start < first:
                if value not in ("joined", "invited"):
                    break
                # An event of this ordinal or the next is judged by what held before as well.
                hidden = start + 1
    if eyes.left_at is None or any(value == "world_readable" for _, value in eyes.visibilities):
        return hidden, first, _END
    return hidden, first, max(eyes.left_at, eyes.memberships[-1].start)

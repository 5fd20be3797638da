"""After a commit: the followers of the lane hear of it, and who wrote gets a mark.

The commit stands, whatever happens here. So nothing here raises: a group that was not published is a hole
that its followers find and read, and without its mark a user may for a moment not see their own write. A
failure is logged, and the write is answered as what it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from plexus.platform.lanes import ROOM, Fact, Group, RoomFact
from plexus.rooms.body import room_body
from plexus.rooms.writes import Outcome, Result, RoomWrite

if TYPE_CHECKING:
    from plexus.platform.telemetry import GroupTrace
    from plexus.rooms.ground import Ground

FORKED = b"\x01"
"""As the data of a fact of events: the room's current state has changed otherwise than by each of them taking
force in its turn."""

log = logging.getLogger(__name__)

MOST_BYTES = 600_000
"""Of events in one group: it travels as one record of less than 900 KB."""


async def announce(
    ground: Ground,
    lane: int,
    writes: Sequence[RoomWrite],
    found: Sequence[Outcome],
    trace: GroupTrace | None = None,
) -> None:
    """Publish what was written of a group, and leave a mark for each sender. Never raises."""
    written = [
        (write, outcome)
        for write, outcome in zip(writes, found, strict=True)
        if outcome.result is Result.WRITTEN
    ]
    if not written:
        return
    try:
        facts = _facts(written)
        if not facts:
            return
        with nullcontext() if trace is None else trace.publishing(len(facts)) as parent:
            ground.fanout.publish(Group(ground.log.generation(), ROOM, lane, facts, parent))
    except Exception:
        log.exception("a committed group of lane %d was not published", lane)
    marks = {
        row.event.sender: outcome.position
        for write, outcome in written
        if not write.remote
        for row in write.events
    }
    await leave_marks(ground, lane, marks)


async def leave_marks(ground: Ground, lane: int, marks: Mapping[str, int]) -> None:
    """A mark at a position of the lane for each user. Never raises."""
    try:
        # Together: with Redis they travel in one batch, and the lane's next group waits for them.
        setting = [ground.marks.set(user_id, {(ROOM, lane): position}) for user_id, position in marks.items()]
        if len(setting) == 1:
            await setting[0]
        else:
            await asyncio.gather(*setting)
    except Exception:
        log.exception("marks of lane %d could not be left", lane)


def _facts(written: Sequence[tuple[RoomWrite, Outcome]]) -> tuple[Fact, ...]:
    facts: list[Fact] = []
    written = [(write, outcome) for write, outcome in written if write.live]
    for write, outcome in written:
        first, last = write.live[0].num, write.live[-1].num
        # A new room can be larger than a record; followers read it.
        body = room_body(write, outcome.room) if write.size <= MOST_BYTES else None
        data = FORKED if write.is_forked else b""
        facts.append(Fact(outcome.position, RoomFact.EVENTS, write.ref.room_id, first, last, data, body))
    if not facts:
        return ()
    # The function appends these after all of those.
    position = facts[-1].position
    for write, _ in written:
        for redaction in write.redactions:
            position += 1
            room_id, num = write.ref.room_id, redaction.num
            facts.append(Fact(position, RoomFact.REDACTED, room_id, num, num))
    return tuple(facts)

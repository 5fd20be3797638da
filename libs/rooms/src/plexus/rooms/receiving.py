"""Taking an event from another server into its room.

The event is placed upon the head (``placing``) and written if the room has not moved on meanwhile; if it has,
once more, under the room's row lock, as local events are (``conflict``). What must be resolved for it is
resolved with no lock held, and remembered: states do not change, so the answer still holds when the event is
placed again, whatever has been written in between.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from plexus.platform.postgres import ReadSession
from plexus.protocol.errors import InvalidEvent, Unavailable
from plexus.protocol.events import Event
from plexus.rooms.conflict import write_locked_by
from plexus.rooms.head import RoomHead
from plexus.rooms.placing import Placed, Unresolved, place
from plexus.rooms.resolving import resolve_states
from plexus.rooms.values import Received
from plexus.rooms.variants import Identity, Variant, set_of
from plexus.rooms.writes import Outcome, Result

if TYPE_CHECKING:
    from plexus.rooms.actor import RoomActor
    from plexus.rooms.ground import Ground

MOST_RESOLVED = 64
"""Resolutions remembered for one room."""

_ATTEMPTS = 50


class Resolutions:
    """What sets of states of one room come to."""

    def __init__(self) -> None:
        self.known: OrderedDict[frozenset[Identity], Variant] = OrderedDict()

    async def resolve(self, ground: Ground, wanted: Unresolved) -> None:
        """Resolve and remember. No lock may be held."""
        head = wanted.head
        self.known[set_of(wanted.states)] = await resolve_states(
            ground.db, head.ref, head.version, head.salt, wanted.states, wanted.pending, wanted.reads
        )
        if len(self.known) > MOST_RESOLVED:
            self.known.popitem(last=False)


async def receive(actor: RoomActor, ground: Ground, event: Event) -> Received:
    """What becomes of the event; raises as `Rooms.receive`."""
    locked = actor.is_contended
    before: Unresolved | None = None
    for _ in range(_ATTEMPTS):
        attempt = _locked if locked else _try
        try:
            placed, outcome = await attempt(actor, ground, event, before)
        except Unresolved as wanted:
            await actor.resolutions.resolve(ground, wanted)
            before = wanted
            continue
        if outcome.result in (Result.CONFLICT, Result.LOCKED):
            actor.note_conflict()
            locked = True
            actor.head = None
            continue
        if outcome.result is not Result.WRITTEN:
            raise InvalidEvent("An event of this ID is in another room")
        if placed.write is None:
            position = placed.head.head_position
            return Received(actor.room_id, event.event_id, placed.fate, position, actor.lane, known=True)
        actor.settle_audience(placed.write)
        actor.head = placed.head.settled(outcome.position, wrote=True).trimmed()
        return Received(
            actor.room_id, event.event_id, placed.fate, outcome.position, actor.lane, reason=placed.reason
        )
    raise Unavailable("The room is too busy to take this event, try again")


async def _try(
    actor: RoomActor, ground: Ground, event: Event, before: Unresolved | None
) -> tuple[Placed, Outcome]:
    async with ground.db.read(primary=True) as session:
        if actor.head is None:
            actor.head = await actor.read_head(session)
        placed = await _place(session, actor, actor.head, event, before)
    if placed.write is None:
        return placed, Outcome(Result.WRITTEN)
    return placed, await actor.write(placed.write)


async def _locked(
    actor: RoomActor, ground: Ground, event: Event, before: Unresolved | None
) -> tuple[Placed, Outcome]:
    async def build(session: ReadSession, head: RoomHead) -> Placed:
        return await _place(session, actor, head, event, before)

    return await write_locked_by(actor, ground, build)


async def _place(
    session: ReadSession, actor: RoomActor, head: RoomHead, event: Event, before: Unresolved | None
) -> Placed:
    """Place the event; what was read ``before`` serves again while the room has not moved on: as a copy,
    because a place whose write was refused must leave no number behind.
    """
    reads = None
    if before is not None and before.reads is not None and before.head.seen == head.seen:
        reads = before.reads.copy()
    placed = await place(session, head, event, actor.resolutions.known, reads=reads)
    if placed.write is not None:
        await actor.judge(placed.write)
    return placed

"""Local events in a room with more extremities than one event may follow.

An event follows all extremities of its room, and so joins its branches; but it cannot follow more than
`MAX_PREV_EVENTS`. If there are more, it follows some of them, and the state before it is what the states
after those come to, which need not be the current state. So such an event is built upon that state and then
placed like one that comes from elsewhere (``placing``). Each leaves fewer extremities behind.

Server-Server API, "PDUs" (``prev_events``).
"""

from __future__ import annotations

from dataclasses import replace

import immutables
from plexus.platform.postgres import ReadSession
from plexus.protocol.validation import MAX_PREV_EVENTS
from plexus.rooms.builder import ChainBuilder, Signer
from plexus.rooms.head import Entry, Extremity, RoomHead, StateKey
from plexus.rooms.placing import Resolved, place, resolution
from plexus.rooms.reading_head import read_annotations, read_targets
from plexus.rooms.room_reads import RoomReads
from plexus.rooms.snapshots import EMPTY
from plexus.rooms.snapshots import Chain as Way
from plexus.rooms.values import Fate
from plexus.rooms.variants import Variant
from plexus.rooms.wishes import Found, Missing, Verdict, Wish
from plexus.rooms.writes import RoomWrite


def is_wide(head: RoomHead) -> bool:
    """Whether no event can follow all extremities."""
    return len(head.extremities) > MAX_PREV_EVENTS


def followed(head: RoomHead) -> tuple[Extremity, ...]:
    """The extremities that the next event follows: the deepest, and of the same depth the oldest, as every
    server that knows them would choose.
    """
    chosen = sorted(head.extremities, key=lambda end: (-end.depth, end.event_id))[:MAX_PREV_EVENTS]
    return tuple(sorted(chosen))


async def build_joining(
    session: ReadSession, head: RoomHead, signer: Signer, wish: Wish, resolved: Resolved
) -> tuple[Verdict, RoomWrite, RoomHead]:
    """The event of one wish: what came of it, the write and the head after it. Raises `Unresolved`."""
    ends = followed(head)
    before = resolution(head, [Variant(end.snapshot) for end in ends], resolved)
    reads = RoomReads(head.ref, head.version)
    known: dict[StateKey, Entry | None] = {}
    found = Found()
    while True:
        # The numbers of what is built here do not matter: only the event is taken.
        upon = replace(
            head,
            extremities=ends,
            depth=max(end.depth for end in ends),
            entries=immutables.Map(known),
            key_nums=immutables.Map(),
            chain=Way(EMPTY, b"", (), 0),
            is_complete=False,
        )
        builder = ChainBuilder(upon, signer, found=found)
        try:
            builder.add(wish)
            break
        except Missing as missing:
            found.targets.update(await read_targets(session, head.ref, missing.targets))
            found.annotations.update(await read_annotations(session, head.ref, missing.annotations))
            entries = await reads.values(session, before, missing.entries)
            await reads.read_events(session, [event_id for event_id in entries.values() if event_id])
            for key, event_id in entries.items():
                event = None if event_id is None else reads.events[event_id]
                known[key] = None if event is None else Entry(event.num, event.event)
    [verdict] = builder.verdicts
    nothing = RoomWrite(
        head.ref, head.seen, head.snapshot, head.next_state_key, head.next_snapshot, head.next_page
    )
    unchanged = replace(head, seen=head.seen + 1)
    if not builder.write.events:
        return verdict, nothing, unchanged
    placed = await place(session, head, builder.write.events[0].event, resolved, wish)
    if placed.fate is not Fate.LIVE or placed.write is None:
        refused = Verdict(error=placed.reason, unless_sent=wish.txn is not None)
        return refused, nothing, unchanged
    return verdict, placed.write, placed.head

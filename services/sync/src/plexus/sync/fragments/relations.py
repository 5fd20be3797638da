"""What a section tells with the events of its timeline of those that relate to them.

Only a limited timeline does, for whoever has all events can see for themselves. What counts ends with the
section: what relates to an event of it later comes with a later sync.

Nothing is read for a timeline without relations. What relates to an event comes after it (but for forks), so
it stands in the same timeline, unless a filter has left it out: then it must be asked about.

Client-Server API, "Aggregations of child events".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from plexus.rooms import Bundle, RoomRef, Rooms
from plexus.sync.events import SyncEvent
from plexus.sync.fragments.timeline import Timeline, Work

Bundles: TypeAlias = Mapping[RoomRef, Mapping[int, Bundle]]
"""By room, and by the event's ordinal."""


async def read_bundles(rooms: Rooms, sections: Sequence[tuple[Work, Timeline]]) -> Bundles:
    """What is told with the events of these sections, which are of different rooms. One query more for those
    that ignore the same users, if there is anything to ask.
    """
    found: dict[RoomRef, dict[int, Bundle]] = {}
    groups: dict[tuple[str | None, frozenset[str]], list[tuple[Work, Timeline]]] = {}
    for work, line in sections:
        if line.limited and _may_relate(work, line):
            groups.setdefault((work.viewer, work.shape.ignored), []).append((work, line))
    for (viewer, ignored), members in groups.items():
        parents: list[SyncEvent] = []
        for _, line in members:
            parents += [event for event in line.events if event.state_key is None]
        upto = {work.ref: work.upto for work, _ in members}
        bundles = await rooms.bundles(parents, viewer=viewer, ignored=ignored, upto=upto)
        for (ref, num), bundle in bundles.items():
            found.setdefault(ref, {})[num] = bundle
    return found


def _may_relate(work: Work, line: Timeline) -> bool:
    return bool(line.events) and (
        not work.shape.whole_timeline or any(event.rel_type is not None for event in line.events)
    )

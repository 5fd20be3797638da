"""The conflicted state subgraph of v2.1: what lies between conflicted events.

An event is on a path between two conflicted events if one leads down to it and it leads down to another. The
walk goes down from all conflicted events to the lowest rank that one of them has, and then back up.
"""

from __future__ import annotations

from collections.abc import Set

from plexus.protocol.state_resolution.lookups import Room

_CAN_BE_CITED = frozenset(
    (
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.join_rules",
        "m.room.third_party_invite",
    )
)


def conflicted_subgraph(room: Room, in_conflict: Set[str]) -> set[str]:
    """The events on the ways along auth events between events of ``in_conflict``, with both ends."""
    room.demand(in_conflict)
    ends = [event_id for event_id in in_conflict if room.get(event_id).type in _CAN_BE_CITED]
    if not ends:
        return set()
    floor = min(map(room.rank, ends))

    above: dict[str, int] = {}
    stack = list(in_conflict)
    while stack:
        event_id = stack.pop()
        event = None if event_id in above else room.find(event_id)
        if event is not None:
            above[event_id] = rank = room.rank(event_id)
            if rank > floor:
                stack.extend(event.auth_events)
    room.demand()

    between: set[str] = set()
    for event_id in sorted(above, key=above.__getitem__):
        if event_id in in_conflict or not between.isdisjoint(room.get(event_id).auth_events):
            between.add(event_id)
    return between

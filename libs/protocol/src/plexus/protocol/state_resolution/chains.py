"""The auth difference, found from the conflicted events alone.

The full auth chain of a state is that of all its events, so it is made of two parts: the chain of its
unconflicted events, which all states have, and that of its conflicted ones. An event is in the difference if
some states' conflicted events lead to it, those of others do not, and no unconflicted one does.

So the walk goes down from the conflicted events, the highest rank first, and notes for each event which
states lead to it. It does not go on below an event that is known to be in every chain: an unconflicted state
event, or one that such an event has followed at the same place. It ends when whatever is left is reached by
all. Whether one that is found is in the chain of an unconflicted event by another way, the caller must say.
"""

from __future__ import annotations

from collections.abc import Set
from heapq import heapify, heappop, heappush

from plexus.protocol.state_resolution.lookups import Room, StateEvent, StateKey


def auth_difference(room: Room) -> Set[str]:
    """The events that are in the full auth chains of some states and not of all, but for those that are in
    conflict themselves. All conflicted events and what was looked at on the way are at hand afterwards.
    """
    all_sides = (1 << len(room.conflicted)) - 1
    sides: dict[str, int] = {}
    for bit, state in enumerate(room.conflicted):
        for event_id in state.values():
            sides[event_id] = sides.get(event_id, 0) | 1 << bit
    in_conflict = frozenset(sides)
    room.demand(in_conflict)

    heap = [(-room.rank(event_id), event_id) for event_id in sides]
    heapify(heap)
    undecided = sum(reached != all_sides for reached in sides.values())
    common = CommonHistory(room)
    difference: set[str] = set()
    while undecided:
        rank, event_id = heappop(heap)
        reached = sides[event_id]
        if reached != all_sides:
            undecided -= 1
            difference.add(event_id)
        for cited in room.get(event_id).auth_events:
            before = sides.get(cited)
            if before is None:
                if cited in common:
                    continue
                cited_rank = -room.rank(cited)
                if cited_rank <= rank:
                    raise ValueError(f"The rank of {event_id} is not above that of its auth event {cited}")
                sides[cited] = reached
                heappush(heap, (cited_rank, cited))
                undecided += reached != all_sides
            elif before | reached != before:
                sides[cited] = before | reached
                undecided -= sides[cited] == all_sides
    room.demand()
    return room.without_cited_by_unconflicted(difference - in_conflict)


class CommonHistory:
    """Events that are in every chain, as far as can be told by looking at one place of the state.

    Most kinds of event cite what they follow: power levels the power levels before, a membership the
    membership before. So the past of an unconflicted place is a line, which is walked as far as it is asked
    about.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._members: set[str] = set()
        self._ends: dict[StateKey, StateEvent | None] = {}

    def __contains__(self, event_id: str) -> bool:
        """Events that are not at hand count as members: nothing can be told of them before they are."""
        if event_id in self._members:
            return True
        event = self._room.find(event_id)
        if event is None:
            return True
        if event.state_key is None:
            return False
        key = (event.type, event.state_key)
        if key not in self._ends:
            self._follow(key, self._room.unconflicted(*key))
        rank = self._room.rank
        while (end := self._ends[key]) is not None and rank(end.event_id) > rank(event_id):
            self._follow(key, self._before(end, key))
        return event_id in self._members

    def _before(self, event: StateEvent, key: StateKey) -> str | None:
        for event_id in event.auth_events:
            cited = self._room.find(event_id)
            if cited is not None and (cited.type, cited.state_key) == key:
                return event_id
        return None

    def _follow(self, key: StateKey, event_id: str | None) -> None:
        self._ends[key] = None if event_id is None else self._room.find(event_id)
        if event_id is not None:
            self._members.add(event_id)

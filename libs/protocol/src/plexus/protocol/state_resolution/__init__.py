"""State resolution: which state holds where branches of a room meet.

Given the states of the branches, in the algorithm of the room version (v1, v2 or v2.1):

1. `conflicted_part` compares the states: what is the same in all of them is *unconflicted* and stands; the
   rest is given on as one small mapping a state. Who keeps states as differences has that already.
2. `resolve` picks the algorithm. In v2 and v2.1 the conflicted events and the auth difference (`chains`), in
   v2.1 also what lies between conflicted events (`subgraph`), are the *full conflicted set*.
3. Its power events are sorted so that greater power and earlier time go first (`ordering`), and each that the
   authorisation rules allow upon the state so far is applied (`iterative`).
4. What remains is sorted along the mainline of the power levels found, and applied likewise.
5. The answer is what the resolved state has beside the unconflicted state. A conflicted place that is not in
   it is empty.

v1 goes another way (`v1`): place by place, by depth.

Nothing here touches the unconflicted state as a whole: with 50,000 members and 1,000 conflicted places, the
look-ups number some thousands. They come in as functions (`Lookups`) and are asked for each event once. What
the caller does not have, `MissingEvents` names, as many at once as can be known: load them and call again. An
exception of the caller's own passes through. Nothing is changed on the way, so a call can be repeated at any
time.

All walks are loops over a heap or a list, never recursive: an auth chain of 100,000 events is only long.

Where the specification leaves a choice, it is made as the servers in the federation make it (docs/decisions,
0019): an unconflicted state event counts as part of every chain; auth chains are followed inside the full
conflicted set.

https://spec.matrix.org/latest/rooms/ ("State resolution" of versions 1, 2 and 12); Server-Server API, "Room
State Resolution".
"""

from plexus.protocol.errors import MissingEvents
from plexus.protocol.state_resolution.algorithms import resolve
from plexus.protocol.state_resolution.conflicts import conflicted_part, resolve_states
from plexus.protocol.state_resolution.lookups import Lookups, StateEvent, StateKey
from plexus.protocol.state_resolution.ranks import Generations, cited_by

__all__ = [
    "Generations",
    "Lookups",
    "MissingEvents",
    "StateEvent",
    "StateKey",
    "cited_by",
    "conflicted_part",
    "resolve",
    "resolve_states",
]

"""Whole states: what they have in common, and the resolution of states that are at hand as mappings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set

from plexus.protocol.room_versions import RoomVersion
from plexus.protocol.state_resolution.algorithms import resolve
from plexus.protocol.state_resolution.lookups import Lookups, StateEvent, StateKey, none_is_rejected
from plexus.protocol.state_resolution.ranks import Generations, cited_by


def conflicted_part(states: Sequence[Mapping[StateKey, str]]) -> list[dict[StateKey, str]]:
    """Of each state, the entries at those places where not all states are the same."""
    if not states:
        return []
    first = states[0].items()
    differing: set[StateKey] = set()
    for other in states[1:]:
        differing.update(key for key, _ in first ^ other.items())
    return [{key: state[key] for key in differing if key in state} for state in states]


def resolve_states(
    version: RoomVersion,
    states: Sequence[Mapping[StateKey, str]],
    event: Callable[[str], StateEvent | None],
    *,
    rank: Callable[[str], int] | None = None,
    is_rejected: Callable[[str], bool] = none_is_rejected,
) -> dict[StateKey, str]:
    """The resolution of whole states, (type, state key) to event ID: for small rooms and for tests.

    ``event``, ``rank`` and ``is_rejected`` as in `Lookups`; without ``rank`` an event's auth chain is walked
    to its end. Raises what `resolve` raises.
    """
    if not states:
        return {}
    conflicted = conflicted_part(states)
    first = states[0]
    differing: set[StateKey] = set().union(*conflicted)
    ranked = Generations(event) if rank is None else rank

    def unconflicted(type: str, state_key: str) -> str | None:
        return first.get((type, state_key))

    def cited_by_unconflicted(event_ids: Set[str]) -> Set[str]:
        unconflicted_ids = (event_id for key, event_id in first.items() if key not in differing)
        return cited_by(unconflicted_ids, event_ids, event, ranked)

    lookups = Lookups(event, unconflicted, cited_by_unconflicted, ranked, is_rejected)
    resolved = resolve(version, conflicted, lookups)
    state = dict(first)
    for key in differing:
        state.pop(key, None)
    state.update(resolved)
    return state

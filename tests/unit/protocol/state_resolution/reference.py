"""State resolution as the specification words it: whole sets, nothing pruned, nothing remembered.

Slow and obvious; it shares no code with `plexus.protocol.state_resolution`. Headings are those of the
specification (room versions 1, 2 and 12, "State resolution"). Two readings are those of docs/decisions/0019.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha1
from math import inf

from plexus.protocol import AuthRejected, Event, PowerLevels, RoomVersion, check_auth

StateKey = tuple[str, str]
State = Mapping[StateKey, str]
Events = Mapping[str, Event]


def resolve(
    version: RoomVersion,
    states: Sequence[State],
    events: Events,
    rejected: Collection[str] = (),
) -> dict[StateKey, str]:
    if version.state_resolution == "v1":
        return resolve_v1(version, states, events)
    return resolve_v2(version, states, events, rejected)


# --- v2 and v2.1


def resolve_v2(
    version: RoomVersion, states: Sequence[State], events: Events, rejected: Collection[str]
) -> dict[StateKey, str]:
    is_v2_1 = version.state_resolution == "v2.1"
    unconflicted, conflicted = separate(states)
    full = conflicted | auth_difference(states, unconflicted, events)
    if is_v2_1:
        full |= conflicted_state_subgraph(conflicted, events)

    # 1.
    power = {event_id for event_id in full if is_power_event(events[event_id])}
    x = set(power)
    for event_id in power:
        x |= chain_within(event_id, full, events)
    # 2.
    start: dict[StateKey, str] = {} if is_v2_1 else dict(unconflicted)
    partial = iterative_auth_checks(
        version, start, reverse_topological_power_ordering(version, x, events), events, rejected
    )
    # 3.
    rest = mainline_ordering(partial.get(("m.room.power_levels", "")), full - x, events)
    # 4.
    result = iterative_auth_checks(version, partial, rest, events, rejected)
    # 5.
    return {**result, **unconflicted}


def separate(states: Sequence[State]) -> tuple[dict[StateKey, str], set[str]]:
    """Unconflicted state map and conflicted state set."""
    unconflicted: dict[StateKey, str] = {}
    conflicted: set[str] = set()
    for key in {key for state in states for key in state}:
        values = {state.get(key) for state in states}
        if len(values) == 1:
            unconflicted[key] = states[0][key]
        else:
            conflicted |= {value for value in values if value is not None}
    return unconflicted, conflicted


def auth_chain(event_id: str, events: Events) -> set[str]:
    chain: set[str] = set()
    new = set(events[event_id].auth_events)
    while new:
        chain |= new
        new = {cited for each in new for cited in events[each].auth_events} - chain
    return chain


def auth_difference(
    states: Sequence[State], unconflicted: Mapping[StateKey, str], events: Events
) -> set[str]:
    chains: list[set[str]] = []
    for state in states:
        chain: set[str] = set()
        for event_id in state.values():
            chain |= auth_chain(event_id, events)
        # An unconflicted state event counts as part of every chain.
        chains.append(chain | set(unconflicted.values()))
    everything: set[str] = set().union(*chains)
    return everything - everything.intersection(*chains)


def conflicted_state_subgraph(conflicted: set[str], events: Events) -> set[str]:
    chains = {event_id: auth_chain(event_id, events) for event_id in events}
    return conflicted | {
        between
        for between in events
        if chains[between] & conflicted and any(between in chains[event_id] for event_id in conflicted)
    }


def is_power_event(event: Event) -> bool:
    if event.type in ("m.room.power_levels", "m.room.join_rules"):
        return event.state_key is not None
    return (
        event.type == "m.room.member"
        and event.content["membership"] in ("leave", "ban")
        and event.sender != event.state_key
    )


def chain_within(event_id: str, full: set[str], events: Events) -> set[str]:
    """The auth chain, followed inside the full conflicted set."""
    chain: set[str] = set()
    new = set(events[event_id].auth_events) & full
    while new:
        chain |= new
        new = {cited for each in new for cited in events[each].auth_events if cited in full} - chain
    return chain


def reverse_topological_power_ordering(version: RoomVersion, x: set[str], events: Events) -> list[str]:
    ordered: list[str] = []
    while len(ordered) < len(x):
        candidates = [
            event_id
            for event_id in x - set(ordered)
            if all(cited in ordered for cited in events[event_id].auth_events if cited in x)
        ]
        ordered.append(
            min(
                candidates,
                key=lambda event_id: (
                    -power_of_sender(version, event_id, events),
                    events[event_id].origin_server_ts,
                    event_id,
                ),
            )
        )
    return ordered


def power_of_sender(version: RoomVersion, event_id: str, events: Events) -> int:
    cited = {events[each].key: events[each] for each in events[event_id].auth_events}
    levels = cited.get(("m.room.power_levels", ""))
    create = room_create(events)
    power = PowerLevels.of(version, None if levels is None else levels.content, create)
    return power.user_level(events[event_id].sender)


def room_create(events: Events) -> Event:
    return next(event for event in events.values() if event.type == "m.room.create")


def power_levels_of(event_id: str, events: Events) -> str | None:
    for cited in events[event_id].auth_events:
        if events[cited].key == ("m.room.power_levels", ""):
            return cited
    return None


def mainline_ordering(p: str | None, rest: set[str], events: Events) -> list[str]:
    mainline: list[str] = []
    while p is not None:
        mainline.append(p)
        p = power_levels_of(p, events)

    def position(event_id: str) -> float:
        e = power_levels_of(event_id, events)
        while e is not None:
            if e in mainline:
                return mainline.index(e)
            e = power_levels_of(e, events)
        return inf

    return sorted(
        rest, key=lambda event_id: (-position(event_id), events[event_id].origin_server_ts, event_id)
    )


def iterative_auth_checks(
    version: RoomVersion,
    start: Mapping[StateKey, str],
    ordered: Sequence[str],
    events: Events,
    rejected: Collection[str],
) -> dict[StateKey, str]:
    state = dict(start)
    for event_id in ordered:
        event = events[event_id]
        own = {events[each].key: each for each in event.auth_events if each not in rejected}
        if passes(version, event, {**own, **state}, events):
            state[event.key] = event_id
    return state


def passes(version: RoomVersion, event: Event, state: State, events: Events) -> bool:
    def lookup(type: str, state_key: str) -> Event | None:
        found = state.get((type, state_key))
        return None if found is None else events[found]

    create = lookup("m.room.create", "") if version.auth.create_in_auth_events else room_create(events)
    if create is None and event.type != "m.room.create":
        return False
    try:
        check_auth(version, event, lookup, create=create)
    except AuthRejected:
        return False
    return True


# --- v1


def resolve_v1(version: RoomVersion, states: Sequence[State], events: Events) -> dict[StateKey, str]:
    conflicts: dict[StateKey, list[Event]] = {}
    r: dict[StateKey, str] = {}
    for key in {key for state in states for key in state}:
        values = {state[key] for state in states if key in state}
        if len(values) == 1:
            r[key] = values.pop()
        else:
            conflicts[key] = [events[value] for value in values]

    def by_depth(listed: list[Event]) -> list[Event]:
        """Ascending depth, then descending sha1."""
        by_hash = sorted(listed, key=lambda event: sha1(event.event_id.encode()).hexdigest(), reverse=True)
        return sorted(by_hash, key=lambda event: event.depth)

    def in_passes(kind: str) -> None:
        # Each place against what was resolved before the pass, so that their order does not matter.
        found = {}
        for key in [key for key in conflicts if key[0] == kind]:
            first, *others = by_depth(conflicts.pop(key))
            line = {**r, key: first.event_id}
            for event in others:
                if not passes(version, event, line, events):
                    break
                line[key] = event.event_id
            found[key] = line[key]
        r.update(found)

    in_passes("m.room.power_levels")
    in_passes("m.room.join_rules")
    in_passes("m.room.member")
    for key, listed in conflicts.items():
        deepest_first = by_depth(listed)[::-1]
        passing = [event for event in deepest_first if passes(version, event, r, events)]
        r[key] = passing[0].event_id if passing else deepest_first[-1].event_id
    return r

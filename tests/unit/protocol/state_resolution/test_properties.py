"""plexus.protocol.state_resolution: on random rooms it does what the words of the specification do."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol import RoomVersion, get_room_version
from plexus.protocol.state_resolution import StateKey, conflicted_part, resolve_states

from tests.support.room_graph import RoomGraph, random_room
from tests.unit.protocol.state_resolution import reference

VERSIONS = {
    "v1": get_room_version("1"),
    "v2": get_room_version("11"),
    "v2.1": get_room_version("12"),
}

a_version = st.sampled_from(list(VERSIONS.values()))
a_seed = st.integers(0, 2**32)


def some_states(graph: RoomGraph, random: Random) -> list[dict[StateKey, str]]:
    """States of the room, as different servers may hold them: some have old entries, or lack some."""
    ids = list(graph.states)
    chosen = random.choices(ids[len(ids) // 3 :], k=random.randint(2, 4))
    states = [dict(graph.states[event_id]) for event_id in chosen]
    if random.random() < 0.5:
        for state in states:
            for key in list(state):
                chance = random.random()
                if chance < 0.05:
                    del state[key]
                elif chance < 0.2:
                    older = [event for event in graph.events.values() if event.is_state and event.key == key]
                    state[key] = random.choice(older).event_id
    return states


def resolve(version: RoomVersion, states: list[dict[StateKey, str]], graph: RoomGraph) -> dict[StateKey, str]:
    return resolve_states(version, states, graph.events.get)


@given(a_version, a_seed)
def test_it_equals_the_words_of_the_specification(version: RoomVersion, seed: int) -> None:
    random = Random(seed)
    graph = random_room(version, random)
    for _ in range(5):
        states = some_states(graph, random)
        expected = reference.resolve(version, states, graph.events)
        assert resolve(version, states, graph) == expected


@given(a_version, a_seed)
def test_the_order_of_the_states_does_not_matter(version: RoomVersion, seed: int) -> None:
    random = Random(seed)
    graph = random_room(version, random)
    states = some_states(graph, random)
    resolved = resolve(version, states, graph)
    assert resolve(version, states[::-1], graph) == resolved
    random.shuffle(states)
    assert resolve(version, [*states, states[0]], graph) == resolved
    # Nor does the order within them.
    shuffled = [dict(random.sample(list(state.items()), len(state))) for state in states]
    assert resolve(version, shuffled, graph) == resolved


@given(a_version, a_seed)
def test_what_is_resolved_stays(version: RoomVersion, seed: int) -> None:
    random = Random(seed)
    graph = random_room(version, random)
    resolved = resolve(version, some_states(graph, random), graph)
    assert resolve(version, [resolved], graph) == resolved
    assert resolve(version, [resolved, dict(resolved)], graph) == resolved
    assert resolve(version, [], graph) == {}


@given(a_version, a_seed)
def test_any_ranks_that_grow_will_do(version: RoomVersion, seed: int) -> None:
    random = Random(seed)
    graph = random_room(version, random)
    states = some_states(graph, random)
    order = {event_id: rank for rank, event_id in enumerate(graph.events)}
    by_order = resolve_states(version, states, graph.events.get, rank=order.__getitem__)
    assert by_order == resolve(version, states, graph)


@given(a_version, a_seed)
def test_whole_states_are_the_unconflicted_state_and_what_is_resolved(
    version: RoomVersion, seed: int
) -> None:
    random = Random(seed)
    graph = random_room(version, random)
    states = some_states(graph, random)
    conflicted = conflicted_part(states)
    for state, part in zip(states, conflicted, strict=True):
        assert part.items() <= state.items()
    same = [dict(state.items() - part.items()) for state, part in zip(states, conflicted, strict=True)]
    assert all(each == same[0] for each in same)
    assert all(len({state.get(key) for state in states}) > 1 for part in conflicted for key in part)
    resolved = resolve(version, states, graph)
    assert resolved.items() >= same[0].items()

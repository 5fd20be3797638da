"""plexus.protocol.state_resolution: what is asked of the caller, and what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from random import Random

import pytest
from plexus.protocol import Event, MissingEvents, RoomVersion, get_room_version
from plexus.protocol.state_resolution import (
    Generations,
    Lookups,
    StateKey,
    cited_by,
    conflicted_part,
    resolve,
    resolve_states,
)

from tests.support.large_rooms import ForkedRoom, forked_room
from tests.support.making_events import Events
from tests.support.room_graph import random_room
from tests.unit.protocol.state_resolution.scenario import ALICE, BOB, CAROL, DAN, Scenario, member

States = Sequence[Mapping[StateKey, str]]


class Cold:
    """A caller that has nothing at hand in the beginning, and loads what it is told to."""

    def __init__(self, events: Mapping[str, Event], states: States) -> None:
        self.all = events
        self.ranks = {event_id: rank for rank, event_id in enumerate(events)}
        self.states = states
        self.conflicted = conflicted_part(states)
        self.places: set[StateKey] = set()
        self.loaded: dict[str, Event] = {}
        self.rounds = 0

    def unconflicted(self, type: str, state_key: str) -> str | None:
        if (type, state_key) not in self.places:
            raise MissingEvents(places=frozenset([(type, state_key)]))
        return self.states[0].get((type, state_key))

    def cited_by_unconflicted(self, event_ids: Set[str]) -> Set[str]:
        roots = dict(self.states[0].items() & self.states[1].items()).values()
        floor = min(map(self.ranks.__getitem__, event_ids))
        above = [root for root in roots if self.ranks[root] > floor]
        return cited_by(above, event_ids, self.loaded.get, self.ranks.__getitem__)

    def rank(self, event_id: str) -> int:
        return self.ranks[self.loaded[event_id].event_id]

    def resolve(self, version: RoomVersion) -> dict[StateKey, str]:
        lookups = Lookups(self.loaded.get, self.unconflicted, self.cited_by_unconflicted, self.rank)
        while True:
            try:
                return resolve(version, self.conflicted, lookups)
            except MissingEvents as missing:
                wanted = missing
            assert wanted.event_ids.isdisjoint(self.loaded) and wanted.places.isdisjoint(self.places)
            self.rounds += 1
            self.loaded.update({event_id: self.all[event_id] for event_id in wanted.event_ids})
            self.places |= wanted.places


def merged(states: States, resolved: Mapping[StateKey, str]) -> dict[StateKey, str]:
    same = {key: value for key, value in states[0].items() if all(s.get(key) == value for s in states)}
    return {**same, **resolved}


class TestMissing:
    @pytest.mark.parametrize("version", ["1", "11", "12"])
    def test_a_caller_who_has_nothing_gets_there_by_loading_what_is_missing(self, version: str) -> None:
        for seed in range(20):
            random = Random(seed)
            graph = random_room(get_room_version(version), random)
            states = [graph.states[event_id] for event_id in random.choices(list(graph.states), k=2)]
            cold = Cold(graph.events, states)
            resolved = cold.resolve(graph.version)
            assert merged(states, resolved) == resolve_states(graph.version, states, graph.events.get)

    def test_what_is_missing_is_told_together(self) -> None:
        for version in ("1", "11", "12"):
            room = forked_room(get_room_version(version), members=300, conflicts=100)
            cold = Cold(room.events, room.states)
            cold.resolve(room.version)
            # The conflicted events; what they cite; what of the unconflicted state they are judged upon.
            assert cold.rounds <= 6

    def test_whole_states_miss_too(self) -> None:
        room = Scenario("v2")
        left, right = room.fork()
        left.topic("left", by=ALICE)
        last = right.topic("right", by=BOB)
        known = {key: event for key, event in room.graph.events.items() if key != last.event_id}
        with pytest.raises(MissingEvents) as missing:
            resolve_states(room.graph.version, [left.now.entries, right.now.entries], known.get)
        assert missing.value.event_ids == {last.event_id}

    def test_exceptions_of_the_caller_pass(self) -> None:
        class NotNowError(Exception):
            pass

        def refuse(*asked: object) -> Event:
            raise NotNowError

        room = Scenario("v2")
        left, right = room.fork()
        left.topic("left", by=ALICE)
        right.topic("right", by=BOB)
        with pytest.raises(NotNowError):
            resolve_states(room.graph.version, [left.now.entries, right.now.entries], refuse)


class Counting:
    """A caller that has everything, and counts what it is asked."""

    def __init__(self, room: ForkedRoom) -> None:
        self.room = room
        self.events: Counter[str] = Counter()
        self.places: Counter[StateKey] = Counter()
        self.lookups = Lookups(
            self.event, self.unconflicted, self.cited_by_unconflicted, room.ranks.__getitem__
        )

    def event(self, event_id: str) -> Event:
        self.events[event_id] += 1
        return self.room.events[event_id]

    def unconflicted(self, type: str, state_key: str) -> str | None:
        self.places[type, state_key] += 1
        return self.room.states[0].get((type, state_key))

    def cited_by_unconflicted(self, event_ids: Set[str]) -> Set[str]:
        raise AssertionError("Nothing here can be told by the whole unconflicted state alone")


class TestLargeRooms:
    @pytest.mark.parametrize("version", ["1", "11", "12"])
    def test_the_unconflicted_state_is_not_touched(self, version: str) -> None:
        """Fifty times the members, and not one look-up more."""
        asked = []
        for members in (1_000, 50_000):
            room = forked_room(get_room_version(version), members, conflicts=1_000, real=False)
            conflicted = conflicted_part(room.states)
            in_conflict = {event_id for state in conflicted for event_id in state.values()}
            counting = Counting(room)
            resolved = resolve(room.version, conflicted, counting.lookups)
            assert set(counting.events.values()) == {1}
            assert in_conflict <= counting.events.keys()
            assert counting.places.keys().isdisjoint(set().union(*conflicted))
            asked.append((len(counting.events), len(counting.places)))
            assert len(resolved) >= 700
        assert asked[0] == asked[1]

    def test_an_auth_chain_of_a_hundred_thousand_is_only_long(self) -> None:
        """Bob changes his name so often that nothing recursive could follow; all of it is replayed."""
        made = Events(get_room_version("12"), ALICE, real=False)
        state: dict[StateKey, str] = {}

        def make(type: str, sender: str, content: dict[str, str], state_key: str, *cited: StateKey) -> None:
            event = made.make(
                type, sender, content, state_key, prev_events=(), auth_events=[state[key] for key in cited]
            )
            state[event.key] = event.event_id

        of_alice, rule, of_bob = member(ALICE), ("m.room.join_rules", ""), member(BOB)
        make("m.room.create", ALICE, made.create_content(), "")
        make("m.room.member", ALICE, {"membership": "join"}, ALICE)
        make("m.room.join_rules", ALICE, {"join_rule": "public"}, "", of_alice)
        before = dict(state)
        make("m.room.member", BOB, {"membership": "join"}, BOB, rule)
        for number in range(100_000):
            make("m.room.member", BOB, {"membership": "join", "displayname": str(number)}, BOB, rule, of_bob)
        assert resolve_states(made.version, [state, before], made.by_id.get) == state

    def test_what_becomes_of_a_large_fork(self) -> None:
        room = forked_room(get_room_version("12"), members=300, conflicts=200)
        state = resolve_states(room.version, room.states, room.events.get)
        memberships = Counter(
            room.events[event_id].content["membership"]
            for (kind, _), event_id in state.items()
            if kind == "m.room.member"
        )
        # 39 were banned; those who joined meanwhile are not in, for the door was closed on the other branch.
        assert memberships == {"join": 300 - 39, "ban": 39}
        assert room.events[state["m.room.join_rules", ""]].content["join_rule"] == "invite"


class TestRanks:
    def test_generations_grow_along_auth_events(self) -> None:
        graph = random_room(get_room_version("11"), Random(3))
        rank = Generations(graph.events.get)
        for event in graph.events.values():
            assert all(rank(cited) < rank(event.event_id) for cited in event.auth_events)

    def test_a_chain_that_bites_its_tail_is_refused(self) -> None:
        """Where IDs are given, a server can make one. It cannot be accepted, so nobody comes with it."""
        made = Events(get_room_version("1"), ALICE, real=False)
        for cited in ("$1:one", "$0:one"):
            made.make("m.room.member", ALICE, {}, ALICE, prev_events=(), auth_events=(cited,))
        with pytest.raises(ValueError, match="leads back"):
            Generations(made.by_id.get)("$0:one")

    def test_ranks_that_do_not_grow_are_refused(self) -> None:
        room = Scenario("v2")
        left, right = room.fork()
        left.levels({CAROL: 10}, by=ALICE)
        left.levels({CAROL: 11}, by=ALICE)
        right.levels({DAN: 10}, by=ALICE)
        states = [left.now.entries, right.now.entries]
        with pytest.raises(ValueError, match="rank"):
            resolve_states(room.graph.version, states, room.graph.events.get, rank=lambda event_id: 1)

    def test_who_is_cited_by_whom(self) -> None:
        graph = random_room(get_room_version("11"), Random(4))
        rank = Generations(graph.events.get)
        chains: dict[str, set[str]] = {}
        for event_id, event in graph.events.items():
            chains[event_id] = set(event.auth_events).union(*(chains[each] for each in event.auth_events))
        random = Random(5)
        for _ in range(200):
            roots = random.sample(list(graph.events), 3)
            wanted = set(random.sample(list(graph.events), 6))
            expected = wanted & set().union(*(chains[root] for root in roots))
            assert cited_by(roots, wanted, graph.events.get, rank) == expected
        assert cited_by(graph.events, set(), graph.events.get, rank) == set()

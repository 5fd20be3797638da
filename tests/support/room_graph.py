"""Rooms as graphs: forks and merges, every event judged and the state after it known.

`RoomGraph` is a room in memory. `send` builds a real event after any events that are there, judges it upon
the state there, and keeps it; where it joins branches their states are resolved by
`plexus.protocol.state_resolution`. `random_room` makes one with forks, merges, clocks that are off, and
people who join, leave, ban, promote and demote each other; the same seed makes the same room.

Everything that a store needs is in ``events``, in an order in which each event comes after those it names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any

from plexus.protocol import (
    AuthRejected,
    Draft,
    Event,
    RoomVersion,
    auth_types_for_event,
    check_auth,
)
from plexus.protocol.state_resolution import StateKey, resolve_states

from tests.support.making_events import START, Events


class RoomGraph:
    """A room that branches. ``states`` holds the state after each event, (type, state key) to event ID."""

    def __init__(self, version: RoomVersion, creator: str = "@alice:one", prefix: str = "") -> None:
        self.version = version
        self.creator = creator
        self.states: dict[str, Mapping[StateKey, str]] = {}
        self.extremities: set[str] = set()
        self.refused: set[str] = set()
        """Events that the state before them does not allow: the state after them is the same."""
        self._made = Events(version, creator, prefix)

    @property
    def events(self) -> dict[str, Event]:
        return self._made.by_id

    @property
    def room_id(self) -> str | None:
        return self._made.room_id

    @property
    def reference_hashes(self) -> Mapping[str, str]:
        """Of all events, in versions that cite with hashes."""
        return self._made.hashes

    def begin(self, **create_content: Any) -> Event:
        """The create event and the creator's join; gives back the join."""
        self.send("m.room.create", self.creator, self._made.create_content(**create_content), "")
        return self.send("m.room.member", self.creator, {"membership": "join"}, self.creator)

    def adopt(self, event: Event) -> None:
        """Take an event that a server has made, and that is allowed where it stands."""
        before = self.state_before(event.prev_events) if event.prev_events else {}
        self._made.adopt(event)
        self.states[event.event_id] = {**before, event.key: event.event_id} if event.is_state else before
        self.extremities.difference_update(event.prev_events)
        self.extremities.add(event.event_id)

    def state_before(self, prev_events: Sequence[str]) -> Mapping[StateKey, str]:
        """The state that an event after these meets."""
        if len(prev_events) == 1:
            return self.states[prev_events[0]]
        return resolve_states(
            self.version, [self.states[event_id] for event_id in prev_events], self.events.get
        )

    def state(self) -> Mapping[StateKey, str]:
        """The state after all extremities."""
        return self.state_before(sorted(self.extremities))

    def join_rule(self, state: Mapping[StateKey, str]) -> str | None:
        event_id = state.get(("m.room.join_rules", ""))
        return None if event_id is None else self.events[event_id].content.get("join_rule")

    def send(
        self,
        type: str,
        sender: str,
        content: Mapping[str, Any],
        state_key: str | None = None,
        *,
        after: Sequence[str] | None = None,
        ts: int | None = None,
        state: Mapping[StateKey, str] | None = None,
        judged: bool = True,
    ) -> Event:
        """Send an event ``after`` these (otherwise after all extremities) at ``ts`` milliseconds.

        Raises `AuthRejected`, and then nothing has happened. ``state`` replaces the true state before the
        event, as a server has it that was told wrongly. An event that is not ``judged`` is made as a
        dishonest server makes it: it is there and can be named, but changes nothing.
        """
        prev_events = tuple(sorted(self.extremities) if after is None else after)
        before = self.state_before(prev_events) if state is None else state
        event_id = self._made.next_id(sender)
        draft = Draft(type, sender, content, self.room_id, state_key, prev_events, event_id)
        if judged:
            check_auth(self.version, draft, self._lookup(before), create=self._made.create)
        keys = auth_types_for_event(self.version, type, state_key, sender, content)
        auth_events = [before[key] for key in keys if key in before]
        count = len(self.events)
        event = self._made.make(
            type, sender, content, state_key, prev_events=prev_events, auth_events=auth_events, ts=ts
        )
        if judged and len(self.events) > count:
            self.states[event.event_id] = {**before, event.key: event.event_id} if event.is_state else before
            self.extremities.difference_update(prev_events)
            self.extremities.add(event.event_id)
        return event

    def send_refused(self, type: str, sender: str, content: Mapping[str, Any], after: Sequence[str]) -> Event:
        """Make an event that the rules refuse. It can be followed by others, and changes nothing."""
        before = self.state_before(after)
        keys = auth_types_for_event(self.version, type, None, sender, content)
        auth_events = [before[key] for key in keys if key in before]
        event = self._made.make(type, sender, content, None, prev_events=after, auth_events=auth_events)
        with suppress(AuthRejected):
            check_auth(self.version, event, self._lookup(before), create=self._made.create)
            raise ValueError("The rules allow this event")
        self.states[event.event_id] = before
        self.refused.add(event.event_id)
        return event

    def _lookup(self, state: Mapping[StateKey, str]) -> Callable[[str, str], Event | None]:
        def lookup(type: str, state_key: str) -> Event | None:
            event_id = state.get((type, state_key))
            return None if event_id is None else self.events[event_id]

        return lookup


USERS = ("@alice:one", "@bob:two", "@carol:three", "@dan:two", "@eve:one", "@frank:three")
LEVELS = (0, 25, 50, 50, 75, 100)


TRIES = 4
"""How often somebody does something else when the first idea was not allowed."""


def random_room(version: RoomVersion, random: Random, *, steps: int = 40, users: int = 5) -> RoomGraph:
    """A room after about ``steps`` events of up to six users, with forks and merges. It has one or more
    extremities.
    """
    people = USERS[:users]
    graph = RoomGraph(version, people[0])
    graph.begin()
    in_users = {} if version.auth.creators_have_infinite_power else {people[0]: 100}
    graph.send("m.room.power_levels", people[0], {"users": in_users}, "")
    graph.send("m.room.join_rules", people[0], {"join_rule": "public"}, "")
    for user in people[1:]:
        if random.random() < 0.7:
            graph.send("m.room.member", user, {"membership": "join"}, user)
    go_on(graph, random, people, steps)
    return graph


def go_on(graph: RoomGraph, random: Random, people: Sequence[str], steps: int) -> None:
    """About ``steps`` more acts of these people in a room that has begun."""
    for _ in range(steps):
        after = _somewhere(graph, random)
        state = graph.state_before(after)
        # Clocks run mostly alike; some are off, and some events share a millisecond.
        ts = START + 10 * len(graph.events) + random.choice((0, 0, 0, 5, -30, 30, -300, 300))
        for _ in range(TRIES):
            try:
                graph.send(*_some_act(graph, random, people, state), after=after, ts=ts, state=state)
                break
            except AuthRejected:
                continue


def _somewhere(graph: RoomGraph, random: Random) -> tuple[str, ...]:
    """What the next event comes after: mostly one extremity, at times several, or an event long past."""
    chance = random.random()
    tips = sorted(graph.extremities)
    if chance < 0.15:
        return (random.choice(list(graph.states)[-12:]),)
    if chance < 0.4 and len(tips) > 1:
        return tuple(random.sample(tips, random.randint(2, min(3, len(tips)))))
    return (random.choice(tips),)


Act = tuple[str, str, dict[str, Any], str | None]


def _some_act(graph: RoomGraph, random: Random, people: Sequence[str], state: Mapping[StateKey, str]) -> Act:
    sender, target = random.choice(people), random.choice(people)
    match random.randrange(13):
        case 0 | 1:
            return ("m.room.topic", sender, {"topic": str(random.randrange(10))}, "")
        case 2:
            return ("m.room.name", sender, {"name": str(random.randrange(10))}, "")
        case 3:
            return (
                "m.room.member",
                sender,
                {"membership": random.choice(("leave", "leave", "knock"))},
                sender,
            )
        case 4 | 5:
            content = {"membership": "join", "displayname": str(len(graph.events))}
            if graph.join_rule(state) == "restricted":
                content["join_authorised_via_users_server"] = target
            return ("m.room.member", sender, content, sender)
        case 6:
            return ("m.room.member", sender, {"membership": "ban"}, target)
        case 7:
            return ("m.room.member", sender, {"membership": "leave"}, target)
        case 8:
            return ("m.room.member", sender, {"membership": "invite"}, target)
        case 9:
            rule = random.choice(("public", "public", "invite", "knock", "restricted"))
            return ("m.room.join_rules", sender, {"join_rule": rule}, "")
        case 10 | 11:
            return ("m.room.power_levels", sender, _some_levels(graph, random, target, state), "")
        case _:
            return ("m.room.message", sender, {"msgtype": "m.text", "body": str(len(graph.events))}, None)


def _some_levels(
    graph: RoomGraph, random: Random, target: str, state: Mapping[StateKey, str]
) -> dict[str, Any]:
    current = state.get(("m.room.power_levels", ""))
    content = dict(graph.events[current].content) if current is not None else {}
    if random.random() < 0.2:
        return {**content, random.choice(("ban", "kick", "invite", "state_default")): random.choice(LEVELS)}
    return {**content, "users": {**content.get("users", {}), target: random.choice(LEVELS)}}

"""A small language for forks: who does what on which branch, and what holds where the branches meet.

    room = Scenario("v2")
    left, right = room.fork()
    left.ban(BOB, by=ALICE)
    right.topic("spam", by=BOB)
    assert room.merged(left, right).topic == "welcome"

Alice has made the room: it is public, Bob is a moderator (50), Carol a member, the topic is "welcome". Every
act is allowed where it happens, or `AuthRejected`. Clocks are true unless an act says when it happens
(``at``, in seconds after the room began).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.protocol import Event, get_room_version
from plexus.protocol.state_resolution import StateKey, resolve_states

from tests.support.making_events import START
from tests.support.room_graph import RoomGraph
from tests.unit.protocol.state_resolution import reference

ALICE, BOB, CAROL, DAN, MALLORY = "@alice:one", "@bob:two", "@carol:three", "@dan:four", "@mallory:evil"

ROOM_VERSIONS = {"v1": "1", "v2": "11", "v2.1": "12"}
"""A room version of each algorithm."""

LEVELS: StateKey = ("m.room.power_levels", "")
RULE: StateKey = ("m.room.join_rules", "")
TOPIC: StateKey = ("m.room.topic", "")


def member(user: str) -> StateKey:
    return ("m.room.member", user)


class Scenario:
    def __init__(self, algorithm: str, **create_content: Any) -> None:
        self.graph = RoomGraph(get_room_version(ROOM_VERSIONS[algorithm]), ALICE)
        tip = self.graph.begin(**create_content)
        self.trunk = Branch(self.graph, tip.event_id)
        self.trunk.levels({BOB: 50}, by=ALICE)
        self.trunk.rule("public", by=ALICE)
        self.trunk.topic("welcome", by=ALICE)
        self.trunk.join(BOB)
        self.trunk.join(CAROL)

    def fork(self) -> tuple[Branch, Branch]:
        """Two branches from where the trunk is."""
        return Branch(self.graph, *self.trunk.tips), Branch(self.graph, *self.trunk.tips)

    def after(self, *branches: Branch) -> Branch:
        """A branch from where these meet."""
        return Branch(self.graph, *(tip for branch in branches for tip in branch.tips))

    def merged(self, *states: State | Branch, rejected: frozenset[str] = frozenset()) -> State:
        """What holds where they meet. That it is what the words of the specification say is checked here."""
        entries = [(state.now if isinstance(state, Branch) else state).entries for state in states]
        graph = self.graph
        resolved = resolve_states(graph.version, entries, graph.events.get, is_rejected=rejected.__contains__)
        assert resolved == reference.resolve(graph.version, entries, graph.events, rejected)
        return State(graph, resolved)


class State:
    """A state, to be asked about."""

    def __init__(self, graph: RoomGraph, entries: Mapping[StateKey, str]) -> None:
        self._graph = graph
        self.entries = entries

    def __getitem__(self, key: StateKey) -> Event | None:
        event_id = self.entries.get(key)
        return None if event_id is None else self._graph.events[event_id]

    def _content(self, key: StateKey) -> Mapping[str, Any]:
        event = self[key]
        return {} if event is None else event.content

    @property
    def topic(self) -> str | None:
        return self._content(TOPIC).get("topic")

    @property
    def rule(self) -> str | None:
        return self._content(RULE).get("join_rule")

    def membership(self, user: str) -> str | None:
        return self._content(member(user)).get("membership")

    def name(self, user: str) -> str | None:
        return self._content(member(user)).get("displayname")

    def level(self, user: str) -> int | None:
        """What the power levels event says of the user."""
        level = self._content(LEVELS).get("users", {}).get(user)
        return level if isinstance(level, int) else None

    def but(self, *others: Event, without: tuple[StateKey, ...] = ()) -> State:
        """This state with other events, as a server claims it that has it wrong."""
        changed = {**self.entries, **{event.key: event.event_id for event in others}}
        return State(self._graph, {key: value for key, value in changed.items() if key not in without})


class Branch:
    """A line of events, each after the one before."""

    def __init__(self, graph: RoomGraph, *tips: str) -> None:
        self._graph = graph
        self.tips = tips

    @property
    def now(self) -> State:
        return State(self._graph, self._graph.state_before(self.tips))

    def send(
        self,
        type: str,
        by: str,
        content: Mapping[str, Any],
        state_key: str | None = None,
        at: float | None = None,
    ) -> Event:
        ts = START + (1000 * len(self._graph.events) if at is None else int(1000 * at))
        event = self._graph.send(type, by, content, state_key, after=self.tips, ts=ts)
        self.tips = (event.event_id,)
        return event

    def say(self, *, by: str) -> Event:
        return self.send("m.room.message", by, {"msgtype": "m.text", "body": "hello"})

    def topic(self, topic: str, *, by: str, at: float | None = None) -> Event:
        return self.send("m.room.topic", by, {"topic": topic}, "", at)

    def rule(self, rule: str, *, by: str, at: float | None = None) -> Event:
        return self.send("m.room.join_rules", by, {"join_rule": rule}, "", at)

    def levels(self, users: Mapping[str, int], *, by: str, at: float | None = None, **others: Any) -> Event:
        """Give these users these levels, and change other keys; all else stays as it is."""
        current = self.now[LEVELS]
        before = {} if current is None else current.content
        listed = {**before.get("users", {ALICE: 100}), **users}
        if self._graph.version.auth.creators_have_infinite_power:
            listed.pop(ALICE, None)
        return self.send("m.room.power_levels", by, {**before, **others, "users": listed}, "", at)

    def member(
        self, user: str, membership: str, *, by: str | None = None, at: float | None = None, **content: Any
    ) -> Event:
        return self.send("m.room.member", by or user, {"membership": membership, **content}, user, at)

    def join(self, user: str, name: str | None = None, *, at: float | None = None) -> Event:
        """Join, or take another name."""
        return self.member(user, "join", at=at, **({} if name is None else {"displayname": name}))

    def leave(self, user: str, *, at: float | None = None) -> Event:
        return self.member(user, "leave", at=at)

    def kick(self, user: str, *, by: str, at: float | None = None) -> Event:
        return self.member(user, "leave", by=by, at=at)

    def ban(self, user: str, *, by: str, at: float | None = None) -> Event:
        return self.member(user, "ban", by=by, at=at)

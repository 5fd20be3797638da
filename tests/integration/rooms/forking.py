"""A room as it must be: the same events, taken in the same order, by pure calculation over whole states.

`Model` holds what the specification makes of each event when it arrives: in the timeline, soft-failed or
rejected; the extremities; the current state. `check` compares all rows of a room with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plexus.protocol.auth_rules import check_auth
from plexus.protocol.errors import AuthRejected
from plexus.protocol.events import Event
from plexus.protocol.room_versions import ROOM_VERSIONS
from plexus.protocol.state_resolution import StateKey, resolve_states
from plexus.rooms import EVERYTHING, Fate, RoomRef, Rooms
from plexus.rooms.writes import MEMBERSHIPS

from tests.integration.rooms.conftest import TestGround
from tests.support.making_events import server_of
from tests.support.room_graph import RoomGraph

State = Mapping[StateKey, str]

SNAP_OF_ROOM = "coalesce(room_before, snap_before), coalesce(room_after, snap_after)"


@dataclass
class Step:
    """A live event: the current state before and after it."""

    event_id: str
    before: State
    after: State
    is_fork: bool


@dataclass
class Model:
    graph: RoomGraph
    extremities: set[str] = field(default_factory=set)
    current: State = field(default_factory=dict)
    fates: dict[str, Fate] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    @property
    def create(self) -> Event:
        return next(iter(self.graph.events.values()))

    def take(self, event: Event) -> Fate:
        """An event arrives."""
        known = self.fates.get(event.event_id)
        if known is not None:
            return known
        graph = self.graph
        if event.event_id in graph.refused:
            fate = Fate.REJECTED
        elif self.steps and not self._allows(event):
            fate = Fate.SOFT_FAILED
        else:
            fate = Fate.LIVE
        self.fates[event.event_id] = fate
        if fate is Fate.LIVE:
            self.extremities -= self._beneath(event)
            self.extremities.add(event.event_id)
            before, self.current = self.current, self._resolve()
            self.steps.append(Step(event.event_id, before, self.current, len(self.extremities) > 1))
        return fate

    def _allows(self, event: Event) -> bool:
        def lookup(kind: str, key: str) -> Event | None:
            event_id = self.current.get((kind, key))
            return None if event_id is None else self.graph.events[event_id]

        try:
            check_auth(self.graph.version, event, lookup, create=self.create)
        except AuthRejected:
            return False
        return True

    def _beneath(self, event: Event) -> set[str]:
        found: set[str] = set()
        stack = list(event.prev_events)
        while stack:
            event_id = stack.pop()
            found.add(event_id)
            if self.fates[event_id] is not Fate.LIVE:
                stack.extend(self.graph.events[event_id].prev_events)
        return found

    def _resolve(self) -> State:
        states = [self.graph.states[event_id] for event_id in sorted(self.extremities)]
        if len(states) == 1:
            return states[0]
        return resolve_states(self.graph.version, states, self.graph.events.get)

    def memberships(self, state: State) -> dict[str, str]:
        return {
            key[1]: str(self.graph.events[event_id].content["membership"])
            for key, event_id in state.items()
            if key[0] == "m.room.member"
        }


async def adopt(rooms: Rooms, room_id: str, version: str) -> Model:
    """The model of a room that was made here, with all its events."""
    graph = RoomGraph(ROOM_VERSIONS[version], prefix=room_id[1:9])
    model = Model(graph)
    for stored in (await rooms.timeline(room_id, backwards=False, limit=1000)).events:
        graph.adopt(stored.event)
        model.take(stored.event)
    return model


async def check_now(ground: TestGround, rooms: Rooms, ref: RoomRef, model: Model) -> None:
    """The row of the room, the current state and the memberships of now."""
    async with ground.db.read(primary=True) as session:
        row = await session.one(
            "SELECT snapshot, depth, joined_members, invited_members, head_ordinal,"
            " (SELECT array_agg(e.event_id) FROM rooms.event e"
            "   WHERE e.lane = r.lane AND e.room = r.room AND e.num = ANY (r.extremities)),"
            " (SELECT max(e.ordinal) FROM rooms.event e WHERE e.lane = r.lane AND e.room = r.room)"
            " FROM rooms.room r WHERE lane = %s::smallint AND room = %s::integer",
            (ref.lane, ref.room),
        )
        current = await session.fetch(
            "SELECT c.type, c.state_key, c.event_id, e.event_id FROM rooms.current_state c"
            " JOIN rooms.event e ON e.lane = c.lane AND e.room = c.room AND e.num = c.num"
            " WHERE c.lane = %s::smallint AND c.room = %s::integer",
            (ref.lane, ref.room),
        )
        members = await session.fetch(
            "SELECT user_id, membership, event_id"
            "  FROM rooms.membership m JOIN rooms.event e USING (lane, room, num)"
            " WHERE m.lane = %s::smallint AND m.room = %s::integer AND m.to_ordinal = 9223372036854775807",
            (ref.lane, ref.room),
        )
        hosts = await session.fetch(
            "SELECT server, joined_members FROM rooms.host"
            " WHERE lane = %s::smallint AND room = %s::integer AND to_ordinal = 9223372036854775807",
            (ref.lane, ref.room),
        )
    assert row is not None
    snapshot, depth, joined, invited, head_ordinal, extremities, newest = row
    assert set(extremities) == model.extremities
    assert depth == max(model.graph.events[event_id].depth for event_id in extremities)
    assert head_ordinal == newest
    assert {(kind, key): event_id for kind, key, event_id, _ in current} == dict(model.current)
    assert all(one == other for _, _, one, other in current)
    found = await rooms.state_at(ref, snapshot, EVERYTHING)
    assert {key: event.event_id for key, event in found.items()} == dict(model.current)
    expected = model.memberships(model.current)
    counts = Counter(expected.values())
    assert (joined, invited) == (counts["join"], counts["invite"])
    here = {user: number for user, number, _ in members}
    assert len(here) == len(members), "two memberships at once"
    gone = {user: number for user, number in here.items() if user not in expected}
    assert set(gone.values()) <= {MEMBERSHIPS["leave"]}
    assert here == gone | {user: MEMBERSHIPS[membership] for user, membership in expected.items()}
    in_force = {u: model.current["m.room.member", u] for u in expected}
    assert {user: event_id for user, _, event_id in members if user in expected} == in_force
    servers = Counter(server_of(user) for user, membership in expected.items() if membership == "join")
    assert dict(hosts) == dict(servers)


async def check_history(ground: TestGround, rooms: Rooms, ref: RoomRef, model: Model) -> None:
    """Every event, and at every event the states, memberships, hosts and history visibility."""
    async with ground.db.read(primary=True) as session:
        rows = await session.fetch(
            f"SELECT num, event_id, ordinal, flags, snap_before, snap_after, {SNAP_OF_ROOM} FROM rooms.event"
            " WHERE lane = %s::smallint AND room = %s::integer ORDER BY num",
            (ref.lane, ref.room),
        )
        members = await session.fetch(
            "SELECT user_id, membership, from_ordinal, to_ordinal FROM rooms.membership"
            " WHERE lane = %s::smallint AND room = %s::integer",
            (ref.lane, ref.room),
        )
        visibilities = await session.fetch(
            "SELECT history_visibility, from_ordinal, to_ordinal FROM rooms.visibility"
            " WHERE lane = %s::smallint AND room = %s::integer",
            (ref.lane, ref.room),
        )
        hosts = await session.fetch(
            "SELECT server, from_ordinal, to_ordinal FROM rooms.host"
            " WHERE lane = %s::smallint AND room = %s::integer",
            (ref.lane, ref.room),
        )
    snaps = sorted({snap for row in rows for snap in row[4:]})
    read = await rooms.state_nums([(ref, snap, EVERYTHING) for snap in snaps])
    ids = {row[0]: row[1] for row in rows}
    states = {
        snap: {key: ids[num] for key, num in found.items()} for snap, found in zip(snaps, read, strict=True)
    }
    assert len(rows) == len(model.fates)
    graph, steps = model.graph, {step.event_id: step for step in model.steps}
    assert [row[1] for row in rows if row[2] is not None] == [step.event_id for step in model.steps]
    was: set[str] = set()
    for num, event_id, ordinal, flags, before, after, room_before, room_after in rows:
        event = graph.events[event_id]
        prev = tuple(event.prev_events)
        assert states[before] == (dict(graph.state_before(prev)) if prev else {})
        if event_id in graph.refused:
            assert (flags, ordinal, after) == (1, None, before)
            continue
        assert states[after] == dict(graph.states[event_id])
        step = steps.get(event_id)
        if step is None:
            assert (flags, ordinal) == (2, None)
            continue
        assert (flags, ordinal) == (0, num)
        assert (states[room_before], states[room_after]) == (dict(step.before), dict(step.after))
        expected = model.memberships(step.after)
        was |= expected.keys()
        at = _at(members, ordinal)
        assert at == {user: MEMBERSHIPS[expected.get(user, "leave")] for user in at}
        assert {user for user in at if user in expected} == set(expected)
        assert {row[0] for row in hosts if row[1] <= ordinal < row[2]} == {
            server_of(user) for user, membership in expected.items() if membership == "join"
        }
        visibility = step.after.get(("m.room.history_visibility", ""))
        values = [value for value, start, end in visibilities if start <= ordinal < end]
        shown = "shared" if visibility is None else graph.events[visibility].content["history_visibility"]
        assert values in ([shown], [] if visibility is None else [shown])


def _at(rows: Sequence[tuple[str, int, int, int]], ordinal: int) -> dict[str, int]:
    found = [(user, number) for user, number, start, end in rows if start <= ordinal < end]
    assert len(dict(found)) == len(found)
    return dict(found)

"""Synapse, a server that nobody here wrote, and `plexus.protocol` agree about events.

Its events are read as they stand in its database after a story with every kind of event in a room of each
version (synapse/story.py). Ours are judged by its own check functions (synapse/checks.py), which run in its
own environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from plexus.protocol import (
    ROOM_VERSIONS,
    Event,
    InvalidEvent,
    RoomVersion,
    VerifyKey,
    auth_types_for_event,
    check_auth,
    check_auth_events,
    may_redact,
    redact_event,
    verify_json,
)
from plexus.protocol.auth_rules.context import StateLookup
from plexus.protocol.canonical_json import decode
from plexus.protocol.hashes import check_content_hash, reference_hash
from plexus.protocol.power_levels import PowerLevels
from plexus.protocol.signatures import verify_event
from plexus.protocol.state_resolution import resolve_states

from deploy.local.program import free_port
from tests.interop.synapse.attempts import KEYS, Attempt, room_of_attempts
from tests.interop.synapse.attempts import Room as Attempts
from tests.interop.synapse.shapes import STRICTER, altered
from tests.interop.synapse.stored import Room, State, read_room
from tests.interop.synapse.story import Told, tell
from tests.support.room_graph import random_room
from tests.support.synapse import (
    SERVER_NAME,
    NoSynapseError,
    Script,
    SynapseProcess,
    configuration,
    install,
    listener,
    written,
)

CHECKS = Path(__file__).parent / "synapse" / "checks.py"
ROOMS, ATTEMPTS = 5, 120
"""For each room version: rooms, and what is tried in each."""

GRAPHS = {"1": 200, "11": 200, "12": 200}
"""Rooms with branches, for each algorithm in one of its versions; the others have 20."""


@pytest.fixture(scope="module")
def python() -> Path:
    """Synapse's."""
    try:
        return install()
    except NoSynapseError as error:
        pytest.skip(str(error))


@dataclass(frozen=True)
class Stories:
    """What was told on one Synapse, by room version, and the answer with its keys."""

    told: Mapping[str, Told]
    rooms: Mapping[str, Room]
    keys: Mapping[str, Any]

    def key(self) -> VerifyKey:
        ((key_id, key),) = self.keys["verify_keys"].items()
        return VerifyKey.from_base64(key_id, key["key"])


@pytest.fixture(scope="module")
def stories(python: Path) -> Stories:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # SQLite flushes after each event
    with tempfile.TemporaryDirectory(prefix="plexus-synapse-", dir=memory) as name:
        folder = Path(name)
        database = folder / "homeserver.db"
        port = free_port()
        settings = configuration(
            folder,
            [listener(port, "client", "federation")],
            {"name": "sqlite3", "args": {"database": str(database)}},
        )
        config = written(settings, folder / "homeserver.yaml")
        with SynapseProcess(python, [config], port, folder / "synapse.log") as server:
            with urllib.request.urlopen(f"{server.base_url}/_matrix/key/v2/server", timeout=30) as answer:
                keys = json.load(answer)
            told = asyncio.run(tell(server.base_url))
        rooms = {version: read_room(database, one.room_id) for version, one in told.items()}
    return Stories(told, rooms, keys)


@pytest.fixture(scope="module")
def checks(python: Path) -> Iterator[Script]:
    with Script(python, CHECKS) as script:
        yield script


@pytest.fixture(params=list(ROOM_VERSIONS))
def version(request: pytest.FixtureRequest) -> RoomVersion:
    return ROOM_VERSIONS[request.param]


def read(version: RoomVersion, room: Room) -> dict[str, Event]:
    """The events of a room as they come in over federation, by the id that Synapse gave them."""
    return {
        one.event_id: Event.from_pdu(version, decode(one.pdu, strict=version.strict_canonical_json))
        for one in room.events
    }


def lookup_in(events: Mapping[str, Event], state: State) -> StateLookup:
    def lookup(type: str, state_key: str) -> Event | None:
        event_id = state.get((type, state_key))
        return None if event_id is None else events[event_id]

    return lookup


# --- its events, by our rules ---


@pytest.mark.timeout(300)  # the first one installs, starts, and tells all stories
def test_it_makes_every_room_version_that_we_know(stories: Stories) -> None:
    assert set(ROOM_VERSIONS) <= set(stories.told)
    assert all(len(room.events) >= 35 for room in stories.rooms.values())


def test_it_signs_its_keys_as_we_would(stories: Stories) -> None:
    key = stories.key()
    verify_json(stories.keys, SERVER_NAME, key.key_id, key)


def test_ids_hashes_and_signatures(stories: Stories, version: RoomVersion) -> None:
    key = stories.key()
    for stored in stories.rooms[version.identifier].events:
        pdu = decode(stored.pdu, strict=version.strict_canonical_json)
        assert Event.from_pdu(version, pdu).event_id == stored.event_id
        check_content_hash(pdu)
        verify_event(version, pdu, SERVER_NAME, key.key_id, key)


def test_the_rules_allow_each_and_state_grows_alike(stories: Stories, version: RoomVersion) -> None:
    room = stories.rooms[version.identifier]
    events = read(version, room)
    create = next(iter(events.values()))
    state: State = {}
    for stored in room.events:
        event = events[stored.event_id]
        before = lookup_in(events, state)
        assert not stored.rejected
        cited = {one.key: one.event_id for one in (events[one] for one in event.auth_events)}
        check_auth_events(version, event, [events[one] for one in event.auth_events], lambda _: False)
        check_auth(version, event, lookup_in(events, cited), create=create)
        check_auth(version, event, before, create=create)
        wanted = auth_types_for_event(version, event.type, event.state_key, event.sender, event.content)
        assert cited == {key: state[key] for key in wanted if key in state}, event
        if event.is_state:
            state = {**state, event.key: event.event_id}
        assert state == stored.state_after
    assert state == room.current_state


def test_redactions_that_took_effect_may(stories: Stories, version: RoomVersion) -> None:
    room, told = stories.rooms[version.identifier], stories.told[version.identifier]
    events = read(version, room)
    redactions = [event for event in events.values() if event.type == "m.room.redaction"]
    assert [event.redacts for event in redactions] == list(told.redacted)
    for event in redactions:
        assert event.redacts is not None
        state = next(one.state_after for one in room.events if one.event_id == event.event_id)
        levels = events[state["m.room.power_levels", ""]].content
        power = PowerLevels.of(version, levels, next(iter(events.values())))
        assert may_redact(power, event.sender, events[event.redacts].sender)


def test_redacted_forms(stories: Stories, checks: Script, version: RoomVersion) -> None:
    room = stories.rooms[version.identifier]
    pdus = {one.event_id: json.loads(one.pdu) for one in room.events}
    answers = judged(checks, version, pdus, dict.fromkeys(pdus, ()))
    for event_id, event in read(version, room).items():
        assert redact_event(version, event).raw.decode() == answers[event_id]["redacted"]


# --- our events, by its rules ---


def judged(
    checks: Script, version: RoomVersion, pdus: Mapping[str, Any], states: Mapping[str, Any]
) -> dict[str, Any]:
    """What Synapse's check functions say of each, see checks.py."""
    keys = {server: {key.key_id: key.verify_key.to_base64()} for server, key in KEYS.items()}
    asked = {"do": "judge", "version": version.identifier, "keys": keys, "pdus": pdus, "states": states}
    answer: dict[str, Any] = checks.ask(asked)
    return answer


def is_no_verdict(attempt: Attempt, theirs: str | None) -> bool:
    """Whether the answer is none to compare with ours: decisions, 0023."""
    event = attempt.event
    if theirs is None:
        return False
    if theirs.startswith(("TypeError: ", "ValueError: ", "AttributeError: ", "KeyError: ")):
        return True  # it stumbles over what the rules of old rooms let pass, and knows no level then
    # Where a room is not federated, it wants the target to be of the creator's server too.
    return event.type == "m.room.member" and "unfederatable" in theirs


def levels_of(version: RoomVersion, room: Attempts, attempt: Attempt) -> PowerLevels:
    """The power levels before an attempt."""
    assert room.create is not None
    contents = [
        event.content
        for event in map(room.events.__getitem__, attempt.before)
        if event.key == ("m.room.power_levels", "")
    ]
    return PowerLevels.of(version, contents[0] if contents else None, room.create)


@pytest.mark.parametrize("seed", range(ROOMS))
def test_it_judges_our_events_as_we_do(checks: Script, version: RoomVersion, seed: int) -> None:
    room = room_of_attempts(version, seed, ATTEMPTS)
    pdus = {one.event.event_id: one.event.pdu() for one in room.attempts}
    states = {one.event.event_id: one.before for one in room.attempts}
    answers = judged(checks, version, pdus, states)
    differences, compared = [], 0
    for attempt in room.attempts:
        event, answer = attempt.event, answers[attempt.event.event_id]
        if "event_id" not in answer:  # the create event among the auth events of room version 12
            assert attempt.refused is not None, answer
            continue
        assert answer["event_id"] == event.event_id
        assert answer["reference_hash"] == reference_hash(version, event.pdu()).hex()
        assert answer["content_hash"] is True
        assert answer["redacted"] == redact_event(version, event).raw.decode()
        if event.type != "m.room.member" or "membership" in event.content:
            assert answer["signatures"] is None
        wanted = auth_types_for_event(version, event.type, event.state_key, event.sender, event.content)
        if not version.auth.create_in_auth_events and event.type != "m.room.create":
            wanted.append(("m.room.create", ""))  # it needs it, though the event does not cite it
        assert answer["auth_types"] in (None, sorted(map(list, wanted)))
        if attempt.refused is None and isinstance(answer["redaction"], bool):
            assert answer["redaction"] == levels_of(version, room, attempt).can_redact(event.sender)
        theirs = answer["shape"] or answer["auth_events"] or answer["auth"]
        if not is_no_verdict(attempt, theirs):
            compared += 1
            if (attempt.refused is None) != (theirs is None):
                differences.append((event.raw, attempt.refused, theirs))
    assert not differences
    assert compared > 0.5 * len(room.attempts)


def test_we_take_what_it_takes(checks: Script, version: RoomVersion) -> None:
    """Every key of a PDU as everything: what we drop at once and Synapse does not is named, with why."""
    room = room_of_attempts(version, seed=0, count=1)
    pdus = {
        f"{kind} {key}: {value}": (key, value, pdu)
        for kind, one in (("create", room.attempts[0]), ("member", room.attempts[1]))
        for key, value, pdu in altered(one.event.pdu())
    }
    asked = {"do": "shape", "version": version.identifier, "pdus": {one: pdus[one][2] for one in pdus}}
    surprises = []
    for name, theirs in checks.ask(asked).items():
        key, value, pdu = pdus[name]
        try:
            event = Event.from_pdu(version, pdu)
        except InvalidEvent as error:
            if theirs["shape"] is None and value not in STRICTER.get(key, ()):
                surprises.append((name, error.message))
        else:
            assert theirs.get("event_id", event.event_id) == event.event_id
    assert surprises == []


# --- where branches meet ---


@pytest.mark.timeout(300)
@pytest.mark.parametrize("identifier", list(ROOM_VERSIONS))
def test_it_resolves_states_as_we_do(checks: Script, identifier: str) -> None:
    version = ROOM_VERSIONS[identifier]
    resolved = 0
    for seed in range(GRAPHS.get(identifier, 20)):
        random = Random(seed)
        graph = random_room(version, random, steps=40)
        questions = [
            [graph.states[one] for one in random.sample(list(graph.states), count)] for count in (2, 2, 3, 4)
        ]
        asked = {
            "do": "resolve",
            "version": identifier,
            "pdus": {event_id: event.pdu() for event_id, event in graph.events.items()},
            "questions": [[list(state.values()) for state in states] for states in questions],
        }
        for states, theirs in zip(questions, checks.ask(asked), strict=True):
            ours = resolve_states(version, states, graph.events.get)
            assert sorted(ours.values()) == theirs, f"seed {seed}"
            resolved += any(state != states[0] for state in states)
    assert resolved > 3 * GRAPHS.get(identifier, 20), "nearly all of them differ"

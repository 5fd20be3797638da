"""The events of a room that replaces another, and the power in both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from plexus.client_api.upgrade.events import OldRoom, canonical_alias, replacement_events
from plexus.client_api.upgrade.power import NewPower, new_power, restricted
from plexus.protocol import ROOM_VERSIONS, PowerLevels, RoomVersion

ALICE, BOB, CAROL = "@alice:one", "@bob:one", "@carol:two"
V10, V11, V12 = (ROOM_VERSIONS[version] for version in ("10", "11", "12"))
BY_CREATORS = [version for version in ROOM_VERSIONS.values() if version.auth.creators_have_infinite_power]
BY_NUMBERS = [version for version in ROOM_VERSIONS.values() if not version.auth.creators_have_infinite_power]


@dataclass
class Create:
    sender: str = ALICE
    content: Mapping[str, Any] = field(default_factory=lambda: {"creator": ALICE})


def make(
    old: RoomVersion,
    content: Mapping[str, Any] | None,
    new: RoomVersion,
    upgrader: str = ALICE,
    additional: list[str] | None = None,
    create: Create | None = None,
) -> NewPower:
    return new_power(old, content, create or Create(), new, upgrader, additional or [])


def level(version: RoomVersion, content: Mapping[str, Any], user: str, creator: str) -> int:
    return PowerLevels.of(version, content, Create(creator, {"creator": creator})).user_level(user)


@pytest.mark.parametrize("version", BY_CREATORS, ids=lambda version: version.identifier)
def test_creators_are_not_listed_and_the_tombstone_is_out_of_reach(version: RoomVersion) -> None:
    power = make(
        V11,
        {"users": {ALICE: 100, BOB: 100, CAROL: 100}, "events": {"m.room.tombstone": 100, "m.x": 7}},
        version,
        BOB,
        [CAROL],
    )
    assert power.last is None
    assert power.first["users"] == {ALICE: 100}
    assert power.first["events"] == {"m.room.tombstone": 150, "m.x": 7}


@pytest.mark.parametrize(
    ("content", "tombstone"),
    [
        ({}, 150),
        ({"events": {"m.room.tombstone": 60}}, 60),
        ({"events": {"m.room.tombstone": 50}}, 150),
        ({"state_default": 200, "events": {"m.room.tombstone": 100}}, 201),
        ({"state_default": 2**53 - 1}, 2**53 - 1),
    ],
)
def test_the_tombstone_is_above_state_default(content: dict[str, Any], tombstone: int) -> None:
    power = make(V12, content, V12, create=Create(content={}))
    assert power.first["events"]["m.room.tombstone"] == tombstone


def test_creators_that_are_none_any_more_keep_an_admin_s_power() -> None:
    create = Create(content={"additional_creators": [BOB, CAROL]})
    power = make(V12, {"users": {"@d:x": 5}}, V12, BOB, [CAROL], create)
    assert power.first["users"] == {ALICE: 100, "@d:x": 5}
    power = make(V12, {"events": {"m.room.tombstone": 150}}, V11, BOB, [], create)
    assert power.first["users"] == {ALICE: 100, BOB: 150, CAROL: 100}, "somebody must be able to do anything"
    assert power.last is None


@pytest.mark.parametrize("version", BY_NUMBERS, ids=lambda version: version.identifier)
def test_who_upgrades_is_raised_for_the_time_of_it(version: RoomVersion) -> None:
    content = {"users": {ALICE: 200, BOB: 60}, "events": {"m.room.tombstone": 50, "m.room.server_acl": 120}}
    power = make(V11, content, version, BOB)
    assert level(version, power.first, BOB, BOB) == 120
    assert power.last == content
    power = make(V11, {"users_default": 100}, version, BOB)
    assert power.first["users"] == {BOB: 100}
    assert power.last == {"users": {}, "users_default": 100}
    power = make(V11, {"users": {ALICE: 100}}, version, ALICE)
    assert power.last is None, "nothing to put back"


@pytest.mark.parametrize("version", BY_NUMBERS, ids=lambda version: version.identifier)
def test_without_levels_the_creator_was_the_admin(version: RoomVersion) -> None:
    power = make(V10, None, version, ALICE)
    assert power.first == {"users": {ALICE: 100}}
    assert power.last is None


def test_what_the_old_version_read_as_a_level_becomes_an_integer() -> None:
    old = {
        "ban": "60",
        "kick": "high",
        "redact": 2**60,
        "invite": None,
        "state_default": 40.9,
        "users": {ALICE: " 100 ", "bob": 50, CAROL: [], BOB: 20.5},
        "events": {"m.a": "5", "m.b": {}, "m.c": 1e300},
        "notifications": [],
        "org.example": {"kept": 1},
        "org.example.float": 1.5,
    }
    power = make(ROOM_VERSIONS["1"], old, V11)
    most = 2**53 - 1
    assert power.first == {
        "ban": 60,
        "redact": most,
        "state_default": 40,
        "users": {ALICE: most, BOB: 20},
        "events": {"m.a": 5, "m.c": most},
        "org.example": {"kept": 1},
    }
    assert power.last is not None and power.last["users"] == {ALICE: 100, BOB: 20}


def test_what_the_old_version_did_not_read_goes() -> None:
    old = {"ban": "60", "users": {ALICE: 100, BOB: "100"}, "events": 7}
    assert make(V10, old, V11).first == {"users": {ALICE: 100}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, {"events_default": 50, "invite": 50}),
        ({"users_default": 60, "invite": 5}, {"users_default": 60, "events_default": 61, "invite": 61}),
        ({"events_default": 80, "invite": 0}, {"events_default": 80, "invite": 50}),
        ({"events_default": 50, "invite": 50}, None),
    ],
)
def test_nobody_goes_on_in_the_old_room(content: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert restricted(V11, content, Create()) == expected
    if expected is not None:
        assert restricted(V11, expected, Create()) is None


def test_restricting_a_room_without_levels_keeps_its_creator_in_power() -> None:
    content = restricted(V10, None, Create())
    assert content == {"events_default": 50, "invite": 50, "users": {ALICE: 100}}
    assert restricted(V12, None, Create(content={})) == {"events_default": 50, "invite": 50}


def events_of(old: OldRoom, version: RoomVersion = V11, **more: Any) -> dict[tuple[str, str | None], Any]:
    power = NewPower({"users": {}}, None, 100)
    made = replacement_events(old, version, ALICE, {"membership": "join"}, [], more.get("power", power))
    return {(event.type, event.state_key): event.content for event in made}


def test_what_cannot_stand_in_a_new_event_is_left_out() -> None:
    made = events_of(
        OldRoom(
            "!old:one",
            None,
            {
                ("m.room.create", ""): {"type": 5, "m.federate": False, "org.example": 1},
                ("m.room.name", ""): {"name": 1.5},
                ("m.room.topic", ""): {},
                ("m.room.avatar", ""): {"url": "mxc://x/y"},
                ("m.space.child", "!c:x"): {"via": ["x"]},
            },
            {},
            [],
        )
    )
    assert set(made) == {
        ("m.room.create", ""),
        ("m.room.member", ALICE),
        ("m.room.power_levels", ""),
        ("m.room.avatar", ""),
    }
    assert made[("m.room.create", "")] == {"predecessor": {"room_id": "!old:one"}, "m.federate": False}


def test_the_children_of_a_space_go_along() -> None:
    state: dict[tuple[str, str], Any] = {
        ("m.room.create", ""): {"type": "m.space"},
        ("m.space.child", "!c:x"): {"via": ["x"], "order": "1"},
        ("m.space.child", "!gone:x"): {},
    }
    made = events_of(OldRoom("!old:one", None, state, {}, []))
    assert made[("m.room.create", "")]["type"] == "m.space"
    assert made[("m.space.child", "!c:x")] == {"via": ["x"], "order": "1"}
    assert ("m.space.child", "!gone:x") not in made


@pytest.mark.parametrize("version", ROOM_VERSIONS.values(), ids=lambda version: version.identifier)
def test_a_join_rule_that_the_version_does_not_know_becomes_invite(version: RoomVersion) -> None:
    known = version.auth.restricted_join_rules | version.auth.knock_join_rules | {"public", "invite"}
    for rule in ("public", "invite", "knock", "restricted", "knock_restricted", "org.example"):
        content: dict[str, Any] = {"join_rule": rule, "allow": []}
        old = OldRoom("!o:x", None, {("m.room.create", ""): {}, ("m.room.join_rules", ""): content}, {}, [])
        made = events_of(old, version)
        expected = content if rule in known else {"join_rule": "invite"}
        assert made[("m.room.join_rules", "")] == expected


def test_bans_go_along_but_not_of_those_above_or_beside() -> None:
    bans: dict[str, dict[str, Any]] = {
        BOB: {"membership": "ban", "reason": "spam", "displayname": "Bob"},
        CAROL: {"membership": "ban", "reason": 5},
        ALICE: {"membership": "ban"},
        "@admin:x": {"membership": "ban"},
    }
    old = OldRoom("!o:x", None, {("m.room.create", ""): {}}, bans, [])
    made = events_of(old, power=NewPower({"users": {"@admin:x": 100, CAROL: 99}}, None, 100))
    members = {key: content for (name, key), content in made.items() if name == "m.room.member"}
    assert members == {
        ALICE: {"membership": "join"},
        BOB: {"membership": "ban", "reason": "spam"},
        CAROL: {"membership": "ban"},
    }


def test_canonical_aliases_are_divided() -> None:
    content = {"alias": "#a:one", "alt_aliases": ["#b:two", "#c:one", 5], "other": 1}
    ours = ["#a:one", "#c:one"]
    assert canonical_alias(content, ours, inside=True) == {"alias": "#a:one", "alt_aliases": ["#c:one"]}
    assert canonical_alias(content, ours, inside=False) == {"alt_aliases": ["#b:two"]}
    assert canonical_alias({"alias": None, "alt_aliases": "x"}, ours, inside=True) == {}

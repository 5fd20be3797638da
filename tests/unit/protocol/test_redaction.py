"""plexus.protocol.redaction"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol import ROOM_VERSIONS, RoomVersion, get_room_version, redact

TOP = {
    "event_id": "$e",
    "room_id": "!r:x",
    "sender": "@a:x",
    "origin": "x",
    "origin_server_ts": 1,
    "depth": 1,
    "hashes": {"sha256": "h"},
    "signatures": {},
    "prev_events": [],
    "auth_events": [],
    "prev_state": [],
    "membership": "join",
    "state_key": "",
    "redacts": "$f",
    "unsigned": {"age": 1},
    "extra": 1,
}


def kept(version: str, type: str, content: dict[str, Any]) -> Any:
    return redact(get_room_version(version), {**TOP, "type": type, "content": content})["content"]


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_top_level_keys(version: str) -> None:
    event = {**TOP, "type": "m.room.message", "content": {"body": "secret"}}
    gone = {"redacts", "unsigned", "extra"}
    if int(version) >= 11:
        gone |= {"origin", "membership", "prev_state"}
    left = redact(get_room_version(version), event)
    assert set(event) - set(left) == gone
    assert left["content"] == {}
    assert event["content"] == {"body": "secret"}, "the event given must not change"


ALWAYS, NEVER = range(1, 13), range(0)


@pytest.mark.parametrize(
    ("type", "key", "versions"),
    [
        ("m.room.message", "body", NEVER),
        ("m.room.message", "membership", NEVER),
        ("m.room.create", "creator", ALWAYS),
        ("m.room.create", "room_version", range(11, 13)),
        ("m.room.create", "type", range(11, 13)),
        ("m.room.create", "additional_creators", range(11, 13)),
        ("m.room.join_rules", "join_rule", ALWAYS),
        ("m.room.join_rules", "allow", range(8, 13)),
        ("m.room.join_rules", "x", NEVER),
        ("m.room.history_visibility", "history_visibility", ALWAYS),
        ("m.room.history_visibility", "x", NEVER),
        ("m.room.power_levels", "ban", ALWAYS),
        ("m.room.power_levels", "events", ALWAYS),
        ("m.room.power_levels", "events_default", ALWAYS),
        ("m.room.power_levels", "kick", ALWAYS),
        ("m.room.power_levels", "redact", ALWAYS),
        ("m.room.power_levels", "state_default", ALWAYS),
        ("m.room.power_levels", "users", ALWAYS),
        ("m.room.power_levels", "users_default", ALWAYS),
        ("m.room.power_levels", "invite", range(11, 13)),
        ("m.room.power_levels", "notifications", NEVER),
        ("m.room.aliases", "aliases", range(1, 6)),
        ("m.room.redaction", "redacts", range(11, 13)),
        ("m.room.redaction", "reason", NEVER),
        ("m.room.member", "membership", ALWAYS),
        ("m.room.member", "displayname", NEVER),
        ("m.room.member", "join_authorised_via_users_server", range(9, 13)),
        ("m.room.third_party_invite", "public_key", NEVER),
    ],
)
def test_which_versions_keep_which_content(type: str, key: str, versions: range) -> None:
    content = {key: ["kept"]}
    for version in ROOM_VERSIONS:
        left = kept(version, type, {**content, "org.example.other": 1})
        left.pop("org.example.other", None)  # m.room.create keeps all from version 11 on.
        assert left == (content if int(version) in versions else {}), version


@pytest.mark.parametrize(
    ("invite", "left"),
    [
        ({"signed": {"token": "t"}, "display_name": "y"}, {"third_party_invite": {"signed": {"token": "t"}}}),
        ({"display_name": "y"}, {"third_party_invite": {}}),
        (5, {}),
    ],
)
def test_what_is_signed_of_a_third_party_invite_stays_from_version_11_on(invite: Any, left: Any) -> None:
    for version in ROOM_VERSIONS:
        found = kept(version, "m.room.member", {"third_party_invite": invite})
        assert found == (left if int(version) >= 11 else {}), version


types = st.sampled_from([*get_room_version("1").redaction.content, "m.room.redaction", "m.room.message", "x"])
keys = st.sampled_from(
    sorted(
        {
            key
            for rules in ROOM_VERSIONS.values()
            for kept in rules.redaction.content.values()
            for key in kept or ()
        }
        | {"signed", "body", "room_version"}
    )
)
values = st.recursive(
    st.integers(0, 3) | st.none() | st.text(max_size=2),
    lambda inner: st.dictionaries(keys, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)
tops = st.dictionaries(st.sampled_from(sorted(TOP)), values)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
@given(types, st.dictionaries(keys, values) | values, tops)
def test_twice_is_once(version: str, type: str, content: Any, top: dict[str, Any]) -> None:
    rules: RoomVersion = get_room_version(version)
    once = redact(rules, {**top, "type": type, "content": content})
    assert redact(rules, once) == once


def test_a_content_that_is_no_object_does_not_break_it(version: RoomVersion) -> None:
    assert redact(version, {"type": "m.room.create", "content": []})["content"] == {}
    assert redact(version, {"type": ["x"]})["content"] == {}

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


def test_top_level_keys() -> None:
    event = {**TOP, "type": "m.room.message", "content": {"body": "secret"}}
    gone_always = {"redacts", "unsigned", "extra"}
    assert set(event) - set(redact(get_room_version("10"), event)) == gone_always
    for version in ("11", "12"):
        left = redact(get_room_version(version), event)
        assert set(event) - set(left) == gone_always | {"origin", "membership", "prev_state"}
        assert left["content"] == {}
    assert event["content"] == {"body": "secret"}, "the event given must not change"


POWER = {"ban": 1, "events": {}, "events_default": 1, "kick": 1, "redact": 1, "state_default": 1}
POWER |= {"users": {}, "users_default": 1}


@pytest.mark.parametrize(
    ("type", "content", "in_10", "in_11"),
    [
        ("m.room.message", {"body": "x", "membership": "join"}, {}, {}),
        ("m.room.create", {"creator": "@a:x", "type": "m.space"}, {"creator": "@a:x"}, None),
        (
            "m.room.join_rules",
            {"join_rule": "public", "allow": [], "x": 1},
            {"join_rule": "public", "allow": []},
            ...,
        ),
        (
            "m.room.history_visibility",
            {"history_visibility": "shared", "x": 1},
            {"history_visibility": "shared"},
            ...,
        ),
        ("m.room.power_levels", {**POWER, "invite": 1, "notifications": {}}, POWER, {**POWER, "invite": 1}),
        ("m.room.redaction", {"redacts": "$f", "reason": "x"}, {}, {"redacts": "$f"}),
        ("m.room.aliases", {"aliases": []}, {}, {}),
        (
            "m.room.member",
            {
                "membership": "invite",
                "displayname": "x",
                "join_authorised_via_users_server": "@b:x",
                "third_party_invite": {"signed": {"token": "t"}, "display_name": "y"},
            },
            {"membership": "invite", "join_authorised_via_users_server": "@b:x"},
            {
                "membership": "invite",
                "join_authorised_via_users_server": "@b:x",
                "third_party_invite": {"signed": {"token": "t"}},
            },
        ),
        (
            "m.room.member",
            {"membership": "invite", "third_party_invite": {"x": 1}},
            {"membership": "invite"},
            {"membership": "invite", "third_party_invite": {}},
        ),
        ("m.room.member", {"membership": "invite", "third_party_invite": 5}, {"membership": "invite"}, ...),
    ],
)
def test_content(type: str, content: dict[str, Any], in_10: Any, in_11: Any) -> None:
    expected = content if in_11 is None else in_10 if in_11 is ... else in_11
    assert kept("10", type, content) == in_10
    assert kept("11", type, content) == expected
    assert kept("12", type, content) == expected


types = st.sampled_from(
    ["m.room.member", "m.room.create", "m.room.power_levels", "m.room.redaction", "m.room.message", "x"]
)
keys = st.sampled_from(
    ["membership", "third_party_invite", "signed", "creator", "users", "redacts", "invite", "body"]
)
values = st.recursive(st.integers(0, 3), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8)


@given(st.sampled_from(sorted(ROOM_VERSIONS)), types, st.dictionaries(keys, values))
def test_twice_is_once(version: str, type: str, content: dict[str, Any]) -> None:
    rules: RoomVersion = get_room_version(version)
    once = redact(rules, {**TOP, "type": type, "content": content})
    assert redact(rules, once) == once


def test_a_content_that_is_no_object_does_not_break_it(version: RoomVersion) -> None:
    assert redact(version, {"type": "m.room.create", "content": []})["content"] == {}
    assert redact(version, {"type": ["x"]})["content"] == {}

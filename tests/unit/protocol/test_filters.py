"""plexus.protocol.filters"""

from __future__ import annotations

import time
from typing import Any

import pytest
from plexus.protocol import EventFilter, Filter
from plexus.protocol.errors import BadJson, InvalidParam
from plexus.protocol.filters import apply_event_fields


def test_an_empty_filter_lets_everything_through() -> None:
    parsed = Filter.parse({})
    assert parsed.is_everything
    assert parsed.room.timeline.matches("any", "@a:x", "!r:x", {})
    assert Filter.parse({"room": {"timeline": {"limit": 5}}, "unknown": 1}).is_everything


def test_a_whole_filter() -> None:
    parsed = Filter.parse(
        {
            "event_fields": ["type", "content.body"],
            "event_format": "federation",
            "presence": {"types": ["m.presence"], "not_senders": ["@alice:x"]},
            "account_data": {"not_types": ["*"]},
            "room": {
                "rooms": ["!a:x"],
                "not_rooms": ["!b:x"],
                "include_leave": True,
                "state": {
                    "lazy_load_members": True,
                    "include_redundant_members": True,
                    "types": ["m.room.*"],
                },
                "timeline": {"limit": 10, "unread_thread_notifications": True, "contains_url": False},
            },
        }
    )
    assert not parsed.is_everything
    assert parsed.event_fields == ("type", "content.body")
    assert parsed.event_format == "federation"
    assert parsed.lazy_load_members
    assert parsed.include_redundant_members
    assert parsed.unread_thread_notifications
    assert parsed.room.include_leave
    assert parsed.room.timeline.limit == 10
    assert parsed.room.matches("!a:x")
    assert not parsed.room.matches("!b:x")
    assert not parsed.room.matches("!c:x")
    assert parsed.room.state.matches("m.room.name", "@a:x")
    assert not parsed.room.state.matches("m.sticker", "@a:x")
    assert not parsed.account_data.matches("anything", None)
    assert not parsed.presence.matches("m.presence", "@alice:x")
    assert parsed.presence.matches("m.presence", "@bob:x")


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("m.room.message", ["m.room.message"], ["m.room.messages", "xm.room.message", "m-room.message"]),
        ("m.room.*", ["m.room.", "m.room.a.b"], ["m.room", "m.rooms.a"]),
        ("*", ["", "x", "a\nb"], []),
        ("*.a.*b", [".a.b", "x.a.yb"], [".ab", "x.a.y", ".a.bc"]),
        ("a*a", ["aa", "aba"], ["a", "ab"]),
        ("a**b", ["ab", "axb"], ["a", "b"]),
        ("ab*ba", ["abba", "ab.ba"], ["aba"]),
        ("a?[b]*", ["a?[b]c"], ["axb"]),
    ],
)
def test_wildcards(pattern: str, matching: list[str], others: list[str]) -> None:
    wanted, unwanted = EventFilter.parse({"types": [pattern]}), EventFilter.parse({"not_types": [pattern]})
    for event_type in matching:
        assert wanted.matches(event_type, "@a:x")
        assert not unwanted.matches(event_type, "@a:x")
    for event_type in others:
        assert not wanted.matches(event_type, "@a:x")
        assert unwanted.matches(event_type, "@a:x")


def test_a_hostile_pattern_costs_little() -> None:
    hostile = EventFilter.parse({"types": ["*a" * 499 + "b"]})
    start = time.perf_counter()
    assert not hostile.matches("a" * 255, "@a:x")
    assert time.perf_counter() - start < 0.1


def test_exclusion_wins() -> None:
    both = EventFilter.parse(
        {"types": ["a", "b"], "not_types": ["b"], "senders": ["@a:x"], "not_senders": ["@b:x"]}
    )
    assert both.matches("a", "@a:x")
    assert not both.matches("b", "@a:x")
    assert not both.matches("a", "@b:x")
    assert not both.matches("a", None)


def test_an_empty_list_lets_nothing_through() -> None:
    for key in ("types", "senders"):
        nothing = EventFilter.parse({key: []})
        assert nothing.is_nothing
        assert not nothing.is_everything
        assert not nothing.matches("a", "@a:x")


def test_leaving_out_every_type_lets_nothing_through() -> None:
    nothing = EventFilter.parse({"not_types": ["m.x", "*"], "types": ["m.x"]})
    assert nothing.is_nothing
    assert not nothing.matches("m.x", "@a:x")
    assert not EventFilter.parse({"not_types": ["m.*"]}).is_nothing


def test_members_of_room_filters_only() -> None:
    data = {"rooms": ["!a:x"], "contains_url": True}
    assert EventFilter.parse(data).is_everything
    of_room = EventFilter.parse(data, of_room=True)
    assert of_room.matches("m", "@a:x", "!a:x", {"url": "mxc://x/y"})
    assert not of_room.matches("m", "@a:x", "!b:x", {"url": "mxc://x/y"})
    assert not of_room.matches("m", "@a:x", "!a:x", {"body": "x"})
    without_url = EventFilter.parse({"contains_url": False}, of_room=True)
    assert without_url.matches("m", "@a:x", "!a:x", {})
    assert not without_url.matches("m", "@a:x", "!a:x", {"url": 1})


@pytest.mark.parametrize(
    ("obj", "error"),
    [
        ([], BadJson),
        ({"room": []}, BadJson),
        ({"room": {"timeline": "x"}}, BadJson),
        ({"room": {"timeline": {"limit": "5"}}}, BadJson),
        ({"room": {"timeline": {"limit": True}}}, BadJson),
        ({"room": {"timeline": {"limit": -1}}}, InvalidParam),
        ({"room": {"timeline": {"types": "m.*"}}}, BadJson),
        ({"room": {"timeline": {"types": [5]}}}, BadJson),
        ({"room": {"timeline": {"senders": ["alice"]}}}, InvalidParam),
        ({"room": {"timeline": {"not_rooms": ["room"]}}}, InvalidParam),
        ({"room": {"rooms": ["#alias:x"]}}, InvalidParam),
        ({"room": {"state": {"lazy_load_members": 1}}}, BadJson),
        ({"room": {"include_leave": "yes"}}, BadJson),
        ({"presence": {"senders": [7]}}, BadJson),
        ({"event_format": "xml"}, InvalidParam),
        ({"event_fields": "type"}, BadJson),
        ({"account_data": {"types": ["x"] * 1001}}, InvalidParam),
        ({"account_data": {"not_types": ["x" * 1001]}}, InvalidParam),
        ({"event_fields": ["x" * 1001]}, InvalidParam),
    ],
)
def test_bad_filters(obj: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Filter.parse(obj)


def test_null_is_absent_and_unknown_keys_are_ignored() -> None:
    nothing_said = {
        "event_fields": None,
        "presence": None,
        "org.example": {},
        "room": {"rooms": None, "state": None, "timeline": {"types": None, "senders": None, "limit": None}},
    }
    assert Filter.parse(nothing_said) == Filter.parse({})


@pytest.mark.parametrize("section", ["state", "timeline", "ephemeral", "account_data"])
def test_each_section_of_a_room_filters_alone(section: str) -> None:
    parsed = Filter.parse({"room": {section: {"types": [], "rooms": ["!a:x"], "lazy_load_members": True}}})
    assert not parsed.is_everything
    for name in ("state", "timeline", "ephemeral", "account_data"):
        filtered: EventFilter = getattr(parsed.room, name)
        assert filtered.is_nothing is (name == section)
        assert filtered.matches("m.x", "@a:x", "!a:x") is (name != section)
        assert filtered.lazy_load_members is (name == section)
    assert parsed.lazy_load_members is (section == "state")


@pytest.mark.parametrize("section", ["presence", "account_data"])
def test_each_section_outside_of_rooms_filters_alone(section: str) -> None:
    parsed = Filter.parse({section: {"not_types": ["m.*"], "not_senders": ["@b:x"]}})
    for name in ("presence", "account_data"):
        filtered: EventFilter = getattr(parsed, name)
        assert filtered.matches("m.x", None) is (name != section)
        assert filtered.matches("x", None)
        assert filtered.matches("x", "@b:x") is (name != section)
    assert parsed.room.is_everything


def test_excluded_rooms_are_excluded_even_if_listed() -> None:
    parsed = Filter.parse(
        {"room": {"rooms": ["!a:x", "!b:x"], "not_rooms": ["!b:x"], "timeline": {"not_rooms": ["!a:x"]}}}
    )
    assert parsed.room.matches("!a:x") and not parsed.room.matches("!b:x") and not parsed.room.matches("!c:x")
    assert not parsed.room.timeline.matches("m.x", "@a:x", "!a:x")
    assert parsed.room.state.matches("m.x", "@a:x", "!a:x")


def test_rooms_without_a_domain_are_rooms() -> None:
    room_id = "!Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"
    assert Filter.parse({"room": {"rooms": [room_id]}}).room.matches(room_id)


def test_event_fields_follow_paths_and_escapes() -> None:
    event = {
        "type": "m.room.message",
        "sender": "@a:x",
        "content": {
            "body": "hi",
            "m.relates_to": {"rel_type": "m.thread", "x": 1},
            r"a\b": 2,
            "deep": {"er": 3},
        },
    }
    assert apply_event_fields(event, ["type", "content.body"]) == {
        "type": "m.room.message",
        "content": {"body": "hi"},
    }
    assert apply_event_fields(event, [r"content.m\.relates_to.rel_type", r"content.a\\b"]) == {
        "content": {"m.relates_to": {"rel_type": "m.thread"}, r"a\b": 2}
    }
    assert apply_event_fields(event, ["content.m.relates_to", "nothing", "sender.x", "type.x"]) == {}
    assert apply_event_fields(event, ["content", "content.body"]) == {"content": event["content"]}
    assert apply_event_fields(event, ["content.deep.er", "content.deep"]) == {"content": {"deep": {"er": 3}}}
    assert apply_event_fields(event, []) == {}

"""plexus.protocol.push_rules"""

from __future__ import annotations

import json
from typing import Any

import pytest
from plexus.protocol.errors import BadJson, InvalidParam, MatrixError, MissingParam, NotFound
from plexus.protocol.push_rules import EMPTY, KINDS, Overlay, default_rules, find_rule, merge

ALICE = "@alice:one"
BODY: dict[str, Any] = {"actions": ["notify"]}


def ids(overlay: Overlay, kind: str) -> list[str]:
    return [
        rule["rule_id"] for kind_, rules in merge(overlay, ALICE).items() if kind_ == kind for rule in rules
    ]


def own(overlay: Overlay, kind: str) -> list[str]:
    return [rule_id for rule_id in ids(overlay, kind) if not rule_id.startswith(".")]


def test_the_defaults_are_those_of_the_specification_in_its_order() -> None:
    assert ids(EMPTY, "override") == [
        ".m.rule.master",
        ".m.rule.suppress_notices",
        ".m.rule.invite_for_me",
        ".m.rule.member_event",
        ".m.rule.is_user_mention",
        ".m.rule.is_room_mention",
        ".m.rule.tombstone",
        ".m.rule.reaction",
        ".m.rule.room.server_acl",
        ".m.rule.suppress_edits",
    ]
    assert ids(EMPTY, "underride") == [
        ".m.rule.call",
        ".m.rule.encrypted_room_one_to_one",
        ".m.rule.room_one_to_one",
        ".m.rule.message",
        ".m.rule.encrypted",
    ]
    assert ids(EMPTY, "content") == ids(EMPTY, "room") == ids(EMPTY, "sender") == []
    assert all(rule["default"] for kind in KINDS for rule in default_rules(ALICE)[kind])


def test_where_threads_are_subscribed_to_there_is_a_kind_more() -> None:
    """MSC4306, "New Push Rules": "ordered between content and room"."""
    ruleset = merge(EMPTY, ALICE, threads=True)
    assert list(ruleset) == ["override", "content", "postcontent", "room", "sender", "underride"]
    assert [(rule["rule_id"], rule["enabled"], rule["actions"]) for rule in ruleset["postcontent"]] == [
        (".io.element.msc4306.rule.unsubscribed_thread", True, []),
        (
            ".io.element.msc4306.rule.subscribed_thread",
            True,
            ["notify", {"set_tweak": "sound", "value": "default"}],
        ),
    ]
    assert list(merge(EMPTY, ALICE)) == list(KINDS)
    with pytest.raises(InvalidParam):
        EMPTY.put_rule("postcontent", "mine", {"actions": [], "conditions": []})


def test_the_rules_about_the_user_name_the_user() -> None:
    invite = find_rule(EMPTY, ALICE, "override", ".m.rule.invite_for_me")
    assert invite["conditions"][2] == {"kind": "event_match", "key": "state_key", "pattern": ALICE}
    mention = find_rule(EMPTY, ALICE, "override", ".m.rule.is_user_mention")
    assert mention["conditions"] == [
        {"kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": ALICE}
    ]
    assert mention["actions"] == [
        "notify",
        {"set_tweak": "sound", "value": "default"},
        {"set_tweak": "highlight"},
    ]


def test_a_callers_changes_do_not_leak_into_the_defaults() -> None:
    merge(EMPTY, ALICE)["underride"][0]["actions"].append("x")
    assert find_rule(EMPTY, ALICE, "underride", ".m.rule.call")["actions"] != merge(EMPTY, ALICE)[
        "underride"
    ][0]["actions"] + ["x"]
    assert "x" not in find_rule(EMPTY, ALICE, "underride", ".m.rule.call")["actions"]


def test_own_rules_go_before_the_defaults_but_for_master() -> None:
    overlay = EMPTY.put_rule("override", "mine", BODY).put_rule("underride", "mine", BODY)
    assert ids(overlay, "override")[:3] == [".m.rule.master", "mine", ".m.rule.suppress_notices"]
    assert ids(overlay, "underride")[:2] == ["mine", ".m.rule.call"]
    assert find_rule(overlay, ALICE, "override", "mine") == {
        "rule_id": "mine",
        "default": False,
        "enabled": True,
        "conditions": [],
        "actions": ["notify"],
    }


def test_the_place_of_a_rule() -> None:
    overlay = EMPTY
    for rule_id in ("c", "b", "a"):
        overlay = overlay.put_rule("room", rule_id, BODY)
    assert own(overlay, "room") == ["a", "b", "c"], "a new rule is the most important"
    assert own(overlay.put_rule("room", "x", BODY, before="b"), "room") == ["a", "x", "b", "c"]
    assert own(overlay.put_rule("room", "x", BODY, after="b"), "room") == ["a", "b", "x", "c"]
    assert own(overlay.put_rule("room", "x", BODY, before="c", after="a"), "room") == ["a", "b", "x", "c"]
    assert own(overlay.put_rule("room", "b", BODY), "room") == ["a", "b", "c"], "a changed rule stays"
    assert own(overlay.put_rule("room", "a", BODY, after="c"), "room") == ["b", "c", "a"]
    for relative in ("nothing", ".m.rule.call", "x"):
        with pytest.raises(MatrixError, match="not found") as caught:
            overlay.put_rule("room", "x", BODY, before=relative)
        assert (caught.value.status, caught.value.errcode) == (400, "M_UNKNOWN")


def test_changing_a_rule_keeps_it_disabled() -> None:
    overlay = EMPTY.put_rule("content", "cake", {**BODY, "pattern": "cake"})
    overlay = overlay.set_enabled("content", "cake", False)
    overlay = overlay.put_rule("content", "cake", {"actions": [], "pattern": "pie"})
    rule = find_rule(overlay, ALICE, "content", "cake")
    assert (rule["pattern"], rule["actions"], rule["enabled"]) == ("pie", [], False)
    recreated = overlay.delete_rule("content", "cake").put_rule(
        "content", "cake", {**BODY, "pattern": "cake"}
    )
    assert find_rule(recreated, ALICE, "content", "cake")["enabled"] is True


def test_defaults_are_changed_by_what_lies_over_them() -> None:
    overlay = EMPTY.set_enabled("override", ".m.rule.master", True)
    overlay = overlay.set_actions("underride", ".m.rule.message", [])
    assert find_rule(overlay, ALICE, "override", ".m.rule.master")["enabled"] is True
    assert find_rule(overlay, ALICE, "underride", ".m.rule.message")["actions"] == []
    assert find_rule(EMPTY, ALICE, "underride", ".m.rule.message")["actions"] == ["notify"]


def test_deleting() -> None:
    overlay = EMPTY.put_rule("sender", "@b:x", BODY)
    assert own(overlay.delete_rule("sender", "@b:x"), "sender") == []
    for kind, rule_id in (("sender", "@c:x"), ("room", "@b:x"), ("override", ".m.rule.master")):
        with pytest.raises(NotFound):
            overlay.delete_rule(kind, rule_id)


def test_what_is_not_there() -> None:
    with pytest.raises(NotFound):
        find_rule(EMPTY, ALICE, "override", "nothing")
    with pytest.raises(NotFound):
        EMPTY.set_enabled("override", "nothing", True)
    with pytest.raises(NotFound):
        EMPTY.set_actions("underride", ".m.rule.nothing", [])
    with pytest.raises(InvalidParam):
        find_rule(EMPTY, ALICE, "kindless", "x")
    with pytest.raises(InvalidParam):
        EMPTY.put_rule("kindless", "x", BODY)


@pytest.mark.parametrize("rule_id", [".mine", "a/b", "a\\b", "", "a\0", "x" * 256])
def test_rule_ids(rule_id: str) -> None:
    with pytest.raises(InvalidParam):
        EMPTY.put_rule("override", rule_id, BODY)


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [
        ("override", {}, MissingParam),
        ("override", {"actions": "notify"}, BadJson),
        ("override", {"actions": ["dance"]}, InvalidParam),
        ("override", {"actions": [{"sound": "x"}]}, InvalidParam),
        ("override", {"actions": [], "conditions": {}}, BadJson),
        ("override", {"actions": [], "conditions": ["x"]}, BadJson),
        ("override", {"actions": [], "conditions": [{"kind": "event_match", "key": "type"}]}, BadJson),
        (
            "override",
            {"actions": [], "conditions": [{"kind": "room_member_count", "is": "=2"}]},
            InvalidParam,
        ),
        ("override", {"actions": [], "conditions": [{"kind": "event_property_is", "key": "x"}]}, BadJson),
        (
            "override",
            {"actions": [], "conditions": [{"kind": "event_property_is", "key": "x", "value": {}}]},
            BadJson,
        ),
        ("content", {"actions": []}, MissingParam),
        ("content", {"actions": [], "pattern": 5}, BadJson),
        ("content", {"actions": [], "pattern": "x" * 1001}, InvalidParam),
        (
            "override",
            {"actions": [], "conditions": [{"kind": "event_match", "key": "type", "pattern": "x" * 1001}]},
            InvalidParam,
        ),
        ("override", {"actions": [], "conditions": [{"kind": "contains_display_name"}] * 51}, InvalidParam),
        (
            "override",
            {"actions": [], "conditions": [{"kind": "room_member_count", "is": "<" + "9" * 17}]},
            InvalidParam,
        ),
    ],
)
def test_bad_bodies(kind: str, body: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        EMPTY.put_rule(kind, "mine", body)


def test_historical_actions_are_dropped_and_unknown_conditions_kept() -> None:
    conditions = [{"kind": "org.example.moon", "phase": 3}, {"kind": "contains_display_name"}]
    body = {"actions": ["dont_notify", "notify", "coalesce"], "conditions": conditions}
    rule = find_rule(EMPTY.put_rule("override", "mine", body), ALICE, "override", "mine")
    assert rule["actions"] == ["notify"]
    assert rule["conditions"] == conditions


def test_storing_and_reading_again() -> None:
    overlay = EMPTY.put_rule("content", "cake", {**BODY, "pattern": "cake"}).put_rule("room", "!r:x", BODY)
    overlay = overlay.set_enabled("override", ".m.rule.master", True).set_actions(
        "underride", ".m.rule.call", []
    )
    again = Overlay.from_json(json.loads(json.dumps(overlay.to_json())))
    assert merge(again, ALICE) == merge(overlay, ALICE)
    assert Overlay.from_json({}) == EMPTY


def test_there_is_an_end_to_the_rules_of_a_kind() -> None:
    rule = {"rule_id": "x", "default": False, "enabled": True, "actions": []}
    full = Overlay(rules={"room": tuple({**rule, "rule_id": f"!{n}:x"} for n in range(2000))})
    with pytest.raises(InvalidParam, match="at most 2000"):
        full.put_rule("room", "!one:more", BODY)
    full.put_rule("room", "!7:x", BODY)
    full.put_rule("sender", "@a:x", BODY)

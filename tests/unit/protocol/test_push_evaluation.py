"""plexus.protocol.push_evaluation, push_conditions and push_event"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plexus.protocol import PowerLevels, get_room_version
from plexus.protocol.predefined_push_rules import THREAD_KINDS
from plexus.protocol.push_conditions import compile_condition
from plexus.protocol.push_evaluation import (
    DEFAULT_PUSH_RULES,
    THREAD_PUSH_RULES,
    Outcome,
    PushRules,
    _outcome,
    compile_rules,
)
from plexus.protocol.push_event import EventView
from plexus.protocol.push_rules import EMPTY, Overlay, merge

ALICE, BOB, CAROL, SENDER = "@alice:one", "@bob:one", "@carol:one", "@sender:two"
ROOM = "!room:one"


def view(
    content: dict[str, Any] | None = None,
    type: str = "m.room.message",
    *,
    members: int = 5,
    powers: dict[str, Any] | None = None,
    subscribers: frozenset[str] | None = None,
    **other: Any,
) -> EventView:
    event = {"type": type, "sender": SENDER, "room_id": ROOM, "event_id": "$e", "origin_server_ts": 1}
    levels = PowerLevels(get_room_version("12"), powers or {}, frozenset(("@creator:two",)))
    told = {**event, "content": content or {}, **other}
    return EventView(told, member_count=members, levels=levels, subscribers=subscribers)


def text(body: str, **content: Any) -> EventView:
    return view({"msgtype": "m.text", "body": body, **content})


def with_conditions(*conditions: dict[str, Any], kind: str = "override") -> PushRules:
    body = {"actions": ["notify"], "conditions": list(conditions)}
    # Not by put_rule, which refuses what is malformed: what is stored may be older than its checks.
    rule = {"rule_id": "mine", "default": False, "enabled": True, **body}
    return compile_rules(Overlay.from_json({"rules": {kind: [rule]}}))


def matches(event: EventView, *conditions: dict[str, Any], name: str | None = None) -> bool:
    outcome = with_conditions(*conditions).evaluate(event, ALICE, name)
    return outcome is not None and outcome.rule_id == "mine"


def decides(rules: PushRules, event: EventView, user: str = ALICE) -> str | None:
    outcome = rules.evaluate(event, user)
    return None if outcome is None else outcome.rule_id


# --- the default rules, one by one -------------------------------------------------------------------------

MENTION = {"m.mentions": {"user_ids": [ALICE]}}
EDIT = {"m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}}
ROOM_MENTION = {"m.mentions": {"room": True}}
MAY_NOTIFY = {"users": {SENDER: 50}}


@pytest.mark.parametrize(
    ("event", "rule", "notify", "highlight", "sound"),
    [
        (text("hi"), ".m.rule.message", True, False, None),
        (view({"body": "hi"}, members=2), ".m.rule.room_one_to_one", True, False, "default"),
        (view({"msgtype": "m.notice", "body": "hi"}), ".m.rule.suppress_notices", False, False, None),
        (view({"msgtype": "m.notice", **MENTION}), ".m.rule.suppress_notices", False, False, None),
        (text("hi", **MENTION), ".m.rule.is_user_mention", True, True, "default"),
        (text("hi alice @room", **{"m.mentions": {}}), ".m.rule.message", True, False, None),
        (view({"body": "x", **ROOM_MENTION}, powers=MAY_NOTIFY), ".m.rule.is_room_mention", True, True, None),
        (view({"body": "x", **ROOM_MENTION}), ".m.rule.message", True, False, None),
        (
            view({"body": "x", **ROOM_MENTION}, powers={"notifications": {"room": 0}}),
            ".m.rule.is_room_mention",
            True,
            True,
            None,
        ),
        (
            view({"body": "x", "m.mentions": {"room": "true"}}, powers=MAY_NOTIFY),
            ".m.rule.message",
            1,
            0,
            None,
        ),
        (text("hi", **EDIT), ".m.rule.suppress_edits", False, False, None),
        (text("hi", **EDIT, **MENTION), ".m.rule.is_user_mention", True, True, "default"),
        (view({}, "m.room.encrypted"), ".m.rule.encrypted", True, False, None),
        (
            view({}, "m.room.encrypted", members=2),
            ".m.rule.encrypted_room_one_to_one",
            True,
            False,
            "default",
        ),
        (view({}, "m.call.invite"), ".m.rule.call", True, False, "ring"),
        (view({}, "m.reaction"), ".m.rule.reaction", False, False, None),
        (view({}, "m.room.tombstone", state_key=""), ".m.rule.tombstone", True, True, None),
        (view({}, "m.room.server_acl", state_key=""), ".m.rule.room.server_acl", False, False, None),
        (view({"membership": "join"}, "m.room.member", state_key=BOB), ".m.rule.member_event", 0, 0, None),
        (view({"membership": "invite"}, "m.room.member", state_key=BOB), ".m.rule.member_event", 0, 0, None),
        (
            view({"membership": "invite"}, "m.room.member", state_key=ALICE),
            ".m.rule.invite_for_me",
            True,
            False,
            "default",
        ),
    ],
)
def test_the_default_rules(
    event: EventView, rule: str, notify: bool, highlight: bool, sound: str | None
) -> None:
    outcome = DEFAULT_PUSH_RULES.evaluate(event, ALICE)
    assert outcome is not None
    assert outcome.rule_id == rule
    assert (outcome.notify, outcome.highlight, outcome.sound) == (notify, highlight, sound)


def test_what_no_default_rule_knows_notifies_nobody() -> None:
    for event in (
        view({"body": "x"}, "org.example.thing"),
        view({}, "m.room.tombstone"),
        view({}, "m.room.topic", state_key=""),
        view({}, "m.sticker"),
    ):
        assert DEFAULT_PUSH_RULES.evaluate(event, ALICE) is None


def test_an_old_user_id_with_a_star_is_not_everybody() -> None:
    invitation = view({"membership": "invite"}, "m.room.member", state_key=BOB)
    assert decides(DEFAULT_PUSH_RULES, invitation, "@*:one") == ".m.rule.member_event"


def test_nobody_is_notified_of_what_they_sent() -> None:
    loud = compile_rules(EMPTY.put_rule("override", "all", {"actions": ["notify"]}))
    event = text("hi", **{"m.mentions": {"user_ids": [SENDER]}})
    for rules in (DEFAULT_PUSH_RULES, loud):
        assert rules.evaluate(event, SENDER) is None
        assert rules.verdict(event).of(SENDER) is None


# --- conditions --------------------------------------------------------------------------------------------


def event_match(key: str, pattern: str) -> dict[str, Any]:
    return {"kind": "event_match", "key": key, "pattern": pattern}


@pytest.mark.parametrize(
    ("key", "pattern", "expected"),
    [
        ("type", "M.Room.Message", True),
        ("type", "m.room", False),
        ("type", "m.room.*", True),
        ("type", "m?room?message", True),
        ("content.body", "tea", True),
        ("content.body", "te", False),
        ("content.body", "t?a", True),
        ("content.body", "TIME*tea", True),
        ("content.topic", "tea", False),
        ("content.topic", "*tea*", True),
        ("content.nothing", "*", False),
        ("content.number", "5", False),
        ("content.null", "*", False),
        ("content", "*", False),
        (r"content.m\.relates_to.rel_type", "m.thread", True),
        ("content.m.relates_to.rel_type", "m.thread", False),
        (r"content.back\\slash", "yes", True),
        (r"content.back\slash", "yes", True),
        (r"content\.body", "dotted words", True),
        (r"content\.body", "dotted", False),
        ("state_key", "", True),
        ("state_key", "?*", False),
        ("content.body.deeper", "*", False),
        ("content.list.0", "*", False),
        ("", "*", False),
    ],
)
def test_event_match(key: str, pattern: str, expected: bool) -> None:
    content = {
        "body": "It's time for tea",
        "topic": "time for tea!",
        "number": 5,
        "null": None,
        "m.relates_to": {"rel_type": "m.thread"},
        "back\\slash": "yes",
        "list": ["x"],
    }
    other: dict[str, Any] = {"state_key": "", "content.body": "dotted words"}
    event = view(content, **other)
    assert matches(event, event_match(key, pattern)) is expected


VALUES = {"s": "x", "i": 1, "z": 0, "t": True, "f": False, "n": None, "l": ["x"], "o": {}}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("s", "x", True),
        ("s", "X", False),
        ("s", "?", False),
        ("i", 1, True),
        ("i", True, False),
        ("i", "1", False),
        ("t", True, True),
        ("t", 1, False),
        ("t", "true", False),
        ("f", False, True),
        ("z", False, False),
        ("n", None, True),
        ("absent", None, False),
        ("l", "x", False),
        ("o", None, False),
    ],
)
def test_event_property_is(key: str, value: Any, expected: bool) -> None:
    condition = {"kind": "event_property_is", "key": f"content.{key}", "value": value}
    assert matches(view(VALUES), condition) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", True),
        ("X", False),
        (1, True),
        (True, False),
        (0, False),
        (False, True),
        (None, True),
        ("y", False),
    ],
)
def test_event_property_contains(value: Any, expected: bool) -> None:
    content = {"l": ["x", 1, False, None, {"y": 1}, ["y"], 2.5], "s": "x"}
    condition = {"kind": "event_property_contains", "key": "content.l", "value": value}
    assert matches(view(content), condition) is expected
    assert not matches(view(content), {**condition, "key": "content.s"})
    assert not matches(view(content), {**condition, "key": "content.absent"})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("5", True),
        ("==5", True),
        ("4", False),
        ("<5", False),
        ("<6", True),
        (">5", False),
        (">4", True),
        (">=5", True),
        ("<=5", True),
        ("<=4", False),
        ("05", True),
        ("<" + "9" * 5000, True),
        ("!=5", False),
        ("five", False),
        ("5 ", False),
        ("", False),
        ("٥", False),
    ],
)
def test_room_member_count(asked: str, expected: bool) -> None:
    assert matches(view(members=5), {"kind": "room_member_count", "is": asked}) is expected


def test_sender_notification_permission() -> None:
    condition = {"kind": "sender_notification_permission", "key": "room"}
    assert not matches(view(), condition)
    assert matches(view(powers={"users_default": 50}), condition)
    assert matches(view(powers={"users": {SENDER: 60}, "notifications": {"room": 60}}), condition)
    assert not matches(view(powers={"users": {SENDER: 59}, "notifications": {"room": 60}}), condition)
    assert matches(view(sender="@creator:two"), condition), "creators may do anything"
    other = {"kind": "sender_notification_permission", "key": "org.example"}
    assert matches(view(powers={"notifications": {"org.example": 0}}), other)


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("Alice", "hello alice!", True),
        ("Alice", "malice", False),
        ("Al*ce", "Alice", False),
        ("Al*ce", "hi AL*CE", True),
        ("?", "x", False),
        ("Ünal", "so, ünal", True),
        ("", "anything", False),
        (None, "anything", False),
    ],
)
def test_contains_display_name(name: str | None, body: str, expected: bool) -> None:
    assert matches(text(body), {"kind": "contains_display_name"}, name=name) is expected
    assert not matches(view({"body": ["Alice"]}), {"kind": "contains_display_name"}, name=name)


@pytest.mark.parametrize(
    "condition",
    [
        {"kind": "org.example.moon"},
        {"kind": "device", "profile_tag": "x"},
        {},
        {"kind": 5},
        {"kind": "event_match", "key": "type"},
        {"kind": "event_match", "key": 5, "pattern": "*"},
        {"kind": "event_property_is", "key": "content.body"},
        {"kind": "event_property_is", "key": "content.body", "value": {}},
        {"kind": "event_property_is", "key": "content.i", "value": 1.0},
        {"kind": "event_property_is", "key": "content.big", "value": 2**53},
        {"kind": "event_property_contains", "key": "content.l", "value": ["x"]},
        {"kind": "room_member_count"},
        {"kind": "room_member_count", "is": 5},
        {"kind": "sender_notification_permission"},
        {"kind": "event_match", "key": "content.me", "pattern": "\0"},
    ],
)
def test_what_is_unknown_or_malformed_never_matches(condition: dict[str, Any]) -> None:
    event = view({"body": {}, "i": 1, "big": 2**53, "l": [["x"]], "me": ALICE})
    assert not matches(event, condition)
    assert not matches(event, event_match("type", "*"), condition)


def test_all_conditions_must_hold_and_none_always_do() -> None:
    yes, no = event_match("type", "*"), event_match("type", "x")
    assert matches(view(), yes, yes)
    assert not matches(view(), yes, no)
    assert not matches(view(), no, yes)
    assert matches(view())


# --- rules -------------------------------------------------------------------------------------------------


def test_the_order_of_kinds() -> None:
    overlay = EMPTY.put_rule("underride", "u", {"actions": ["notify"]})
    order = [decides(compile_rules(overlay), text("cake"))]
    for kind, rule_id, extra in (
        ("sender", SENDER, {}),
        ("room", ROOM, {}),
        ("content", "c", {"pattern": "cake"}),
        ("override", "o", {}),
    ):
        overlay = overlay.put_rule(kind, rule_id, {"actions": ["notify"], **extra})
        order.append(decides(compile_rules(overlay), text("cake")))
    assert order == ["u", SENDER, ROOM, "c", "o"]
    overlay = overlay.set_enabled("override", ".m.rule.master", True)
    assert decides(compile_rules(overlay), text("cake")) == ".m.rule.master"


def test_default_overrides_go_before_own_content_rules_and_after_own_overrides() -> None:
    overlay = EMPTY.put_rule("content", "c", {"actions": ["notify"], "pattern": "cake"})
    notice = view({"msgtype": "m.notice", "body": "cake"})
    assert decides(compile_rules(overlay), notice) == ".m.rule.suppress_notices"
    overlay = overlay.put_rule("override", "o", {"actions": ["notify"]})
    assert decides(compile_rules(overlay), notice) == "o"


def test_within_a_kind_the_first_decides() -> None:
    overlay = EMPTY.put_rule("content", "time", {"actions": [], "pattern": "time"})
    overlay = overlay.put_rule("content", "tea", {"actions": ["notify"], "pattern": "tea"})
    tea_time = text("It's time for tea")
    assert decides(compile_rules(overlay), tea_time) == "tea"
    overlay = overlay.put_rule("content", "tea", {"actions": ["notify"], "pattern": "tea"}, after="time")
    assert decides(compile_rules(overlay), tea_time) == "time"
    overlay = overlay.set_enabled("content", "time", False)
    assert decides(compile_rules(overlay), tea_time) == "tea"


def test_disabled_rules_never_match() -> None:
    overlay = EMPTY
    for kind, rule_id in (("override", "o"), ("room", ROOM), ("sender", SENDER), ("underride", "u")):
        overlay = overlay.put_rule(kind, rule_id, {"actions": []}).set_enabled(kind, rule_id, False)
    for rule_id in (".m.rule.message", ".m.rule.encrypted"):
        overlay = overlay.set_enabled("underride", rule_id, False)
    assert decides(compile_rules(overlay), text("hi")) is None
    assert decides(compile_rules(overlay), view({}, "m.call.invite")) == ".m.rule.call"


def test_changed_actions_of_a_default_rule() -> None:
    actions = ["notify", {"set_tweak": "sound", "value": "gong"}, {"set_tweak": "highlight", "value": False}]
    rules = compile_rules(EMPTY.set_actions("underride", ".m.rule.message", actions))
    outcome = rules.evaluate(text("hi"), ALICE)
    assert outcome is not None
    assert (outcome.notify, outcome.highlight, outcome.sound) == (True, False, "gong")
    assert outcome.actions == tuple(actions)
    assert outcome.tweaks == {"sound": "gong", "highlight": False}
    default = DEFAULT_PUSH_RULES.evaluate(text("hi"), ALICE)
    assert default is not None and default.sound is None


def test_stored_historical_actions_are_ignored() -> None:
    rule = {"rule_id": ROOM, "default": False, "enabled": True, "actions": ["dont_notify", "coalesce"]}
    outcome = compile_rules(Overlay.from_json({"rules": {"room": [rule]}})).evaluate(text("hi"), ALICE)
    assert outcome is not None
    assert outcome.actions == () and not outcome.notify


def test_a_room_muted_by_an_override_is_muted_alone() -> None:
    overlay = EMPTY.put_rule("override", "last", {"actions": [], "conditions": [event_match("type", "a")]})
    for room in ("!other:one", "!ROOM:ONE", "!third:one"):
        body = {"actions": [], "conditions": [event_match("room_id", room)]}
        overlay = overlay.put_rule("override", f"mute {room}", body)
    overlay = overlay.put_rule("override", "first", {"actions": [], "conditions": [event_match("type", "b")]})
    rules = compile_rules(overlay)
    assert decides(rules, text("hi")) == "mute !ROOM:ONE", "case is ignored"
    assert decides(rules, view({}, "a")) == "mute !ROOM:ONE"
    assert decides(rules, view({}, "b")) == "first"
    assert decides(rules, view({"body": "hi"}, room_id="!else:one")) == ".m.rule.message"
    assert decides(rules, view({}, "a", room_id="!else:one")) == "last"


def test_many_searches_look_at_the_beginning_of_a_long_text_only() -> None:
    def rules(count: int) -> PushRules:
        more = [
            {"rule_id": str(n), "default": False, "enabled": True, "actions": [], "pattern": f"n?{n}"}
            for n in range(count - 1)
        ]
        wanted = {"rule_id": "tea", "default": False, "enabled": True, "actions": [], "pattern": "t?a"}
        return compile_rules(Overlay.from_json({"rules": {"content": [*more, wanted]}}))

    late = text("ta " * 21_000 + "tea")
    assert decides(rules(20), late) == "tea"
    assert decides(rules(1000), late) == ".m.rule.message"
    assert decides(rules(1000), text("ta " * 500 + "tea")) == "tea"
    cut = text("ta " * 666 + "teaspoon")
    assert decides(rules(1000), cut) == ".m.rule.message", "a cut is no end of a word"
    # With a "?" the whole of another property is the question, so a long one is not looked at.
    other = event_match("content.topic", "*t?a")
    crowd = [event_match("type", "m?room.message")] * 49
    topic = view({"topic": "ta " * 21_000 + "tea"})
    assert matches(topic, other)
    assert matches(topic, *crowd[:20], other)
    assert not matches(topic, *crowd, other)


# --- thread subscriptions, MSC4306 -------------------------------------------------------------------------


def thread_subscription(subscribed: Any) -> dict[str, Any]:
    return {"kind": "io.element.msc4306.thread_subscription", "subscribed": subscribed}


@pytest.mark.parametrize(
    ("subscribers", "subscribed", "holds"),
    [
        (frozenset({ALICE}), True, True),
        (frozenset({ALICE}), False, False),
        (frozenset({BOB}), True, False),
        (frozenset({BOB}), False, True),
        (None, True, False),
        (None, False, False),
        (frozenset({ALICE}), None, False),
        (frozenset({ALICE}), 1, False),
    ],
)
def test_the_condition_is_about_events_in_a_thread(
    subscribers: frozenset[str] | None, subscribed: Any, holds: bool
) -> None:
    event = view({"body": "hi"}, subscribers=subscribers)
    assert matches(event, thread_subscription(subscribed)) is holds


def test_threads_notify_whom_they_should() -> None:
    prefix = ".io.element.msc4306.rule"
    reply = view({"body": "hi", **MENTION}, members=2, subscribers=frozenset({BOB}))
    assert decides(THREAD_PUSH_RULES, reply, CAROL) == f"{prefix}.unsubscribed_thread"
    assert decides(THREAD_PUSH_RULES, reply, BOB) == f"{prefix}.subscribed_thread"
    assert decides(THREAD_PUSH_RULES, reply, ALICE) == ".m.rule.is_user_mention"
    assert decides(THREAD_PUSH_RULES, text("hi"), BOB) == ".m.rule.message"
    assert decides(DEFAULT_PUSH_RULES, reply, CAROL) == ".m.rule.room_one_to_one"
    quiet, loud = [THREAD_PUSH_RULES.evaluate(reply, user) for user in (CAROL, BOB)]
    assert quiet is not None and not quiet.notify
    assert loud is not None and loud.actions == ("notify", {"set_tweak": "sound", "value": "default"})


def test_they_come_after_keywords_and_before_rooms() -> None:
    """ "Must come after any keyword mentions" and "before any room settings"; a room may be muted by either
    of two ways, and an override is for all of it.
    """
    event = view({"body": "tea"}, subscribers=frozenset({BOB}))
    keyword = EMPTY.put_rule("content", "tea", {"pattern": "tea", "actions": ["notify"]})
    assert decides(compile_rules(keyword, threads=True), event, CAROL) == "tea"
    for actions in ([], ["notify"]):
        room = compile_rules(EMPTY.put_rule("room", ROOM, {"actions": actions}), threads=True)
        assert decides(room, event, CAROL) == ".io.element.msc4306.rule.unsubscribed_thread"
        assert decides(room, event, BOB) == ".io.element.msc4306.rule.subscribed_thread"
    override = EMPTY.put_rule("override", "mute", {"actions": [], "conditions": []})
    assert decides(compile_rules(override, threads=True), event, BOB) == "mute"
    off = EMPTY.set_enabled("postcontent", ".io.element.msc4306.rule.unsubscribed_thread", False)
    assert decides(compile_rules(off, threads=True), event, CAROL) == ".m.rule.message"


# --- for all members at once -------------------------------------------------------------------------------


def test_the_verdict_names_whom_the_event_names() -> None:
    verdict = DEFAULT_PUSH_RULES.verdict(text("hi", **{"m.mentions": {"user_ids": [ALICE, BOB, 5, {}]}}))
    assert verdict.everybody is not None and verdict.everybody.rule_id == ".m.rule.message"
    assert set(verdict.named) == {ALICE, BOB, SENDER}
    mentioned = verdict.of(BOB)
    assert mentioned is not None and mentioned.highlight
    invitation = view({"membership": "invite"}, "m.room.member", state_key=ALICE)
    assert set(DEFAULT_PUSH_RULES.verdict(invitation).named) == {ALICE, SENDER}
    assert set(DEFAULT_PUSH_RULES.verdict(text("hi")).named) == {SENDER}


def test_personal_rules_have_no_verdict() -> None:
    rules = with_conditions({"kind": "contains_display_name"}, kind="underride")
    assert rules.is_personal
    with pytest.raises(ValueError, match="display name"):
        rules.verdict(text("hi"))


CONDITIONS = st.one_of(
    st.builds(
        event_match, st.sampled_from(["type", "room_id", "sender"]), st.sampled_from(["*", ROOM, SENDER])
    ),
    st.builds(event_match, st.just("content.body"), st.sampled_from(["tea", "t?a", "x*"])),
    st.just({"kind": "event_property_contains", "key": r"content.m\.mentions.user_ids", "value": BOB}),
    st.just({"kind": "room_member_count", "is": "<3"}),
    st.builds(thread_subscription, st.booleans()),
    st.just({"kind": "org.unknown"}),
)
RULES = st.lists(
    st.tuples(
        st.sampled_from(["override", "underride"]),
        st.lists(CONDITIONS, max_size=2),
        st.sampled_from([[], ["notify"]]),
        st.booleans(),
    ),
    max_size=4,
)
EVENTS = st.builds(
    view,
    st.fixed_dictionaries(
        {"body": st.sampled_from(["tea", "it is x", ""])},
        optional={
            "msgtype": st.sampled_from(["m.text", "m.notice"]),
            "m.mentions": st.fixed_dictionaries(
                {},
                optional={"user_ids": st.lists(st.sampled_from([ALICE, BOB, SENDER])), "room": st.booleans()},
            ),
            "membership": st.sampled_from(["invite", "join"]),
        },
    ),
    st.sampled_from(["m.room.message", "m.room.member", "m.room.encrypted", "x"]),
    members=st.sampled_from([2, 9]),
    powers=st.sampled_from([{}, MAY_NOTIFY]),
    subscribers=st.sampled_from([None, frozenset(), frozenset({BOB}), frozenset({ALICE, BOB, SENDER})]),
    state_key=st.sampled_from([ALICE, ""]),
)


@given(RULES, EVENTS, st.booleans())
def test_the_verdict_is_what_each_member_gets(rules: list[Any], event: EventView, threads: bool) -> None:
    overlay = EMPTY
    for n, (kind, conditions, actions, enabled) in enumerate(rules):
        overlay = overlay.put_rule(kind, str(n), {"conditions": conditions, "actions": actions})
        overlay = overlay.set_enabled(kind, str(n), enabled)
    compiled = compile_rules(overlay, threads=threads)
    verdict = compiled.verdict(event)
    for user in (ALICE, BOB, CAROL, SENDER):
        assert verdict.of(user) == compiled.evaluate(event, user) == _slowly(overlay, event, user, threads)


def _slowly(overlay: Overlay, event: EventView, user: str, threads: bool) -> Outcome | None:
    """Each rule alone, in the order of the merged ruleset of this user."""
    if user == event.sender:
        return None
    ruleset = merge(overlay, user, threads=threads)
    for kind in THREAD_KINDS:
        for rule in ruleset.get(kind, ()):
            tests = [compile_condition(condition) for condition in rule["conditions"]]
            if rule["enabled"] and all(each is not None and each.test(event, user, None) for each in tests):
                return _outcome(kind, rule)
    return None


def test_users_with_the_same_changes_to_defaults_are_judged_once() -> None:
    event = text("hi")
    one = compile_rules(
        EMPTY.put_rule("override", "a", {"actions": [], "conditions": [event_match("type", "x")]})
    )
    two = compile_rules(EMPTY.put_rule("room", "!other:one", {"actions": []}))
    assert one.evaluate(event, ALICE) is two.evaluate(event, BOB)

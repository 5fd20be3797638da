"""What the room engine knows of the default push rules: it must not differ from the rules themselves."""

from __future__ import annotations

import pytest
from plexus.protocol.predefined_push_rules import KINDS, default_rules
from plexus.rooms import notifying


def test_each_default_rule_that_may_notify_everybody_has_a_number() -> None:
    loud = {
        rule["rule_id"]
        for kind in KINDS
        for rule in default_rules("@a:b")[kind]
        if "notify" in rule["actions"]
    }
    # These name their user, so whom they notify has a row.
    assert loud - {".m.rule.invite_for_me", ".m.rule.is_user_mention"} == set(notifying.RULE_IDS.values())
    assert notifying.default_actions(4) == ["notify"]


@pytest.mark.parametrize(("number", "of_two"), [(1, False), (2, True), (3, True), (4, False), (5, False)])
def test_rules_for_rooms_of_two(number: int, of_two: bool) -> None:
    assert (number in notifying.ONE_TO_ONE) == of_two
    assert ("one_to_one" in notifying.RULE_IDS[number]) == of_two


def test_plain_messages_look_alike_to_the_default_rules() -> None:
    """What a plain message is told apart by is all that the default rules ask of it."""
    keys = {
        condition.get("key", condition["kind"])
        for kind in KINDS
        for rule in default_rules("@a:b")[kind]
        for condition in rule["conditions"]
    }
    told_apart = {"type", "content.msgtype", "room_member_count"}
    # None of these can hold of one: it is neither invite nor tombstone, and neither mentions nor relates. A
    # server ACL notifies nobody, state or not.
    excluded = {
        "state_key",
        "content.membership",
        r"content.m\.mentions.user_ids",
        r"content.m\.mentions.room",
        "room",  # the power for notifications of the room, asked with a mention only
        r"content.m\.relates_to.rel_type",
    }
    assert keys == told_apart | excluded


def test_the_default_rules_that_look_at_state() -> None:
    """Of these types it matters that they are state, so they are no plain events; or they never notify."""
    looking = {
        rule["rule_id"]
        for kind in KINDS
        for rule in default_rules("@a:b")[kind]
        if any(c.get("key") in ("state_key", "content.membership") for c in rule["conditions"])
    }
    assert looking == {".m.rule.invite_for_me", ".m.rule.tombstone", ".m.rule.room.server_acl"}

"""The server-default push rules, as values.

They are the same for every user but for two places that name the user. They are built anew at each call,
so that a caller may change what it got.

Client-Server API, "Push Notifications", "Predefined Rules".
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

Kind: TypeAlias = Literal["override", "content", "postcontent", "room", "sender", "underride"]

KINDS: Final[tuple[Kind, ...]] = ("override", "content", "room", "sender", "underride")
"""Those of the specification, in the order in which rules are tried."""

POSTCONTENT: Final = "postcontent"
"""The kind of the default rules about threads, tried between ``content`` and ``room``. MSC4306."""

THREAD_KINDS: Final[tuple[Kind, ...]] = ("override", "content", POSTCONTENT, "room", "sender", "underride")
"""All there are where threads are subscribed to."""

MASTER: Final = ".m.rule.master"
"""The one default rule that goes before the user's own rules."""

Rule: TypeAlias = dict[str, Any]
Ruleset: TypeAlias = dict[str, list[Rule]]


def default_rules(user_id: str, *, threads: bool = False) -> Ruleset:
    """The default rules of this user by kind, each kind in order of importance. ``threads``: with those by
    which only threads that the user is subscribed to notify.
    """
    return {
        "override": _override(user_id),
        "content": [],
        **({POSTCONTENT: _postcontent()} if threads else {}),
        "room": [],
        "sender": [],
        "underride": _underride(),
    }


def _override(user_id: str) -> list[Rule]:
    return [
        _rule(MASTER, [], enabled=False),
        _rule(".m.rule.suppress_notices", [_match("content.msgtype", "m.notice")]),
        _rule(
            ".m.rule.invite_for_me",
            [
                _match("type", "m.room.member"),
                _match("content.membership", "invite"),
                _match("state_key", user_id),
            ],
            "notify",
            _sound("default"),
        ),
        _rule(".m.rule.member_event", [_match("type", "m.room.member")]),
        _rule(
            ".m.rule.is_user_mention",
            [
                {
                    "kind": "event_property_contains",
                    "key": r"content.m\.mentions.user_ids",
                    "value": user_id,
                }
            ],
            "notify",
            _sound("default"),
            _highlight(),
        ),
        _rule(
            ".m.rule.is_room_mention",
            [
                {"kind": "event_property_is", "key": r"content.m\.mentions.room", "value": True},
                {"kind": "sender_notification_permission", "key": "room"},
            ],
            "notify",
            _highlight(),
        ),
        _rule(
            ".m.rule.tombstone",
            [_match("type", "m.room.tombstone"), _match("state_key", "")],
            "notify",
            _highlight(),
        ),
        _rule(".m.rule.reaction", [_match("type", "m.reaction")]),
        _rule(
            ".m.rule.room.server_acl",
            [_match("type", "m.room.server_acl"), _match("state_key", "")],
        ),
        _rule(
            ".m.rule.suppress_edits",
            [
                {
                    "kind": "event_property_is",
                    "key": r"content.m\.relates_to.rel_type",
                    "value": "m.replace",
                }
            ],
        ),
    ]


def _postcontent() -> list[Rule]:
    """MSC4306, "New Push Rules"; "Unstable amendments"."""
    prefix, kind = ".io.element.msc4306.rule", "io.element.msc4306.thread_subscription"
    return [
        _rule(f"{prefix}.unsubscribed_thread", [{"kind": kind, "subscribed": False}]),
        _rule(
            f"{prefix}.subscribed_thread",
            [{"kind": kind, "subscribed": True}],
            "notify",
            _sound("default"),
        ),
    ]


def _underride() -> list[Rule]:
    two_members = {"kind": "room_member_count", "is": "2"}
    return [
        _rule(".m.rule.call", [_match("type", "m.call.invite")], "notify", _sound("ring")),
        _rule(
            ".m.rule.encrypted_room_one_to_one",
            [dict(two_members), _match("type", "m.room.encrypted")],
            "notify",
            _sound("default"),
        ),
        _rule(
            ".m.rule.room_one_to_one",
            [dict(two_members), _match("type", "m.room.message")],
            "notify",
            _sound("default"),
        ),
        _rule(".m.rule.message", [_match("type", "m.room.message")], "notify"),
        _rule(".m.rule.encrypted", [_match("type", "m.room.encrypted")], "notify"),
    ]


def _rule(
    rule_id: str,
    conditions: list[dict[str, Any]],
    *actions: str | dict[str, Any],
    enabled: bool = True,
) -> Rule:
    return {
        "rule_id": rule_id,
        "default": True,
        "enabled": enabled,
        "conditions": conditions,
        "actions": list(actions),
    }


def _match(key: str, pattern: str) -> dict[str, Any]:
    return {"kind": "event_match", "key": key, "pattern": pattern}


def _sound(name: str) -> dict[str, Any]:
    return {"set_tweak": "sound", "value": name}


def _highlight() -> dict[str, Any]:
    return {"set_tweak": "highlight"}

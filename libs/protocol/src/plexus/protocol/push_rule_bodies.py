"""Checking the body of a push rule that a client sends.

`MissingParam` for what must be there, `BadJson` for wrong types, `InvalidParam` for wrong values.
Conditions of kinds that we do not know are kept: they match nothing, here or in a client that knows them
no better.

Client-Server API, "Push Rules": "Actions", "Conditions".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plexus.protocol.errors import BadJson, InvalidParam, MissingParam
from plexus.protocol.identifiers import MAX_ID_BYTES
from plexus.protocol.predefined_push_rules import POSTCONTENT, THREAD_KINDS, Kind

MAX_PATTERN_CHARS = 1000
MAX_CONDITIONS = 50
"""In one rule. Ours, like the length of a pattern: rules are kept, and run for every event."""

_HISTORICAL_ACTIONS = frozenset(("dont_notify", "coalesce"))
_MEMBER_COUNT = re.compile(r"(==|<|>|>=|<=)?[0-9]{1,16}")
_WITH_CONDITIONS: frozenset[Kind] = frozenset(("override", "underride"))


def read_kind(kind: str) -> Kind:
    for known in THREAD_KINDS:
        if kind == known:
            return known
    raise InvalidParam(f"{kind!r} is not a kind of push rule")


def read_own_kind(kind: str) -> Kind:
    """The kind of a rule that a user makes. MSC4306: "clients MUST NOT be able to create custom rules" of
    ``postcontent``.
    """
    known = read_kind(kind)
    if known == POSTCONTENT:
        raise InvalidParam(f"Rules of the kind {POSTCONTENT} are the server's")
    return known


def read_rule_id(rule_id: str) -> str:
    """The ID of a rule that a user makes."""
    if rule_id.startswith("."):
        raise InvalidParam("Rule IDs with a leading dot are for the server's default rules")
    if not rule_id or "/" in rule_id or "\\" in rule_id or "\0" in rule_id:
        raise InvalidParam("A rule ID is not empty and has no slashes, backslashes or NUL")
    if len(rule_id.encode("utf-8", "replace")) > MAX_ID_BYTES:
        raise InvalidParam(f"A rule ID has at most {MAX_ID_BYTES} bytes")
    return rule_id


def read_parameters(kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the body says about the rule itself: actions, and conditions or pattern as its kind has them."""
    parameters: dict[str, Any] = {"actions": read_actions(body)}
    if kind in _WITH_CONDITIONS:
        parameters["conditions"] = _read_conditions(body.get("conditions", []))
    elif kind == "content":
        if "pattern" not in body:
            raise MissingParam("A content rule needs a pattern")
        if not isinstance(body["pattern"], str):
            raise BadJson("pattern must be a string")
        _check_length(body["pattern"])
        parameters["pattern"] = body["pattern"]
    return parameters


def read_actions(body: Mapping[str, Any]) -> list[str | dict[str, Any]]:
    """The member ``actions``, without those that must be ignored ("Historical Actions")."""
    if "actions" not in body:
        raise MissingParam("actions is missing")
    actions = body["actions"]
    if not isinstance(actions, list):
        raise BadJson("actions must be a list")
    kept: list[str | dict[str, Any]] = []
    for action in actions:
        if isinstance(action, str):
            if action in _HISTORICAL_ACTIONS:
                continue
            if action != "notify":
                raise InvalidParam(f"{action!r} is not an action")
        elif not isinstance(action, dict) or not isinstance(action.get("set_tweak"), str):
            raise InvalidParam("An action is a string or an object with set_tweak")
        kept.append(action)
    return kept


def read_enabled(body: Mapping[str, Any]) -> bool:
    """The member ``enabled``."""
    if "enabled" not in body:
        raise MissingParam("enabled is missing")
    if not isinstance(body["enabled"], bool):
        raise BadJson("enabled must be true or false")
    return body["enabled"]


def _read_conditions(conditions: object) -> list[dict[str, Any]]:
    if not isinstance(conditions, list):
        raise BadJson("conditions must be a list")
    if len(conditions) > MAX_CONDITIONS:
        raise InvalidParam(f"A rule has at most {MAX_CONDITIONS} conditions")
    for condition in conditions:
        if not isinstance(condition, dict) or not isinstance(condition.get("kind"), str):
            raise BadJson("A condition is an object with a kind")
        for parameter in _TEXT_PARAMETERS.get(condition["kind"], ()):
            if not isinstance(condition.get(parameter), str):
                raise BadJson(f"The condition {condition['kind']} needs a string {parameter}")
            _check_length(condition[parameter])
        if condition["kind"] == "room_member_count" and not _MEMBER_COUNT.fullmatch(condition["is"]):
            raise InvalidParam("room_member_count.is is a number after ==, <, >, >= or <=")
        if condition["kind"] in _WITH_VALUE and not _is_plain_value(condition):
            raise BadJson("value must be a string, an integer, true, false or null")
    return conditions


_TEXT_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "event_match": ("key", "pattern"),
    "event_property_is": ("key",),
    "event_property_contains": ("key",),
    "room_member_count": ("is",),
    "sender_notification_permission": ("key",),
}

_WITH_VALUE = frozenset(("event_property_is", "event_property_contains"))


def _check_length(text: str) -> None:
    if len(text) > MAX_PATTERN_CHARS:
        raise InvalidParam(f"A pattern or key has at most {MAX_PATTERN_CHARS} characters")


def _is_plain_value(condition: Mapping[str, Any]) -> bool:
    return "value" in condition and isinstance(condition["value"], str | bool | int | None)

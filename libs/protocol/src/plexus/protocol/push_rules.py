"""A user's push rules: the server's defaults with the user's changes on top.

Only the changes are stored, as an `Overlay`: the rules that the user made, and for default rules a changed
``enabled`` or ``actions``. So a user who never touched a rule gets each new default as the specification
adds it.

1. `Overlay.from_json` reads what is stored (nothing stored: `EMPTY`).
2. An edit gives a new overlay, or a Matrix error; `Overlay.to_json` is what to store.
3. `merge` gives the ruleset that clients see.

Events are matched in `push_evaluation`, with a compiled form of the same ruleset.

Own rules go before the defaults of their kind, but for ``.m.rule.master``, which goes before everything.

Client-Server API, "Push Rules" and "Push Rules: API".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from plexus.protocol.errors import InvalidParam, MatrixError, NotFound
from plexus.protocol.predefined_push_rules import (
    KINDS,
    MASTER,
    THREAD_KINDS,
    Kind,
    Rule,
    Ruleset,
    default_rules,
)
from plexus.protocol.push_rule_bodies import (
    read_actions,
    read_enabled,
    read_kind,
    read_own_kind,
    read_parameters,
    read_rule_id,
)

__all__ = [
    "EMPTY",
    "KINDS",
    "Kind",
    "Overlay",
    "Rule",
    "Ruleset",
    "default_rules",
    "find_rule",
    "merge",
    "read_actions",
    "read_enabled",
]

MAX_RULES = 2000
"""Rules of one kind that a user may have. Ours: they are kept, and run for every event."""

_DEFAULT_IDS: frozenset[tuple[Kind, str]] = frozenset(
    (kind, rule["rule_id"]) for kind in THREAD_KINDS for rule in default_rules("@_:_", threads=True)[kind]
)


@dataclass(frozen=True, slots=True)
class Overlay:
    """What one user has changed. ``rules`` holds each kind in order of importance."""

    rules: Mapping[Kind, tuple[Rule, ...]] = field(default_factory=dict)
    enabled: Mapping[tuple[Kind, str], bool] = field(default_factory=dict)
    actions: Mapping[tuple[Kind, str], list[Any]] = field(default_factory=dict)

    def put_rule(
        self,
        kind: str,
        rule_id: str,
        body: Mapping[str, Any],
        before: str | None = None,
        after: str | None = None,
    ) -> Overlay:
        """``setPushRule``: make a rule, or change it.

        A new rule is enabled and, without ``before`` and ``after``, the most important of its kind; a
        changed one stays where it is and as it was enabled.
        """
        known = read_own_kind(kind)
        rule_id = read_rule_id(rule_id)
        parameters = read_parameters(known, body)
        own = self.rules.get(known, ())
        old = next((rule for rule in own if rule["rule_id"] == rule_id), None)
        enabled = True if old is None else old["enabled"]
        rule: Rule = {"rule_id": rule_id, "default": False, "enabled": enabled, **parameters}
        if old is not None and before is None and after is None:
            return self._with(known, tuple(rule if each is old else each for each in own))
        others = [each for each in own if each is not old]
        if len(others) >= MAX_RULES:
            raise InvalidParam(f"There are at most {MAX_RULES} push rules of a kind")
        others.insert(_place(others, before, after), rule)
        return self._with(known, tuple(others))

    def delete_rule(self, kind: str, rule_id: str) -> Overlay:
        """``deletePushRule``. `NotFound` if the user has no such rule; default rules can only be disabled."""
        known = read_kind(kind)
        own = self.rules.get(known, ())
        kept = tuple(rule for rule in own if rule["rule_id"] != rule_id)
        if len(kept) == len(own):
            raise NotFound("The push rule was not found")
        return self._with(known, kept)

    def set_enabled(self, kind: str, rule_id: str, enabled: bool) -> Overlay:
        """``setPushRuleEnabled``, for own and default rules."""
        known = read_kind(kind)
        if (known, rule_id) in _DEFAULT_IDS:
            return replace(self, enabled={**self.enabled, (known, rule_id): enabled})
        return self._change(known, rule_id, {"enabled": enabled})

    def set_actions(self, kind: str, rule_id: str, actions: list[Any]) -> Overlay:
        """``setPushRuleActions``, for own and default rules."""
        known = read_kind(kind)
        checked = read_actions({"actions": actions})
        if (known, rule_id) in _DEFAULT_IDS:
            return replace(self, actions={**self.actions, (known, rule_id): checked})
        return self._change(known, rule_id, {"actions": checked})

    def to_json(self) -> dict[str, Any]:
        """The form to store; `from_json` reads it again."""
        return {
            "rules": {kind: list(rules) for kind, rules in self.rules.items() if rules},
            "enabled": {f"{kind}/{rule_id}": value for (kind, rule_id), value in self.enabled.items()},
            "actions": {f"{kind}/{rule_id}": value for (kind, rule_id), value in self.actions.items()},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return cls(
            rules={read_kind(kind): tuple(rules) for kind, rules in stored.get("rules", {}).items()},
            enabled={_key(name): value for name, value in stored.get("enabled", {}).items()},
            actions={_key(name): value for name, value in stored.get("actions", {}).items()},
        )

    def _with(self, kind: Kind, rules: tuple[Rule, ...]) -> Overlay:
        return replace(self, rules={**self.rules, kind: rules})

    def _change(self, kind: Kind, rule_id: str, change: Mapping[str, Any]) -> Overlay:
        own = self.rules.get(kind, ())
        if all(rule["rule_id"] != rule_id for rule in own):
            raise NotFound("The push rule was not found")
        changed = tuple({**rule, **change} if rule["rule_id"] == rule_id else rule for rule in own)
        return self._with(kind, changed)


EMPTY = Overlay()


def merge(overlay: Overlay, user_id: str, *, threads: bool = False) -> Ruleset:
    """The user's whole ruleset, as under ``global`` in ``m.push_rules``. ``threads``: see `default_rules`."""
    ruleset: Ruleset = {}
    for name, defaults in default_rules(user_id, threads=threads).items():
        kind = read_kind(name)
        for rule in defaults:
            key = (kind, rule["rule_id"])
            rule["enabled"] = overlay.enabled.get(key, rule["enabled"])
            rule["actions"] = overlay.actions.get(key, rule["actions"])
        first = [rule for rule in defaults if rule["rule_id"] == MASTER]
        rest = [rule for rule in defaults if rule["rule_id"] != MASTER]
        ruleset[kind] = [*first, *(dict(rule) for rule in overlay.rules.get(kind, ())), *rest]
    return ruleset


def find_rule(overlay: Overlay, user_id: str, kind: str, rule_id: str, *, threads: bool = False) -> Rule:
    """``getPushRule``: one rule of the merged ruleset, or `NotFound`."""
    for rule in merge(overlay, user_id, threads=threads).get(read_kind(kind), ()):
        if rule["rule_id"] == rule_id:
            return rule
    raise NotFound("The push rule was not found")


def _place(rules: list[Rule], before: str | None, after: str | None) -> int:
    """Where to insert: right before ``before``, which wins if both are given, or right after ``after``."""
    ids = [rule["rule_id"] for rule in rules]
    for relative in (before, after):
        if relative is not None and relative not in ids:
            raise MatrixError(400, "M_UNKNOWN", f"before/after rule not found: {relative}")
    if before is not None:
        return ids.index(before)
    return 0 if after is None else ids.index(after) + 1


def _key(name: str) -> tuple[Kind, str]:
    kind, _, rule_id = name.partition("/")
    return read_kind(kind), rule_id

"""Whom an event notifies, and how.

1. `compile_rules` compiles what a user has changed (an `Overlay`) once. The result names no user, so users
   with the same changes can share it, and `DEFAULT_PUSH_RULES` is that of all who changed nothing.
2. For an event an `EventView` is made once.
3. `PushRules.verdict` says what the rules give for any member, and for which users they give something else:
   with the default rules those that are mentioned, invited, or subscribed to the event's thread. So an event
   in a room of 10,000 is judged once for all members without rules of their own.
4. `PushRules.evaluate` judges for one user.

Kinds are tried in the order override, content, room, sender, underride, with postcontent after content where
thread subscriptions decide; within a kind the first rule that matches decides. No rule, or one without the
action ``notify``, means no notification. Nobody is notified of what they sent themselves.

A room where a user has rules costs the look at these rules; rules that are for one other room only cost
nothing, since clients mute a room by such a rule, and people mute hundreds.

Client-Server API, "Push Rules".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson
from plexus.protocol.globs import MOST_CHARACTERS, fold, glob
from plexus.protocol.predefined_push_rules import MASTER
from plexus.protocol.push_conditions import THIS_USER, Test, compile_condition, may_step_through
from plexus.protocol.push_event import BODY, EventView
from plexus.protocol.push_rules import EMPTY, Kind, Overlay, Rule, Ruleset, merge

SEARCH_BUDGET: Final = 2_000_000
"""Characters that the rules of one user may step through for one event: some 0.3 s. Each pattern has an equal
part of it, and looks no further in a longer text. Twenty keywords have enough for any event; two thousand
patterns with wildcards would take ten seconds of a message of 65,536 bytes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The rule that decided, and what it says. ``actions`` are as clients and push gateways see them."""

    kind: Kind
    rule_id: str
    actions: tuple[str | Mapping[str, Any], ...]
    notify: bool
    highlight: bool
    sound: str | None
    tweaks: Mapping[str, Any] = field(hash=False)


class Verdict(NamedTuple):
    """``everybody`` is for each member who is not in ``named``. None: no rule matched."""

    everybody: Outcome | None
    named: Mapping[str, Outcome | None]
    """May hold user IDs that are no members of the room, or no user IDs at all."""

    def of(self, user_id: str) -> Outcome | None:
        return self.named.get(user_id, self.everybody)


class PushRules:
    """The rules of a user, compiled."""

    __slots__ = (
        "_content",
        "_is_off",
        "_most",
        "_override",
        "_postcontent",
        "_rooms",
        "_senders",
        "_underride",
        "is_default",
        "is_personal",
    )

    def __init__(self, overlay: Overlay, *, threads: bool = False) -> None:
        ruleset = merge(overlay, THIS_USER, threads=threads)
        off = [rule for rule in ruleset["override"] if rule["rule_id"] == MASTER and rule["enabled"]]
        self._is_off = _outcome("override", off[0]) if off else None
        self._most = SEARCH_BUDGET // max(1, _searches(ruleset))
        self._override = _Conditional("override", ruleset["override"], self._most)
        self._postcontent = _Conditional("postcontent", ruleset.get("postcontent", ()), self._most)
        self._underride = _Conditional("underride", ruleset["underride"], self._most)
        self._content = tuple(
            (glob(rule["pattern"]), _outcome("content", rule))
            for rule in ruleset["content"]
            if rule["enabled"] and isinstance(rule.get("pattern"), str)
        )
        self._rooms = _by_id("room", ruleset["room"])
        self._senders = _by_id("sender", ruleset["sender"])
        self.is_default = not any(overlay.rules.values())
        """Whether all rules are the server's, if with other actions or disabled."""
        self.is_personal = self._override.is_personal or self._underride.is_personal
        """Whether a rule looks at the display name, so that `verdict` has no answer."""

    def evaluate(self, event: EventView, user_id: str, display_name: str | None = None) -> Outcome | None:
        """The rule that decides for this member; None if none matches or the event is the user's own.

        ``display_name`` is the user's in this room; it is only needed if the rules are personal.
        """
        if user_id == event.sender:
            return None
        if self.is_default:
            return self.verdict(event).of(user_id)
        return self._first(event, user_id, display_name)

    def verdict(self, event: EventView) -> Verdict:
        """What these rules give for any member of the room. `ValueError` if they are personal."""
        kept: Verdict | None = event.kept.get(self)
        if kept is None:
            if self.is_personal:
                raise ValueError("Rules that look at a display name have no answer for everybody")
            found = _for_each_named(event, lambda user_id: self._first(event, user_id, None))
            kept = Verdict(found.everybody, {**found.named, event.sender: None})
            event.kept[self] = kept
        return kept

    def _first(self, event: EventView, user_id: str | None, name: str | None) -> Outcome | None:
        if self._is_off is not None:
            return self._is_off
        found = self._override.first(event, user_id, name)
        if found is not None:
            return found
        if self._content and (body := event.folded(BODY)) is not None:
            for wanted, outcome in self._content:
                if wanted.occurs_in(body, self._most):
                    return outcome
        if event.subscribers is not None:
            found = self._postcontent.first(event, user_id, name)
            if found is not None:
                return found
        found = self._rooms.get(event.room_id) or self._senders.get(event.sender)
        return found or self._underride.first(event, user_id, name)


class _Conditional:
    """The rules of a kind with conditions: the user's own, then the defaults."""

    __slots__ = ("_defaults", "_everywhere", "_in_rooms", "is_personal")

    def __init__(self, kind: Kind, rules: Sequence[Rule], most: int) -> None:
        own = [rule for rule in rules if not rule["default"] and rule["enabled"]]
        compiled = [(*_compile(kind, rule, most), _only_room(rule)) for rule in own]
        possible = [(tests, outcome, room) for tests, _, outcome, room in compiled if tests is not None]
        self.is_personal = any(personal for tests, personal, *_ in compiled if tests is not None)
        self._everywhere = tuple((tests, outcome) for tests, outcome, room in possible if room is None)
        self._in_rooms = {
            wanted: tuple((tests, outcome) for tests, outcome, room in possible if room in (None, wanted))
            for wanted in {room for *_, room in possible if room is not None}
        }
        default = [rule for rule in rules if rule["default"] and rule["rule_id"] != MASTER]
        self._defaults = _default_rules(kind, orjson.dumps(default))

    def first(self, event: EventView, user_id: str | None, name: str | None) -> Outcome | None:
        rules = self._everywhere
        if self._in_rooms:
            rules = self._in_rooms.get(fold(event.room_id), rules)
        found = _first_of(rules, event, user_id, name) if rules else None
        if found is not None:
            return found
        verdict = self._defaults.verdict(event)
        return verdict.everybody if user_id is None else verdict.of(user_id)


_Compiled = tuple[tuple[tuple[Test, ...], Outcome], ...]


class _DefaultRules:
    """Default rules with one setting of enabled and actions; one object for all users that have it so."""

    __slots__ = ("_rules",)

    def __init__(self, rules: _Compiled) -> None:
        self._rules = rules

    def verdict(self, event: EventView) -> Verdict:
        kept: Verdict | None = event.kept.get(self)
        if kept is None:
            kept = _for_each_named(event, lambda user_id: _first_of(self._rules, event, user_id, None))
            event.kept[self] = kept
        return kept


@lru_cache(maxsize=1024)
def _default_rules(kind: Kind, dumped: bytes) -> _DefaultRules:
    rules = [rule for rule in orjson.loads(dumped) if rule["enabled"]]
    compiled = [_compile(kind, rule) for rule in rules]
    return _DefaultRules(tuple((tests, outcome) for tests, _, outcome in compiled if tests is not None))


def _for_each_named(event: EventView, judge: Callable[[str | None], Outcome | None]) -> Verdict:
    """``judge`` for somebody whom the event does not name (None), and for those it names.

    Whom a rule means can only depend on being mentioned, being invited and being subscribed to the thread, so
    of all who are mentioned one needs to be judged, and of all who are subscribed.
    """
    everybody = judge(None)
    named: dict[str, Outcome | None] = {}
    invited = event.invited
    for users in _alike(event):
        for user in users:
            if user != invited:
                outcome = judge(user)
                if outcome is not everybody:
                    named |= dict.fromkeys(users, outcome)
                break
    if invited is not None:
        named[invited] = judge(invited)
    return Verdict(everybody, named)


def _alike(event: EventView) -> Sequence[Collection[str]]:
    """Whom the event mentions and who is subscribed to its thread: those of whom the same holds together."""
    mentioned = [user for user in event.mentioned if isinstance(user, str)] if event.mentioned else []
    subscribers = event.subscribers
    if not subscribers:
        return (mentioned,)
    named = frozenset(mentioned)
    return (named - subscribers, named & subscribers, subscribers - named)


def _first_of(rules: _Compiled, event: EventView, user_id: str | None, name: str | None) -> Outcome | None:
    for tests, outcome in rules:
        for test in tests:
            if not test(event, user_id, name):
                break
        else:
            return outcome
    return None


def _searches(ruleset: Ruleset) -> int:
    conditions = [
        condition
        for kind in ("override", "underride")
        for rule in ruleset[kind]
        for condition in rule.get("conditions", ())
    ]
    return len(ruleset["content"]) + sum(map(may_step_through, conditions))


def _compile(
    kind: Kind, rule: Rule, most: int = MOST_CHARACTERS
) -> tuple[tuple[Test, ...] | None, bool, Outcome]:
    """(its tests, or None if it can never match; whether it is personal; its outcome)"""
    by_server = rule["default"]
    conditions = [
        compile_condition(each, by_server=by_server, most=most) for each in rule.get("conditions", ())
    ]
    known = [condition for condition in conditions if condition is not None]
    tests = tuple(condition.test for condition in known) if len(known) == len(conditions) else None
    return tests, any(condition.personal for condition in known), _outcome(kind, rule)


def _only_room(rule: Rule) -> str | None:
    """The one room, without case, in which the rule can match; None if it names none."""
    for condition in rule.get("conditions", ()):
        pattern = condition.get("pattern")
        if (
            condition.get("kind") == "event_match"
            and condition.get("key") == "room_id"
            and isinstance(pattern, str)
            and glob(pattern).is_literal
        ):
            return fold(pattern)
    return None


def _by_id(kind: Kind, rules: Sequence[Rule]) -> dict[str, Outcome]:
    return {rule["rule_id"]: _outcome(kind, rule) for rule in rules if rule["enabled"]}


def _outcome(kind: Kind, rule: Rule) -> Outcome:
    tweaks: dict[str, Any] = {}
    kept: list[str | Mapping[str, Any]] = []
    for action in rule["actions"]:
        if action == "notify":
            kept.append(action)
        elif isinstance(action, dict) and isinstance(action.get("set_tweak"), str):
            kept.append(action)
            tweak = action["set_tweak"]
            # "If a highlight tweak is given with no value, its value is defined to be true."
            tweaks[tweak] = action.get("value", True if tweak == "highlight" else None)
    sound = tweaks.get("sound")
    return Outcome(
        kind,
        rule["rule_id"],
        tuple(kept),
        notify="notify" in kept,
        highlight=tweaks.get("highlight") is True,
        sound=sound if isinstance(sound, str) else None,
        tweaks=tweaks,
    )


def compile_rules(overlay: Overlay, *, threads: bool = False) -> PushRules:
    """The rules of a user with these changes; ``threads`` as in `default_rules`. Costs some hundred
    microseconds, so keep it.
    """
    return PushRules(overlay, threads=threads)


DEFAULT_PUSH_RULES: Final = compile_rules(EMPTY)
"""The rules of everybody who changed nothing."""

THREAD_PUSH_RULES: Final = compile_rules(EMPTY, threads=True)
"""The same where threads are subscribed to."""

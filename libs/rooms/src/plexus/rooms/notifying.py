"""Whom the events of a write notify: judged by the members' push rules before it is written.

The default rules are asked once for all; so is each set of rules that several members share. What comes of it
are the number of the default rule by which an event notifies, and a `Notice` for whom it is otherwise: who is
mentioned, highlighted, invited or subscribed to its thread, and whose own rules say something else. So a
message in a room of many costs one look at it, and as many rows as there are members for whom it is special.

Judged with what this process knows of the rules: one that has just been changed elsewhere may come too late
for an event of the same moment.

Client-Server API, "Push Notifications", "Receiving notifications".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import orjson
from plexus.protocol.events import Event
from plexus.protocol.format import client_event
from plexus.protocol.identifiers import server_of
from plexus.protocol.power_levels import PowerLevels
from plexus.protocol.predefined_push_rules import KINDS, default_rules
from plexus.protocol.push_evaluation import Outcome, PushRules, Verdict
from plexus.protocol.push_event import EventView
from plexus.protocol.relations import THREAD
from plexus.protocol.room_versions import ROOM_VERSIONS
from plexus.rooms.audience import (
    JOIN,
    Audience,
    after,
    asking_for_names,
    by_rules,
    joins,
    name_in,
    read_audience,
    read_names,
)
from plexus.rooms.ground import Ground
from plexus.rooms.member_rules import MemberRules
from plexus.rooms.snapshots import EMPTY
from plexus.rooms.writes import EventRow, MemberChange, Notice, RoomWrite

_NUMBERS: Final = {
    rule_id: number
    for number, rule_id in enumerate(
        (
            ".m.rule.call",
            ".m.rule.encrypted_room_one_to_one",
            ".m.rule.room_one_to_one",
            ".m.rule.message",
            ".m.rule.encrypted",
            ".m.rule.is_room_mention",
            ".m.rule.tombstone",
        ),
        1,
    )
}
"""The default rules that may notify everybody, as ``rooms.event.notify`` has them. Numbers are stored: a new
rule gets a new one."""

RULE_IDS: Final = {number: rule_id for rule_id, number in _NUMBERS.items()}
ONE_TO_ONE: Final = frozenset({2, 3})
"""Of these, those that are for a room of two."""

MOST_PLAIN = 1_024
_PLAIN: dict[tuple[str, str | None, bool], int] = {}
"""What comes of events that neither mention anybody nor relate to anything: the default rules tell them
apart by type, kind of message and whether the room is one of two. Most events are such."""

_ACTIONS: Final = {rule["rule_id"]: rule["actions"] for kind in KINDS for rule in default_rules("@_:_")[kind]}

_Changed = tuple[MemberChange, str, bool]


def default_actions(number: int) -> list[object]:
    """The actions of the default rule of this number."""
    return list(_ACTIONS[RULE_IDS[number]])


class Notifier:
    def __init__(self, ground: Ground, rules: MemberRules) -> None:
        self._ground = ground
        self._rules = rules

    async def judge(self, write: RoomWrite, audience: Audience | None) -> Audience:
        """Note in ``write`` whom its events notify. ``audience`` is what is known of the room; what it will
        be after the write is returned.
        """
        changed = self._changed(write)
        audience = await self._audience(write, audience, changed)
        subscribers = await self._subscribers(write) if self._rules.threads and write.relations else {}
        own = self._ground.settings.server_name
        judged = _Judging(write, audience, changed, own, self._rules, subscribers)
        for at, row in enumerate(write.events):
            judged.add(at, row)
        write.notify = judged.notify if any(judged.notify) else []
        return after(audience, write, changed)

    async def _subscribers(self, write: RoomWrite) -> dict[int, frozenset[str]]:
        """Who is subscribed to the thread of each event that is in one."""
        roots = {each.at: each.parent for each in write.relations if each.rel_type == THREAD}
        if not roots:
            return {}
        found = await self._rules.subscribers(write.ref.room_id, set(roots.values()))
        return {at: found[root] for at, root in roots.items()}

    def _changed(self, write: RoomWrite) -> list[_Changed]:
        own = self._ground.settings.server_name
        return [
            (change, user_id, server_of(user_id) == own)
            for change in write.members
            if (user_id := change.user_id or write.events[change.at].event.state_key) is not None
        ]

    async def _audience(
        self, write: RoomWrite, audience: Audience | None, changed: Sequence[_Changed]
    ) -> Audience:
        """The audience before the write, with the rules of all who are in it or come with the write."""
        generation = self._ground.log.generation()
        if audience is None or (audience.generation, audience.snapshot) != (
            generation,
            write.before.snapshot,
        ):
            if write.before.snapshot == EMPTY:
                audience = Audience(generation, EMPTY, 0, frozenset())
            else:
                async with self._ground.db.read(primary=True) as session:
                    audience = await read_audience(
                        session, write.ref, generation, self._ground.settings.server_name
                    )
        version = self._rules.version
        new = {user for _, user, is_local in changed if is_local} - audience.members
        if audience.rules_version == version and not new:
            return audience
        groups = by_rules(await self._rules.of(audience.members | new))
        names = audience.names
        if asking := [user for user in asking_for_names(groups) if user not in new]:
            async with self._ground.db.read(primary=True) as session:
                names = await read_names(session, write.ref, asking)
        return replace(audience, groups=groups, rules_version=version, names=names)


class _Judging:
    """The events of one write, in order."""

    def __init__(
        self,
        write: RoomWrite,
        audience: Audience,
        changed: Sequence[_Changed],
        server_name: str,
        rules: MemberRules,
        subscribers: Mapping[int, frozenset[str]],
    ) -> None:
        self.notify: list[int] = []
        self._default = rules.default
        self._subscribers = subscribers
        self._write = write
        self._server_name = server_name
        self._audience = audience
        self._joined = audience.joined
        self._members = set(audience.members) if changed else audience.members
        self._names = dict(audience.names) if changed else audience.names
        self._own_rules = frozenset(user for users in audience.groups.values() for user in users)
        self._changed: dict[int, list[_Changed]] = {}
        for each in changed:
            self._changed.setdefault(each[0].at, []).append(each)
        self._create = write.before.create
        self._levels = write.before.levels
        self._power: PowerLevels | None = None

    def add(self, at: int, row: EventRow) -> None:
        """Judge the event at an index, then let it take force."""
        if row.is_live:
            self.notify.append(self._judge(at, row.event))
            if row.event.state_key == "":
                self._note_state(row.event)
        else:
            self.notify.append(0)
        changed = self._changed.get(at)
        if changed is not None:
            self._note_members(row.event, changed)

    def _note_state(self, event: Event) -> None:
        if event.type == "m.room.create":
            self._create = event
        elif event.type == "m.room.power_levels":
            self._levels = event
            self._power = None

    def _note_members(self, event: Event, changed: Sequence[_Changed]) -> None:
        members, names = set(self._members), dict(self._names)
        for change, user_id, is_local in changed:
            if is_local and change.membership == JOIN:
                members.add(user_id)
            elif is_local:
                members.discard(user_id)
            if change.user_id is None and (name := name_in(event.content)) is not None:
                names[user_id] = name
            else:
                names.pop(user_id, None)
        self._joined += joins(changed)
        self._members, self._names = members, names

    def _judge(self, at: int, event: Event) -> int:
        if self._create is None:
            return 0
        plain = None if self._audience.groups else _plain(event, self._joined)
        if plain is not None and (known := _PLAIN.get(plain)) is not None:
            return known
        if self._power is None:
            content = None if self._levels is None else self._levels.content
            version = ROOM_VERSIONS[self._write.ref.room_version]
            self._power = PowerLevels.of(version, content, self._create)
        view = EventView(
            client_event(event),
            member_count=self._joined,
            levels=self._power,
            subscribers=self._subscribers.get(at),
        )
        verdict = self._default.verdict(view)
        everybody = verdict.everybody
        number = 0 if everybody is None or not everybody.notify else _NUMBERS.get(everybody.rule_id, 0)
        highlight = bool(number) and everybody is not None and everybody.highlight
        if highlight:
            self._note(at, "", 0, 1, everybody)
        if plain is not None and len(_PLAIN) < MOST_PLAIN:
            _PLAIN[plain] = number
        for user_id, outcome in self._exceptions(view, verdict):
            notify = outcome is not None and outcome.notify
            highlights = notify and outcome is not None and outcome.highlight
            if notify != bool(number) or highlights != highlight:
                self._note(at, user_id, notify - bool(number), highlights - highlight, outcome)
        return number

    def _exceptions(self, view: EventView, verdict: Verdict) -> Iterator[tuple[str, Outcome | None]]:
        """The members for whom it may be otherwise than for everybody."""
        for user_id, outcome in verdict.named.items():
            if user_id != view.sender and user_id not in self._own_rules and self._is_here(user_id, view):
                yield user_id, outcome
        for rules, users in self._audience.groups.items():
            for user_id, outcome in self._by_own_rules(view, verdict, rules, users):
                if user_id != view.sender and self._is_here(user_id, view):
                    yield user_id, outcome

    def _by_own_rules(
        self, view: EventView, verdict: Verdict, rules: PushRules, users: Sequence[str]
    ) -> Iterable[tuple[str, Outcome | None]]:
        if rules.is_personal:
            return [(user, rules.evaluate(view, user, self._names.get(user))) for user in users]
        own = rules.verdict(view)
        if _alike(own.everybody, verdict.everybody):
            users = [user for user in users if user in own.named]
        return [(user, own.of(user)) for user in users]

    def _is_here(self, user_id: str, view: EventView) -> bool:
        return user_id in self._members or (
            user_id == view.invited and server_of(user_id) == self._server_name
        )

    def _note(self, at: int, user_id: str, notify: int, highlight: int, outcome: Outcome | None) -> None:
        notified = outcome is not None and outcome.notify
        actions = orjson.dumps(outcome.actions).decode() if notified and outcome is not None else None
        highlighted = notified and outcome is not None and outcome.highlight
        self._write.notices.append((at, Notice(user_id, notify, highlight, highlighted, actions)))


def _plain(event: Event, joined: int) -> tuple[str, str | None, bool] | None:
    """What tells a plain event from others; None for what is none: also an invite and a tombstone, the two of
    which it matters to the default rules that they are state.
    """
    content = event.content
    if event.type == "m.room.tombstone" or content.get("m.mentions") or "m.relates_to" in content:
        return None
    if event.type == "m.room.member" and content.get("membership") == "invite":
        return None
    kind = content.get("msgtype")
    return (event.type, kind, joined == 2) if kind is None or isinstance(kind, str) else None


def _alike(one: Outcome | None, other: Outcome | None) -> bool:
    """Whether two outcomes count the same."""
    return _counts(one) == _counts(other)


def _counts(outcome: Outcome | None) -> tuple[bool, bool]:
    return (False, False) if outcome is None or not outcome.notify else (True, outcome.highlight)

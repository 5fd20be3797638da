"""Push rules compiled and kept, for who asks about many users at each event.

What is kept of a user is dropped by the fact that changes it. Most users have the default rules, and that is
kept too. Users with the same changes share what was compiled for them. Whom somebody ignores belongs to it:
an event of such a sender never notifies. Where the rules speak of thread subscriptions, so do the subscribers
of the threads in which something was said lately.

Client-Server API, "Push Rules"; "Ignoring Users". MSC4306.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson
from plexus.platform.lanes import Fact, UserFact
from plexus.platform.postgres import Database
from plexus.protocol.push_evaluation import (
    DEFAULT_PUSH_RULES,
    THREAD_PUSH_RULES,
    PushRules,
    compile_rules,
)
from plexus.protocol.push_rules import EMPTY, Overlay, Rule

MOST_USERS = 200_000
"""Users whose rules are kept; those asked for longest ago are dropped."""
MOST_COMPILED = 4_096
MOST_THREADS = 10_000
"""Threads whose subscribers are kept."""

IGNORED_USER_LIST = "m.ignored_user_list"

_CHANGING = frozenset({UserFact.PUSH_RULES, UserFact.DEACTIVATED})
_FOLLOWING = frozenset({UserFact.THREAD_SUBSCRIPTION, UserFact.DEACTIVATED})

_RULES = """
SELECT q.user_id, p.rules, d.content
  FROM unnest(%s::smallint[], %s::text[]) AS q (lane, user_id)
  LEFT JOIN users.push_rules p ON p.lane = q.lane AND p.user_id = q.user_id
  LEFT JOIN users.account_data d ON d.lane = q.lane AND d.user_id = q.user_id AND d.room_id = ''
        AND d.type = 'm.ignored_user_list'
 WHERE p.rules IS NOT NULL OR d.content IS NOT NULL
"""


_SUBSCRIBERS = """
SELECT event_id, user_id FROM users.thread_subscription
 WHERE event_id = ANY (%s::text[]) AND room_id = %s AND subscribed
"""


class MemberRules:
    """``version`` counts what was dropped, so that who keeps an answer knows when to ask again. ``default``
    are the rules of who changed nothing.
    """

    def __init__(self, db: Database, lane: Callable[[str], int], *, threads: bool = False) -> None:
        self.version = 0
        self.default = THREAD_PUSH_RULES if threads else DEFAULT_PUSH_RULES
        self.threads = threads
        self._subscribers: OrderedDict[str, tuple[str, frozenset[str]]] = OrderedDict()
        self._ended = 0
        self._db = db
        self._lane = lane
        self._known: OrderedDict[str, PushRules] = OrderedDict()

    async def of(self, user_ids: Collection[str]) -> Mapping[str, PushRules]:
        """The rules of those of these users who have not the default ones."""
        # Taken before the wait: a fact that comes meanwhile must not make these the default ones.
        found = {user_id: self._known.get(user_id) for user_id in user_ids}
        unknown = [user_id for user_id, rules in found.items() if rules is None]
        read = await self._read(unknown) if unknown else {}
        rules_of = {user_id: rules or read.get(user_id, self.default) for user_id, rules in found.items()}
        return {user_id: rules for user_id, rules in rules_of.items() if rules is not self.default}

    async def subscribers(self, room_id: str, roots: Collection[str]) -> Mapping[str, frozenset[str]]:
        """Who is subscribed to each of these threads of a room. One query, unless all of them are known."""
        found = {}
        for root in roots:
            known = self._subscribers.get(root)
            if known is not None and known[0] == room_id:
                found[root] = known[1]
                self._subscribers.move_to_end(root)
        unknown = [root for root in roots if root not in found]
        if unknown:
            found |= await self._read_subscribers(room_id, unknown)
        return found

    def see(self, facts: Iterable[Fact]) -> None:
        """Drop what these facts have changed."""
        for fact in facts:
            if fact.kind in _FOLLOWING:
                self._ended += 1
                if fact.kind == UserFact.THREAD_SUBSCRIPTION:
                    self._subscribers.pop(fact.data.decode(), None)
                    continue
                self._subscribers.clear()
            # Global account data is few and rarely set; the ignored users are among it.
            if fact.kind in _CHANGING or (fact.kind == UserFact.ACCOUNT_DATA and not fact.data):
                self._known.pop(fact.subject, None)
                self.version += 1

    def clear(self) -> None:
        self._subscribers.clear()
        self._ended += 1
        self._known.clear()
        self.version += 1

    async def _read(self, user_ids: list[str]) -> dict[str, PushRules]:
        version = self.version
        async with self._db.read(primary=True) as session:
            rows = await session.fetch(_RULES, ([self._lane(user) for user in user_ids], user_ids))
        read = {
            user: _compiled(_bytes(rules), _bytes(ignored), self.threads) for user, rules, ignored in rows
        }
        if version == self.version:
            # Otherwise one of them may have changed since it was read.
            for user_id in user_ids:
                self._known[user_id] = read.get(user_id, self.default)
            while len(self._known) > MOST_USERS:
                self._known.popitem(last=False)
        return read

    async def _read_subscribers(self, room_id: str, roots: list[str]) -> dict[str, frozenset[str]]:
        ended = self._ended
        async with self._db.read(primary=True) as session:
            rows = await session.fetch(_SUBSCRIBERS, (roots, room_id))
        read = {root: frozenset(user for thread, user in rows if thread == root) for root in roots}
        if ended == self._ended:
            # Otherwise one of them may have changed since it was read.
            self._subscribers |= {root: (room_id, users) for root, users in read.items()}
            while len(self._subscribers) > MOST_THREADS:
                self._subscribers.popitem(last=False)
        return read


def _bytes(stored: Any) -> bytes | None:
    return None if stored is None else bytes(stored)


@lru_cache(maxsize=MOST_COMPILED)
def _compiled(stored: bytes | None, ignored: bytes | None, threads: bool) -> PushRules:
    overlay = EMPTY if stored is None else Overlay.from_json(orjson.loads(stored))
    silent = _silent(ignored_users(ignored))
    if silent:
        rules = {**overlay.rules, "override": (*silent, *overlay.rules.get("override", ()))}
        overlay = replace(overlay, rules=rules)
    if overlay == EMPTY:
        return THREAD_PUSH_RULES if threads else DEFAULT_PUSH_RULES
    return compile_rules(overlay, threads=threads)


def ignored_users(content: bytes | None) -> list[str]:
    """Whom ``m.ignored_user_list`` names; nobody if it is not as it should be."""
    listed = orjson.loads(content).get("ignored_users") if content else None
    return list(listed) if isinstance(listed, dict) else []


def _silent(user_ids: Iterable[str]) -> list[Rule]:
    """Rules by which nothing of these senders notifies."""
    return [
        {
            "rule_id": f"ignored {user_id}",
            "default": False,
            "enabled": True,
            "conditions": [{"kind": "event_property_is", "key": "sender", "value": user_id}],
            "actions": [],
        }
        for user_id in user_ids
    ]

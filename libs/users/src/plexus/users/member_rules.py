"""Push rules compiled and kept, for who asks about many users at each event.

What is kept of a user is dropped by the fact that changes it. Most users have the default rules, and that is
kept too. Users with the same changes share what was compiled for them. Whom somebody ignores belongs to it:
an event of such a sender never notifies.

Client-Server API, "Push Rules"; "Ignoring Users".
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
from plexus.protocol.push_evaluation import DEFAULT_PUSH_RULES, PushRules, compile_rules
from plexus.protocol.push_rules import EMPTY, Overlay, Rule

MOST_USERS = 200_000
"""Users whose rules are kept; those asked for longest ago are dropped."""
MOST_COMPILED = 4_096

IGNORED_USER_LIST = "m.ignored_user_list"

_CHANGING = frozenset({UserFact.PUSH_RULES, UserFact.DEACTIVATED})

_RULES = """
SELECT q.user_id, p.rules, d.content
  FROM unnest(%s::smallint[], %s::text[]) AS q (lane, user_id)
  LEFT JOIN users.push_rules p ON p.lane = q.lane AND p.user_id = q.user_id
  LEFT JOIN users.account_data d ON d.lane = q.lane AND d.user_id = q.user_id AND d.room_id = ''
        AND d.type = 'm.ignored_user_list'
 WHERE p.rules IS NOT NULL OR d.content IS NOT NULL
"""


class MemberRules:
    """``version`` counts what was dropped, so that who keeps an answer knows when to ask again."""

    def __init__(self, db: Database, lane: Callable[[str], int]) -> None:
        self.version = 0
        self._db = db
        self._lane = lane
        self._known: OrderedDict[str, PushRules] = OrderedDict()

    async def of(self, user_ids: Collection[str]) -> Mapping[str, PushRules]:
        """The rules of those of these users who have not the default ones."""
        unknown = [user_id for user_id in user_ids if user_id not in self._known]
        read = await self._read(unknown) if unknown else {}
        found = {}
        for user_id in user_ids:
            rules = self._known.get(user_id) or read.get(user_id, DEFAULT_PUSH_RULES)
            if rules is not DEFAULT_PUSH_RULES:
                found[user_id] = rules
        return found

    def see(self, facts: Iterable[Fact]) -> None:
        """Drop what these facts have changed."""
        for fact in facts:
            # Global account data is few and rarely set; the ignored users are among it.
            if fact.kind in _CHANGING or (fact.kind == UserFact.ACCOUNT_DATA and not fact.data):
                self._known.pop(fact.subject, None)
                self.version += 1

    def clear(self) -> None:
        self._known.clear()
        self.version += 1

    async def _read(self, user_ids: list[str]) -> dict[str, PushRules]:
        version = self.version
        async with self._db.read(primary=True) as session:
            rows = await session.fetch(_RULES, ([self._lane(user) for user in user_ids], user_ids))
        read = {user: _compiled(_bytes(rules), _bytes(ignored)) for user, rules, ignored in rows}
        if version == self.version:
            # Otherwise one of them may have changed since it was read.
            for user_id in user_ids:
                self._known[user_id] = read.get(user_id, DEFAULT_PUSH_RULES)
            while len(self._known) > MOST_USERS:
                self._known.popitem(last=False)
        return read


def _bytes(stored: Any) -> bytes | None:
    return None if stored is None else bytes(stored)


@lru_cache(maxsize=MOST_COMPILED)
def _compiled(stored: bytes | None, ignored: bytes | None) -> PushRules:
    overlay = EMPTY if stored is None else Overlay.from_json(orjson.loads(stored))
    silent = _silent(ignored_users(ignored))
    if silent:
        rules = {**overlay.rules, "override": (*silent, *overlay.rules.get("override", ()))}
        overlay = replace(overlay, rules=rules)
    return DEFAULT_PUSH_RULES if overlay == EMPTY else compile_rules(overlay)


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

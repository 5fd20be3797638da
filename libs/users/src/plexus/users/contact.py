"""Whom a user does not want to hear from: the users they ignore, and whether they take invites.

Both are account data, which clients write as they like: what is not of its form says nothing.

Client-Server API, "Ignoring Users" and "Invite permission".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import orjson
from plexus.users.member_rules import IGNORED_USER_LIST, ignored_users
from plexus.users.store import UserStore

INVITE_PERMISSION: Final = "m.invite_permission_config"


@dataclass(frozen=True, slots=True)
class ContactRules:
    """``ignored`` never holds the user themselves."""

    ignored: frozenset[str] = frozenset()
    blocks_invites: bool = False


NO_RULES: Final = ContactRules()


class ContactStore(UserStore):
    async def contact_rules(self, user_ids: Iterable[str]) -> dict[str, ContactRules]:
        """The rules of those users who have any. One query."""
        wanted = list(dict.fromkeys(user_ids))
        async with self.read() as session:
            rows = await session.fetch(
                "SELECT d.user_id, d.type, d.content"
                " FROM unnest(%s::smallint[], %s::text[]) AS w (lane, user_id)"
                " JOIN users.account_data d ON d.lane = w.lane AND d.user_id = w.user_id"
                " AND d.room_id = '' AND d.type IN (%s, %s)",
                ([self.lane(user_id) for user_id in wanted], wanted, IGNORED_USER_LIST, INVITE_PERMISSION),
            )
        found: dict[str, ContactRules] = {}
        for user_id, type_, stored in rows:
            rules = found.get(user_id, NO_RULES)
            if type_ == IGNORED_USER_LIST:
                rules = replace(rules, ignored=frozenset(ignored_users(stored)) - {user_id})
            else:
                blocks = orjson.loads(stored).get("default_action") == "block"
                rules = replace(rules, blocks_invites=blocks)
            if rules != NO_RULES:
                found[user_id] = rules
        return found

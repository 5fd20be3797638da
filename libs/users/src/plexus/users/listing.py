"""Accounts by the lot, for a directory of them: those that others may know of, neither closed nor locked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import orjson
from plexus.users.models import Profile
from plexus.users.store import UserStore

_LISTED = """
SELECT a.user_id, p.field, p.value
  FROM unnest(%s::smallint[], %s::text[]) AS w (lane, user_id)
  JOIN users.account a
    ON a.lane = w.lane AND a.user_id = w.user_id AND a.deactivated_ts IS NULL AND NOT a.locked
  LEFT JOIN users.profile p ON p.lane = a.lane AND p.user_id = a.user_id
        AND p.field IN ('displayname', 'avatar_url')
"""

_OF_LANE = """
SELECT user_id FROM users.account WHERE lane = %s::smallint AND user_id > %s ORDER BY user_id LIMIT %s
"""

_BEGINNING = """
SELECT user_id FROM users.account
 WHERE starts_with(user_id, %s) AND deactivated_ts IS NULL AND NOT locked AND NOT guest
 ORDER BY user_id LIMIT %s
"""


class ListingStore(UserStore):
    async def listed(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        """Those of these users that are to be known of, with their names and avatars."""
        wanted = list(dict.fromkeys(user_ids))
        if not wanted:
            return {}
        async with self.read() as session:
            rows = await session.fetch(_LISTED, ([self.lane(user_id) for user_id in wanted], wanted))
        found: dict[str, Profile] = defaultdict(dict)
        for user_id, field, value in rows:
            profile = found[user_id]
            if field is not None:
                profile[field] = orjson.loads(value)
        return dict(found)

    async def accounts_of_lane(self, lane: int, after: str, limit: int) -> list[str]:
        """The user IDs of a lane after one, in order, whatever became of their accounts."""
        async with self.read() as session:
            return [row[0] for row in await session.fetch(_OF_LANE, (lane, after, limit))]

    async def listed_beginning(self, start: str, limit: int) -> list[str]:
        """Users to be known of whose ID begins so, no guests. Looks at every account."""
        async with self.read() as session:
            return [row[0] for row in await session.fetch(_BEGINNING, (start, limit))]

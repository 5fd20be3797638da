"""Who has asked for erasure, kept for who shows events to those who came later.

What is kept of a user is dropped by the fact of their deactivation. Users of other servers are never erased
here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable

from plexus.platform.lanes import Fact, UserFact
from plexus.platform.postgres import Database

MOST_USERS = 100_000
"""Those asked for longest ago are dropped."""

_ERASED = """
SELECT a.user_id FROM unnest(%s::smallint[], %s::text[]) AS q (lane, user_id)
  JOIN users.account a ON a.lane = q.lane AND a.user_id = q.user_id
 WHERE a.erased
"""


class ErasedUsers:
    def __init__(self, db: Database, lane: Callable[[str], int], is_local: Callable[[str], bool]) -> None:
        self._db = db
        self._lane = lane
        self._is_local = is_local
        self._known: OrderedDict[str, bool] = OrderedDict()
        self._version = 0
        """Counts what was dropped: what was read before is not kept."""

    async def among(self, user_ids: Collection[str]) -> frozenset[str]:
        """Those of these users whose events are erased."""
        # Taken before the wait: what a fact drops meanwhile is no less true for it.
        known = {user: self._known.get(user) for user in user_ids}
        unknown = [user for user, erased in known.items() if erased is None and self._is_local(user)]
        return frozenset(user for user, erased in known.items() if erased) | await self._read(unknown)

    def see(self, facts: Iterable[Fact]) -> None:
        """Drop what these facts have changed."""
        for fact in facts:
            if fact.kind == UserFact.DEACTIVATED:
                self._known.pop(fact.subject, None)
                self._version += 1

    def clear(self) -> None:
        self._known.clear()
        self._version += 1

    async def _read(self, user_ids: list[str]) -> set[str]:
        if not user_ids:
            return set()
        version = self._version
        async with self._db.read(primary=True) as session:
            rows = await session.fetch(_ERASED, ([self._lane(user) for user in user_ids], user_ids))
        erased = {user for (user,) in rows}
        if version == self._version:
            self._known.update((user, user in erased) for user in user_ids)
            while len(self._known) > MOST_USERS:
                self._known.popitem(last=False)
        return erased

"""Finding documents, the newest first, at a bounded price.

The documents of a room stand in buckets of a thousand. A search takes its rooms' buckets from the newest on,
few at first and then more, and stops as soon as it has enough: a word that is in every message is answered
from the first buckets, and one that is hardly anywhere costs the index little in all of them. What it has
found is final as far as no bucket that was not looked into may hold something newer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plexus.client_api.deps import ClientApi
from plexus.client_api.search import queries
from plexus.client_api.search.queries import Bounds, Key, Match, Pass, Wanted
from plexus.platform.lanes.cursors import PATIENCE
from plexus.rooms import Place, RoomRef, Viewer, Visibility

FIRST_ROUND = 1_000
"""Documents that the first round looks at; each next one at four times as many."""
MOST_BUCKETS = 128
"""Of a round: each is looked for in the index by itself."""
MOST_ROUNDS = 50
"""Of a pass. What is not reached by then is on the next page."""
MOST_PASSES = 4
"""Of a request, where most of what matches is not for this user."""
_LOOK_AGAIN = 0.03


@dataclass(frozen=True, slots=True)
class Found:
    """``hits`` from the newest on. ``reached``: everything from there on is among them; None: everything is.
    ``count`` is what there is in all, estimated from what was looked at unless that was everything.
    """

    hits: list[Match]
    reached: Key | None
    count: int


class Finder:
    """One user's search. ``marks``: what the index must have reached (positions by room lane), unless that
    takes longer than `PATIENCE`.
    """

    def __init__(self, api: ClientApi, user_id: str, wanted: Wanted, marks: Mapping[int, int]) -> None:
        self._api = api
        self._user_id = user_id
        self._wanted = wanted
        self._marks = marks
        self._views: dict[tuple[int, int], tuple[RoomRef, Viewer]] = {}

    def ref_of(self, key: Key) -> RoomRef:
        return self._views[key.lane, key.room][0]

    def viewer_of(self, key: Key) -> Viewer:
        return self._views[key.lane, key.room][1]

    async def newest(self, before: Key, enough: int, most: int) -> Found:
        """The newest hits before a key: ``enough`` if there are so many; ``most`` are read in a pass."""
        found = await self._pass(before, enough, most)
        for _ in range(MOST_PASSES - 1):
            if len(found.hits) >= enough or found.reached is None:
                break
            # Much matched that this user may not see.
            further = await self._pass(found.reached, most, most)
            found = Found(found.hits + further.hits, further.reached, found.count)
        return found

    async def _pass(self, before: Key, enough: int, most: int) -> Found:
        found = await self._find(before, Bounds(enough, most, FIRST_ROUND, MOST_BUCKETS, MOST_ROUNDS))
        self._views |= found.views
        final = None if found.reached is None else Key(found.reached, 0, 0, 0)
        if found.cut:
            # Older ones of the last round were not read.
            last = found.matches[-1].key
            final = last if final is None else max(final, last)
        seen = await self._shown(found.matches)
        hits = [match for match in seen if final is None or match.key >= final]
        hits.sort(key=_by_key, reverse=True)
        return Found(hits, final, len(hits) if final is None else _estimate(found))

    async def _find(self, before: Key, bounds: Bounds) -> Pass:
        until = time.monotonic() + PATIENCE
        while True:
            found = await queries.find(
                self._api.platform.db, self._user_id, self._marks, self._wanted, before, bounds
            )
            if found is not None:
                return found
            if time.monotonic() >= until:
                self._marks = {}
            else:
                await asyncio.sleep(_LOOK_AGAIN)

    async def _shown(self, matches: Sequence[Match]) -> list[Match]:
        """Those that the user may see, without what erased users said before the user came."""
        seen = [match for match in matches if self._sees(match.key)]
        late = {match.sender for match in seen if not self._at(match.key).joined}
        erased = await self._api.users.erased.among(late) if late else frozenset()
        return [match for match in seen if match.sender not in erased or self._at(match.key).joined]

    def _sees(self, key: Key) -> bool:
        viewer = self.viewer_of(key)
        if not viewer.has_joined:
            return False
        left_at = viewer.left_at
        # "it won't include events in rooms that happened after you left", also where anybody may read them.
        return (left_at is None or key.num <= left_at) and self._at(key).visible

    def _at(self, key: Key) -> Visibility:
        return self.viewer_of(key).at(Place(key.num))


def _by_key(hit: Match) -> Key:
    return hit.key


def _estimate(found: Pass) -> int:
    if not found.looked:
        return 0
    return max(found.matched, found.matched * found.documents // found.looked)

"""Finding documents, the newest first, at a bounded price.

The documents of a room stand in buckets of a thousand. A search takes its rooms' buckets from the newest on,
few at first and then more, and stops as soon as it has enough: a word that is in every message is answered
from the first buckets, and one that is hardly anywhere costs the index little in all of them. What it has
found is final as far as no bucket that was not looked into may hold something newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plexus.client_api.deps import ClientApi
from plexus.client_api.search import queries
from plexus.client_api.search.queries import Bucket, Key, Match, Wanted
from plexus.rooms import Place, RoomRef, Viewer

FIRST_ROUND = 4_000
"""Documents that the first round looks at; each next one at four times as many."""
MOST_BUCKETS = 128
"""Of a round: each is looked for in the index by itself."""
MOST_ROUNDS = 50
"""Of a pass. What is not reached by then is on the next page."""
MOST_PASSES = 4
"""Of a request, where most of what matches is not for this user."""


@dataclass(frozen=True, slots=True)
class Found:
    """``hits`` from the newest on. ``reached``: everything from there on is among them; None: everything is.
    ``count`` is what there is in all, estimated from what was looked at unless that was everything.
    """

    hits: list[Match]
    reached: Key | None
    count: int


class Finder:
    """One user's search in some rooms."""

    def __init__(self, api: ClientApi, user_id: str, refs: Sequence[RoomRef], wanted: Wanted) -> None:
        self._api = api
        self._user_id = user_id
        self._refs = {(ref.lane, ref.room): ref for ref in refs}
        self._wanted = wanted
        self._viewers: dict[RoomRef, Viewer] = {}

    def ref_of(self, key: Key) -> RoomRef:
        return self._refs[key.lane, key.room]

    async def newest(self, before: Key, enough: int, most: int) -> Found:
        """The newest hits before a key: ``enough`` if there are so many; ``most`` are read in a round."""
        found = await self._pass(before, enough, most)
        for _ in range(MOST_PASSES - 1):
            if len(found.hits) >= enough or found.reached is None:
                break
            # Much matched that this user may not see.
            further = await self._pass(found.reached, enough - len(found.hits), most)
            found = Found(found.hits + further.hits, further.reached, found.count)
        return found

    async def _pass(self, before: Key, enough: int, most: int) -> Found:
        buckets = await queries.buckets(self._api.platform.db, list(self._refs), before)
        documents = sum(bucket.documents for bucket in buckets)
        looked = matched = taken = 0
        hits: list[Match] = []
        size = FIRST_ROUND
        for _ in range(MOST_ROUNDS):
            batch = _next(buckets, taken, size)
            if not batch:
                break
            taken += len(batch)
            size *= 4
            room = max(most - len(hits), 1)
            rows, total = await self._matches(batch, before, room)
            looked += sum(bucket.documents for bucket in batch)
            matched += total
            hits += await self._visible(rows)
            final = Key(buckets[taken].newest + 1, 0, 0, 0) if taken < len(buckets) else None
            if total > len(rows) and (final is None or rows[-1].key > final):
                # Older ones of this round were not read.
                final = rows[-1].key
                hits = [hit for hit in hits if hit.key >= final]
                return Found(_sorted(hits), final, _estimate(matched, looked, documents))
            ready = [hit for hit in hits if final is None or hit.key >= final]
            if final is None:
                return Found(_sorted(hits), None, len(hits))
            if len(ready) >= enough:
                return Found(_sorted(ready), final, _estimate(matched, looked, documents))
        if taken >= len(buckets):
            return Found(_sorted(hits), None, len(hits))
        final = Key(buckets[taken].newest + 1, 0, 0, 0)
        ready = [hit for hit in hits if hit.key >= final]
        return Found(_sorted(ready), final, _estimate(matched, looked, documents))

    async def _matches(self, batch: Sequence[Bucket], before: Key, most: int) -> tuple[list[Match], int]:
        rooms = list(self._refs)
        lanes = sorted({rooms[bucket.room][0] for bucket in batch})
        ids = [bucket.id for bucket in batch]
        return await queries.matches(self._api.platform.db, self._wanted, lanes, ids, before, most)

    async def _visible(self, rows: Sequence[Match]) -> list[Match]:
        new = {self.ref_of(row.key) for row in rows} - self._viewers.keys()
        if new:
            self._viewers |= await self._api.rooms.viewers(list(new), self._user_id)
        return [row for row in rows if self._sees(row.key)]

    def _sees(self, key: Key) -> bool:
        viewer = self._viewers[self.ref_of(key)]
        if not viewer.has_joined:
            return False
        left_at = viewer.left_at
        # "it won't include events in rooms that happened after you left", also where anybody may read them.
        return (left_at is None or key.num <= left_at) and viewer.at(Place(key.num)).visible


def _next(buckets: Sequence[Bucket], start: int, documents: int) -> list[Bucket]:
    batch: list[Bucket] = []
    for bucket in buckets[start : start + MOST_BUCKETS]:
        if documents <= 0:
            break
        batch.append(bucket)
        documents -= bucket.documents
    return batch


def _sorted(hits: list[Match]) -> list[Match]:
    return sorted(hits, key=lambda hit: hit.key, reverse=True)


def _estimate(matched: int, looked: int, documents: int) -> int:
    return max(matched, matched * documents // looked) if looked else 0

"""The worker "search": it follows the room lanes and makes documents of what can be found.

Events bring documents, a redaction and a purge take them away. A document is made of the event that rides
along with the fact, or as it is when it is read; then one that has been redacted meanwhile brings none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from plexus.client_api.search import queries
from plexus.client_api.search.documents import TYPES, kind_of, text_of
from plexus.client_api.search.queries import Changes, Document
from plexus.client_api.search.words import vector
from plexus.platform.context import Platform
from plexus.platform.lanes import ROOM, Fact, RoomFact
from plexus.platform.lanes.cursors import FactsOfLanes, LaneWorker, Step
from plexus.platform.lanes.order import LaneKey
from plexus.rooms import RoomRef, Rooms, StoredEvent, events_of_facts

WORKER = "search"
CHUNK = 500
EVERY = 0.5
"""Seconds between two looks: what others have said is found so much later. A round with one message costs
what one with twenty does."""


class Indexing:
    """`LaneWork` of the worker."""

    def __init__(self, platform: Platform, rooms: Rooms) -> None:
        self._platform = platform
        self._rooms = rooms

    async def matters(self, facts: FactsOfLanes) -> Collection[LaneKey]:
        # Whoever searches waits for the cursor.
        return facts.keys()

    async def apply(self, steps: Sequence[Step]) -> bool:
        events: list[StoredEvent] = []
        bare: list[Fact] = []
        others: list[Fact] = []
        for step in steps:
            found, without = events_of_facts(
                step.lane, (fact for fact in step.facts if fact.kind == RoomFact.EVENTS), TYPES
            )
            events += found
            bare += without
            others += [fact for fact in step.facts if fact.kind in (RoomFact.REDACTED, RoomFact.PURGE)]
        refs = await self._rooms.refs(fact.subject for fact in (*bare, *others))
        # A room that is not there has been purged since.
        ranges = [(refs[fact.subject], fact.lo, fact.hi) for fact in bare if fact.subject in refs]
        if ranges:
            events += await self._rooms.events_in(_merged(ranges), TYPES)
        changes = Changes()
        for fact in others:
            ref = refs.get(fact.subject)
            if ref is not None and fact.kind == RoomFact.REDACTED:
                changes.gone.append((ref.lane, ref.room, fact.lo))
            elif ref is not None:
                changes.purged.append((ref.lane, ref.room, fact.hi))
        changes.documents = self._documents(event for event in events if not changes.takes_away(event))
        return await queries.index(self._platform.db, steps, changes)

    async def catch_up(self, step: Step) -> bool:
        """Go through all events of the lane, then through all documents."""
        db = self._platform.db
        part = replace(step, end=step.start)
        at = (0, 0)
        while events := await self._rooms.events_of_lane(step.lane, TYPES, after=at, limit=CHUNK):
            if not await queries.index(db, [part], Changes(documents=self._documents(events))):
                return False
            at = (events[-1].ref.room, events[-1].num)
        at = (0, 0)
        while documents := await queries.known(db, step.lane, at, CHUNK):
            there = await self._there(step.lane, at, documents[-1])
            gone = [(step.lane, *document) for document in documents if document not in there]
            if gone and not await queries.index(db, [part], Changes(gone=gone)):
                return False
            at = documents[-1]
        return await queries.index(db, [step], Changes())

    async def _there(self, lane: int, after: tuple[int, int], upto: tuple[int, int]) -> set[tuple[int, int]]:
        """What can be found between two places of a lane."""
        found: set[tuple[int, int]] = set()
        while after < upto:
            events = await self._rooms.events_of_lane(lane, TYPES, after=after, limit=CHUNK)
            if not events:
                break
            found |= {(event.ref.room, event.num) for event in events if text_of(event)}
            after = (events[-1].ref.room, events[-1].num)
        return found

    def _documents(self, events: Iterable[StoredEvent]) -> list[Document]:
        now = self._platform.clock.now_ms()
        made = []
        for event in events:
            if words := vector(text_of(event)):
                # A sender's clock may be anything: nobody's message is newer than now.
                ts = max(0, min(event.origin_server_ts, now))
                has_url = "url" in event.content
                at = (event.ref.lane, event.ref.room, event.num)
                made.append(Document(*at, ts, event.sender, kind_of(event), has_url, words))
        return made


def _merged(ranges: Sequence[tuple[RoomRef, int, int]]) -> list[tuple[RoomRef, int, int]]:
    """Ranges that follow one another in their room as one."""
    last: dict[RoomRef, int] = {}
    merged: list[tuple[RoomRef, int, int]] = []
    for ref, lo, hi in ranges:
        at = last.get(ref)
        if at is not None and merged[at][2] + 1 == lo:
            merged[at] = (ref, merged[at][1], hi)
        else:
            last[ref] = len(merged)
            merged.append((ref, lo, hi))
    return merged


def search_worker(platform: Platform, rooms: Rooms, *, every: float = EVERY) -> LaneWorker:
    return LaneWorker(platform, WORKER, (ROOM,), Indexing(platform, rooms), every=every)

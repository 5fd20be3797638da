"""The worker "push": it follows the room lanes and queues what pushers are to be told.

Facts that were dropped before they were read (no worker ran for days) bring nothing: nobody wants to hear of
them now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import orjson
from plexus.client_api.pushing import queries
from plexus.client_api.pushing.queries import WORKER, Queued
from plexus.platform.context import Platform
from plexus.platform.lanes import ROOM, Fact, RoomFact
from plexus.platform.lanes.cursors import FactsOfLanes, LaneWorker, Step
from plexus.platform.lanes.order import LaneKey
from plexus.rooms import NotifyingEvent, RoomRef, Rooms
from plexus.users import UserPushers, Users

EVERY = 0.25
"""Seconds between two looks: what a push may be late by."""
UNHURRIED = 1.0
"""The same where nobody has a pusher, which each look asks the database."""

_TELLING = (RoomFact.EVENTS, RoomFact.RECEIPT)


class Queueing:
    """`LaneWork` of the worker."""

    def __init__(self, platform: Platform, rooms: Rooms, users: Users, on_queued: Callable[[], None]) -> None:
        self._platform = platform
        self._rooms = rooms
        self._users = users
        self._on_queued = on_queued

    async def matters(self, facts: FactsOfLanes) -> Collection[LaneKey]:
        telling = {key for key, of_lane in facts.items() if any(map(_tells, of_lane))}
        return telling if telling and await self._users.has_pushers() else ()

    async def apply(self, steps: Sequence[Step]) -> bool:
        facts = [fact for step in steps for fact in step.facts if _tells(fact)]
        refs = await self._rooms.refs(fact.subject for fact in facts)
        ranges: list[tuple[RoomRef, int, int]] = [
            (refs[fact.subject], fact.lo, fact.hi)
            for fact in facts
            if fact.kind == RoomFact.EVENTS and fact.subject in refs
        ]
        steps_of = {step.lane: step for step in steps}
        read = {
            ref: steps_of[ref.lane]
            for ref in (refs.get(fact.subject) for fact in facts if fact.kind == RoomFact.RECEIPT)
            if ref is not None
        }
        readers = await self._rooms.readers([(ref, step.start, step.end) for ref, step in read.items()])
        events = await self._rooms.notifying(ranges)
        notified = {user_id for event in events for user_id in event.user_ids}
        pushers = await self._users.pushers_of(notified)
        rows = list(_rows(events, pushers))
        # Who says something has read what was there, as far as counts go.
        readers |= {event.sender for event in events}
        done = await queries.queue(self._platform.db, steps, rows, readers, self._platform.clock.now_ms())
        if rows:
            self._on_queued()
        return done

    async def catch_up(self, step: Step) -> bool:
        return await queries.queue(self._platform.db, [step], (), (), self._platform.clock.now_ms())


def _tells(fact: Fact) -> bool:
    return fact.kind in _TELLING


def _rows(events: Iterable[NotifyingEvent], pushers: dict[str, UserPushers]) -> Iterator[Queued]:
    for event in events:
        for user_id in event.user_ids:
            own = pushers.get(user_id)
            if own is None:
                continue
            actions = event.actions_of(user_id)
            if event.is_by_default(user_id):
                actions = own.actions.get(event.rule_id or "", actions)
            dumped = orjson.dumps(actions).decode()
            for pusher in own.pushers:
                yield Queued(
                    event.lane, event.room, event.num, user_id, pusher.app_id, pusher.pushkey, dumped
                )


def push_worker(
    platform: Platform,
    rooms: Rooms,
    users: Users,
    *,
    on_queued: Callable[[], None] = lambda: None,
    every: float = EVERY,
) -> LaneWorker:
    """``on_queued`` is called when there is something to deliver."""
    work = Queueing(platform, rooms, users, on_queued)
    return LaneWorker(platform, WORKER, (ROOM,), work, every=every, unhurried=max(every, UNHURRIED))

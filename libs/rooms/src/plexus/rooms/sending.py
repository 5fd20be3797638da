"""Who writes: the actors of the active rooms and the writers of the lanes, made when they are needed.

An actor that has nothing to do is kept for its cached head; beyond `MOST_ACTORS` the longest idle is
forgotten.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import psycopg
from plexus.platform.postgres import StoreUnavailable
from plexus.platform.telemetry import traced_request
from plexus.protocol.errors import AuthRejected, NotFound, RoomInUse, Unavailable
from plexus.protocol.events import Event
from plexus.protocol.identifiers import is_room_id
from plexus.rooms import replacements
from plexus.rooms.actor import RoomActor
from plexus.rooms.creation import Events, build_room
from plexus.rooms.directory import claim_alias, release_alias
from plexus.rooms.errors import ReplacementClaimed
from plexus.rooms.ground import Ground
from plexus.rooms.lane_writer import LaneWriter
from plexus.rooms.notifying import Notifier
from plexus.rooms.refs import Refs
from plexus.rooms.replacements import Replaces
from plexus.rooms.restricted import JoinAuthoriser, is_in_need, without_authoriser
from plexus.rooms.stretches import Stretches
from plexus.rooms.values import NewEvent, Received, Txn, Written
from plexus.rooms.wishes import Wish
from plexus.rooms.writes import Outcome, Result, RoomWrite

MOST_ACTORS = 5_000
MOST_ANSWERS = 20_000
"""Answers kept by transaction id, so that a retry to the same process is not even built."""

_ATTEMPTS = 20


class Sending:
    def __init__(
        self,
        ground: Ground,
        refs: Refs,
        authoriser: JoinAuthoriser,
        notifier: Notifier,
        stretches: Stretches,
    ) -> None:
        self._ground = ground
        self._stretches = stretches
        self._notifier = notifier
        self._refs = refs
        self._authoriser = authoriser
        self._actors: OrderedDict[str, RoomActor] = OrderedDict()
        self._writers: dict[int, LaneWriter] = {}
        self._answers: OrderedDict[tuple[str, Txn], Written] = OrderedDict()
        self._generation: int | None = None
        self._stopped = False

    async def stop(self) -> None:
        """Take no more, and finish what was taken."""
        self._stopped = True
        await asyncio.gather(*(actor.wait() for actor in self._actors.values()))
        await asyncio.gather(*(writer.wait() for writer in self._writers.values()))

    async def send(self, room_id: str, sender: str, event: NewEvent, txn: Txn | None) -> Written:
        event = without_authoriser(event)
        try:
            return await self._send(room_id, sender, event, txn)
        except AuthRejected as refusal:
            if not is_in_need(refusal):
                raise
        event = await self._authoriser.authorise(room_id, sender, event)
        return await self._send(room_id, sender, event, txn)

    async def _send(self, room_id: str, sender: str, event: NewEvent, txn: Txn | None) -> Written:
        if self._stopped:
            raise Unavailable("The server is stopping")
        wish = Wish(sender, event, txn, self._ground.clock.now_ms(), traced_request())
        if txn is None:
            return await self._actor(room_id).send(wish)
        key = (room_id, txn)
        generation = self._check_generation()
        known = self._answers.get(key)
        if known is not None:
            return known
        written = await self._actor(room_id).send(wish)
        if generation == self._check_generation():
            self._answers[key] = Written(
                room_id, written.event_id, written.position, written.lane, replayed=True
            )
            if len(self._answers) > MOST_ANSWERS:
                self._answers.popitem(last=False)
        return written

    def _check_generation(self) -> int:
        generation = self._ground.log.generation()
        if generation != self._generation:
            # What was answered may be lost.
            self._answers.clear()
            self._generation = generation
        return generation

    async def receive(self, event: Event) -> Received:
        if self._stopped:
            raise Unavailable("The server is stopping")
        return await self._actor(event.room_id).receive(event)

    async def create(
        self,
        creator: str,
        room_version: str,
        events: Events,
        *,
        published: bool,
        alias: str | None,
        replaces: Replaces | None,
    ) -> Written:
        if self._stopped:
            raise Unavailable("The server is stopping")
        ts = self._ground.clock.now_ms()
        for attempt in range(_ATTEMPTS):
            write, head = build_room(
                self._ground, creator, room_version, events, ts + attempt, published=published
            )
            room_id = write.ref.room_id
            audience = await self._notifier.judge(write, None)
            if alias is not None and not await claim_alias(self._ground, alias, room_id, creator):
                raise RoomInUse()
            if replaces is not None and not await replacements.claim(
                self._ground, replaces, room_id, creator
            ):
                await self._release(alias, room_id)
                raise ReplacementClaimed()
            try:
                outcome = await self._write_new(write)
            except (psycopg.Error, StoreUnavailable) as error:
                # With a code PostgreSQL has rolled back. After anything else (a lost answer, a cancellation)
                # the room may yet come to be, and its alias must lead to it; if it does not, `claim_alias`
                # gives the alias away in time.
                if error.sqlstate is not None:
                    await self._release(alias, room_id, replaces)
                raise
            if outcome.result is Result.WRITTEN:
                actor = self._actor(room_id)
                ref = write.ref._replace(room=outcome.room)
                actor.audience = audience
                actor.head = head.made(ref, outcome.position).trimmed()
                self._refs.learn(ref)
                event_id = write.events[-1].event.event_id
                return Written(room_id, event_id, outcome.position, ref.lane, replayed=False)
            await self._release(alias, room_id, replaces)
        raise Unavailable("The room could not be made, try again")

    async def _write_new(self, write: RoomWrite) -> Outcome:
        request = traced_request()
        if request is not None:
            write.traced = (request,)
        return await self._writer(write.ref.lane).write(write)

    async def _release(self, alias: str | None, room_id: str, replaces: Replaces | None = None) -> None:
        if alias is not None:
            await release_alias(self._ground, alias, room_id)
        if replaces is not None:
            await replacements.release(self._ground, replaces.old_room_id, room_id)

    def _actor(self, room_id: str) -> RoomActor:
        actor = self._actors.get(room_id)
        if actor is None:
            if not is_room_id(room_id):
                raise NotFound("There is no such room")
            lane = self._ground.lanes.room(room_id)
            actor = RoomActor(self._ground, self._writer(lane), self._notifier, lane, room_id)
            self._actors[room_id] = actor
            if len(self._actors) > MOST_ACTORS:
                self._forget_one()
        else:
            self._actors.move_to_end(room_id)
        return actor

    def _forget_one(self) -> None:
        for room_id, actor in self._actors.items():
            if actor.is_idle:
                del self._actors[room_id]
                return

    def _writer(self, lane: int) -> LaneWriter:
        writer = self._writers.get(lane)
        if writer is None:
            writer = self._writers[lane] = LaneWriter(self._ground, lane, self._stretches)
        return writer

"""One request of sliding sync, from body to answer.

As in `plexus.sync.service`: wait for the user's own writes, take a cut, tell what there is between the token
and the cut, hold the request while that is nothing. Between two answers no room is forgotten: one with news
that is in no list and no subscription is noted with how far it was told, before the cut moves on.

MSC4186.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import orjson
from plexus.platform.http import Requester
from plexus.platform.lanes import decode_pos, encode_pos
from plexus.protocol.errors import InvalidParam, UnknownPos
from plexus.rooms import Rooms
from plexus.sync.admission import Place
from plexus.sync.fragments.timeline import Timelines
from plexus.sync.models import STATE_AFTER
from plexus.sync.replica import Cut, UserView
from plexus.sync.replica.polls import Poll
from plexus.sync.service import SyncService
from plexus.sync.sliding.codecs import Codec
from plexus.sync.sliding.connections import (
    LIVE,
    Connection,
    ConnectionKey,
    Connections,
    SentRoom,
)
from plexus.sync.sliding.extensions import NO_EVENTS, ExtensionStreams, Extra
from plexus.sync.sliding.lists import Picked, Picker
from plexus.sync.sliding.models import SlidingRequest
from plexus.sync.sliding.rooms import Asked, RoomResults, Told
from plexus.sync.sliding.table import Table, Tables
from plexus.sync.streams.context import Answer
from plexus.sync.streams.invited import InvitedStream
from plexus.users import NO_RULES, Users

Authenticate = Callable[[], Awaitable[Requester]]
SendBody = Callable[[bytes], Awaitable[None]]


class SlidingService:
    def __init__(
        self, sync: SyncService, rooms: Rooms, users: Users, connections: Connections, most_bytes: int
    ) -> None:
        self._sync = sync
        self.turns = sync.turns
        self._users = users
        self._connections = connections
        self._direct_of: WeakKeyDictionary[UserView, tuple[int, frozenset[str]]] = WeakKeyDictionary()
        replica = sync.replica
        self._tables = Tables(replica, rooms)
        self._picker = Picker(rooms, users)
        timelines = Timelines(rooms, replica.bodies)
        self._results = RoomResults(replica, rooms, timelines, InvitedStream(rooms), most_bytes)
        self._extensions = ExtensionStreams(replica, rooms, users, sync.room_stream, sync.receipts)

    async def answer(
        self, authenticate: Authenticate, request: SlidingRequest, codec: Codec, send: SendBody
    ) -> None:
        """``send`` is given the response, JSON. `UnknownPos` for a connection that is not known."""
        began_ms = self._sync.now_ms()
        requester = await authenticate()
        self._sync.note_presence(requester, request.set_presence, request.timeout)
        await self._sync.reach_writes(requester.user_id)
        key = ConnectionKey(requester.lane, requester.user_id, requester.device_id or "", request.conn_id)
        if request.pos is None:
            admission = self._sync.admission.place(
                requester.user_id, requester.device_id, f"sliding {request.conn_id}"
            )
            async with admission as place:
                begins = Connection(key, began_ms=began_ms)
                request = self._with_inbox(request, requester.lane)
                await send(await self._run(authenticate, requester, request, codec, begins, None, place))
                return
        connection, since = await self._resume(key, request.pos)
        request = self._with_inbox(request, requester.lane)
        await send(await self._run(authenticate, requester, request, codec, connection, since, None))

    async def _resume(self, key: ConnectionKey, pos: str) -> tuple[Connection, Cut]:
        try:
            state, token = decode_pos(pos)
            since = await self._sync.since(token)
        except InvalidParam:
            raise UnknownPos from None
        async with self.turns:
            connection = await self._connections.get(key, state)
        if since.cut is None:
            raise UnknownPos
        return connection, since.cut

    def _with_inbox(self, request: SlidingRequest, lane: int) -> SlidingRequest:
        """The request with its place in the inbox in terms of this replica; mostly it is so already."""
        to_device = request.extensions.to_device
        if to_device is None:
            return request
        since = self._sync.inbox(to_device.since, lane)
        if since is to_device.since:
            return request
        extensions = replace(request.extensions, to_device=replace(to_device, since=since))
        return replace(request, extensions=extensions)

    async def _run(
        self,
        authenticate: Authenticate,
        requester: Requester,
        request: SlidingRequest,
        codec: Codec,
        connection: Connection,
        since: Cut | None,
        place: Place | None,
    ) -> bytes:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.timeout
        arrival, kind = self._sync.arrive(), ("sliding", request.conn_id)
        members = self._connections.members(connection.key)
        members.begin(request.pos)
        sent, held = dict(connection.rooms), connection.held
        poll: Poll | None = None
        if since is None:
            self._sync.metrics.initial.add()
        while True:
            async with self.turns if poll is None else nullcontext():
                view = await self._sync.view(requester.user_id, requester.lane)
                table = await self._tables.of(view, anew=since is None)
                cut = table.cut
                if since is not None and since.generation != cut.generation:
                    since = (await self._sync.since(since.token(0))).cut
                    if since is None:
                        raise UnknownPos
                    continue
                if since is not None and not cut.same_place(since):
                    self._sync.count_answer(since, cut)
                direct = await self._direct(view)
                answer = self._answer(requester, request, view, since, cut)
                unread = await self._unread(answer) if request.by_unread else frozenset()
                picked = await self._picker.pick(
                    request, table, sent, direct, unread, requester.user_id, answer.rules
                )
                told = Told()
                asked = Asked(
                    user_id=requester.user_id,
                    device_id=requester.device_id,
                    since=since,
                    cut=cut,
                    now_ms=self._sync.now_ms(),
                    ignored=answer.rules.ignored,
                    direct=direct,
                    members=members,
                    codec=codec,
                )
                matches = [(match, sent.get(room_id)) for room_id, match in picked.matches.items()]
                for room_id in await self._results.add(asked, told, matches):
                    del picked.matches[room_id]
                _add_direct(told, picked, sent, direct ^ connection.direct, asked)
                read = () if codec.is_stable else await self._read_since(answer)
                if not codec.is_stable:
                    _add_read(told, picked, sent, read)
                extra = await self._extensions.add(
                    request.extensions,
                    answer,
                    picked,
                    request.subscriptions.keys(),
                    told.initial,
                    sent.keys() | told.sent.keys(),
                    held,
                )
                held = extra.held
                await authenticate()
            if since is not None:
                sent = _held_back(sent, picked, table, since, read)
            tells = bool(told.rooms or extra.tells)
            if tells or since is None or loop.time() >= deadline or self._sync.draining:
                if poll is not None and tells:
                    self._sync.delivered(poll)
                break
            since = cut
            if self._sync.replica.is_abreast(cut, view):
                poll = Poll(requester.device_id, loop.create_future(), kind, arrival)
                await self._sync.hold(view, poll, deadline)
                if poll.superseded and request.pos is not None:
                    # Nothing is told and nothing changes: who reads it is where they were.
                    return _json(request.pos, picked, told, extra)
        if place is not None:
            # Of a newer request that begins this connection the client may have the answer already.
            place.check()
        if not codec.is_stable:
            await self._add_counts(answer, told)
        connection = await self._connections.save(
            connection, _now_sent(sent, told), _now_direct(connection.direct, told), held
        )
        self._sync.know(cut)
        pos = encode_pos(connection.number, cut.token(0, answer.shows))
        members.answered(pos, told.members)
        return _json(pos, picked, told, extra)

    def _answer(
        self, requester: Requester, request: SlidingRequest, view: UserView, since: Cut | None, cut: Cut
    ) -> Answer:
        to_device = request.extensions.to_device
        # A generation that has begun since the request came has given the sequence to another message.
        counts = to_device is not None and to_device.since.generation == cut.generation
        return Answer(
            view=view,
            device_id=requester.device_id,
            since=since,
            cut=cut,
            filter=NO_EVENTS,
            state_keys=STATE_AFTER,
            now_ms=self._sync.now_ms(),
            to_device=to_device.since.sequence if to_device is not None and counts else 0,
            rules=view.rules or NO_RULES,
            shows=self._extensions.shows(view),
        )

    async def _add_counts(self, answer: Answer, told: Told) -> None:
        """The counts of what is unread, which the accepted form has no more."""
        counts = await self._sync.unread_stream.counts(answer, told.rooms)
        for room_id, unread in counts.items():
            told.rooms[room_id]["notification_count"] = max(0, unread.total.notifications)
            told.rooms[room_id]["highlight_count"] = max(0, unread.total.highlights)

    async def _read_since(self, answer: Answer) -> Collection[str]:
        """The rooms in which the user has moved a receipt since their token."""
        since = answer.since
        if since is None or answer.cut.same_place(since):
            return ()
        return await self._sync.unread_stream.read_since(answer, since)

    async def _unread(self, answer: Answer) -> frozenset[str]:
        """The rooms in which the user has something to read."""
        counts = await self._sync.unread_stream.counts(answer, answer.view.joined)
        return frozenset(room_id for room_id, unread in counts.items() if unread.total.notifications > 0)

    async def _direct(self, view: UserView) -> frozenset[str]:
        """The rooms that are direct chats to the user; read anew when their account data have changed."""
        changes = view.rules_changes
        known = self._direct_of.get(view)
        if known is not None and known[0] == changes:
            return known[1]
        stored = await self._users.account_data(view.user_id, "m.direct")
        content = {} if stored is None else orjson.loads(stored)
        found = frozenset(
            room_id
            for rooms in (content.values() if isinstance(content, dict) else ())
            if isinstance(rooms, list)
            for room_id in rooms
            if isinstance(room_id, str)
        )
        self._direct_of[view] = (changes, found)
        return found


def _add_direct(
    told: Told, picked: Picked, sent: Mapping[str, SentRoom], changed: Collection[str], asked: Asked
) -> None:
    """Say of rooms that have become direct chats, or are none any more, just that. In the accepted form it is
    said of rooms only that the user is or was in.
    """
    for room_id in changed:
        match = picked.matches.get(room_id)
        if match is None or room_id not in sent or "initial" in told.rooms.get(room_id, ()):
            continue
        membership = match.entry.membership.membership
        if not asked.codec.is_stable or membership == "join" or match.entry.left_at is not None:
            told.rooms.setdefault(room_id, {})["is_dm"] = room_id in asked.direct


def _now_direct(before: frozenset[str], told: Told) -> frozenset[str]:
    """The rooms that the client takes for direct chats after this answer."""
    said = {room_id for room_id, room in told.rooms.items() if "initial" in room or "is_dm" in room}
    direct = {room_id for room_id in said if told.rooms[room_id].get("is_dm")}
    return (before - said) | direct if said else before


def _add_read(told: Told, picked: Picked, sent: Mapping[str, SentRoom], read: Collection[str]) -> None:
    """Let rooms without news be told for their counts: the user has read there, or may have while the room
    was held back.
    """
    for room_id, match in picked.matches.items():
        room = sent.get(room_id)
        if room is None or room_id in told.rooms or match.entry.membership.membership != "join":
            continue
        if room.told != LIVE or room_id in read:
            told.rooms[room_id] = {}
            told.sent.setdefault(room_id, room.config)


def _held_back(
    sent: Mapping[str, SentRoom], picked: Picked, table: Table, since: Cut, read: Collection[str]
) -> dict[str, SentRoom]:
    """Note of each room that has news which are not told, up to where it was. What the user has read is news
    of its counts.
    """
    found = {}
    for room_id, room in sent.items():
        if room.told == LIVE and room_id not in picked.matches:
            entry = table.entries.get(room_id)
            if entry is not None:
                told = since.rooms[entry.membership.ref.lane]
                if room_id in read or max(entry.card.position, entry.membership.position) > told:
                    found[room_id] = SentRoom(told, room.config)
                    continue
        found[room_id] = room
    return found


def _now_sent(sent: Mapping[str, SentRoom], told: Told) -> dict[str, SentRoom]:
    return {**sent, **{room_id: SentRoom(LIVE, config) for room_id, config in told.sent.items()}}


def _json(pos: str, picked: Picked, told: Told, extra: Extra) -> bytes:
    body: dict[str, Any] = {
        "pos": pos,
        "lists": {name: {"count": count} for name, count in picked.counts.items()},
        "rooms": told.rooms,
        "extensions": extra.sections,
    }
    return orjson.dumps(body)

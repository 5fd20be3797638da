"""``/initialSync`` and that of one room: state, newest messages, account data.

A room is told as of the cut to who is in it or may look into it, and as of their leaving to who has left. The
tokens at the end of the messages are those of the cut: they lead on by ``/events``, and back by
``/messages``.

Client-Server API, ``GET /initialSync``, ``GET /rooms/{roomId}/initialSync``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import orjson
from plexus.platform.http import Requester
from plexus.protocol.errors import Forbidden
from plexus.protocol.identifiers import check_room_id
from plexus.rooms import (
    EVERYTHING,
    Place,
    RoomRef,
    Rooms,
    StoredEvent,
    TimelineToken,
    View,
    Wanted,
    embeds,
    is_last_word,
)
from plexus.sync.answer import Outlet, Pieces
from plexus.sync.event_stream.models import DEFAULT_LIMIT, InitialRequest
from plexus.sync.replica import Cut, UserView
from plexus.sync.replica.views import Membership, holds_at
from plexus.sync.service import Authenticate, SyncService
from plexus.users import AccountData, Users

BATCH = 20
"""Rooms of which the state is in memory at a time."""


@dataclass(frozen=True, slots=True)
class _Told:
    """A room, and up to where and with which state it is told."""

    ref: RoomRef
    membership: str | None
    upto: Place
    snapshot: int


class InitialSync:
    def __init__(self, sync: SyncService, rooms: Rooms, users: Users) -> None:
        self._sync = sync
        self._rooms = rooms
        self._users = users

    async def room(self, authenticate: Authenticate, room_id: str, outlet: Outlet) -> None:
        """One room. `Forbidden` if the user may see nothing of it. It takes its turn among the initial syncs:
        its state may be as large as they are.
        """
        async with self._sync.turns:
            requester = await authenticate()
        check_room_id(room_id)
        await self._sync.reach_writes(requester.user_id)
        kind = ("roomInitialSync", room_id)
        async with self._sync.admission.place(requester.user_id, requester.device_id, kind) as place:
            await authenticate()
            info = await self._room(requester, room_id)
            await authenticate()
            place.check()
            pieces = Pieces()
            pieces.add(info)
            await outlet.finish(pieces)

    async def _room(self, requester: Requester, room_id: str) -> bytes:
        cut = self._sync.replica.cut()
        view = await self._rooms.view(room_id, requester.user_id)
        told = _Told(view.ref, view.viewer.membership, view.place, view.snapshot)
        if view.is_current:
            heads = await self._rooms.heads([view.ref], cut.rooms)
            if view.ref not in heads:
                raise Forbidden("You are not in this room")
            head = heads[view.ref]
            told = _Told(view.ref, view.viewer.membership, Place(head.ordinal), head.snapshot)
        data = await self._account_data(requester.user_id)
        [info] = await self._infos(requester, [told], DEFAULT_LIMIT, cut, data)
        return info

    async def everything(self, authenticate: Authenticate, request: InitialRequest, outlet: Outlet) -> None:
        """All rooms of the user. It takes its turn among the initial syncs, and is sent while it is made."""
        async with self._sync.turns:
            requester = await authenticate()
        await self._sync.reach_writes(requester.user_id)
        kind = ("initialSync", request)
        async with self._sync.admission.place(requester.user_id, requester.device_id, kind) as place:
            await authenticate()
            view = await self._sync.view(requester.user_id, requester.lane)
            cut = self._sync.replica.cut()
            joined = [m for m in view.joined.values() if holds_at(cut, m)]
            others = [m for m in view.others.values() if holds_at(cut, m)]
            data = await self._account_data(requester.user_id)
            pieces = Pieces()
            own = b",".join(map(_account_data_json, data.get("", ())))
            present = b",".join(await self._sync.presence(requester, view))
            pieces.add(
                b'{"end":"%b","presence":[%b],"account_data":[%b],"rooms":[' % (_token(cut), present, own)
            )
            separator = b""
            rooms = self._rooms_of(requester, request, view, joined, others, cut, data)
            async for infos in rooms:
                for info in infos:
                    pieces.add(separator, info)
                    separator = b","
                place.check()
                await authenticate()
                await outlet.progress(pieces)
            pieces.add(b"]}")
            await outlet.finish(pieces)

    async def _rooms_of(
        self,
        requester: Requester,
        request: InitialRequest,
        view: UserView,
        joined: Sequence[Membership],
        others: Sequence[Membership],
        cut: Cut,
        data: Mapping[str, Sequence[AccountData]],
    ) -> AsyncIterator[list[bytes]]:
        """The rooms, some at a time."""
        for start in range(0, len(joined), BATCH):
            heads = await self._rooms.heads([m.ref for m in joined[start : start + BATCH]], cut.rooms)
            batch = [_Told(ref, "join", Place(head.ordinal), head.snapshot) for ref, head in heads.items()]
            yield await self._infos(requester, batch, request.limit, cut, data)
        rules = view.rules
        blocked = rules is not None and rules.blocks_invites
        ignored = frozenset() if rules is None else rules.ignored
        for membership in others:
            if membership.membership == "invite" and not blocked:
                invite = await self._invite(requester, membership)
                if invite is not None and invite.sender not in ignored:
                    yield [_invite_json(invite, self._sync.now_ms())]
            elif request.archived and membership.membership in ("leave", "ban"):
                left = await self._left(requester, membership)
                if left is not None:
                    told = _Told(left.ref, left.viewer.membership, left.place, left.snapshot)
                    yield await self._infos(requester, [told], request.limit, cut, data)

    async def _left(self, requester: Requester, membership: Membership) -> View | None:
        """What the user may see of a room that they have left; None if nothing, or if they are back."""
        try:
            view = await self._rooms.view(membership.ref.room_id, requester.user_id)
        except Forbidden:
            return None
        return None if view.viewer.membership == "join" else view

    async def _invite(self, requester: Requester, membership: Membership) -> StoredEvent | None:
        """The event by which the user was invited."""
        snapshot = await self._rooms.snapshot_at(membership.ref, Place(membership.ordinal))
        if snapshot is None:
            return None
        wanted = Wanted(types=frozenset({"m.room.member"}), members=frozenset({requester.user_id}))
        state = await self._rooms.state_at(membership.ref, snapshot, wanted)
        return state.get(("m.room.member", requester.user_id))

    async def _account_data(self, user_id: str) -> dict[str, list[AccountData]]:
        """By room; under "" what is global."""
        found: dict[str, list[AccountData]] = {}
        for row in await self._users.account_data_all(user_id):
            found.setdefault(row.room_id, []).append(row)
        return found

    async def _infos(
        self,
        requester: Requester,
        rooms: Sequence[_Told],
        limit: int,
        cut: Cut,
        data: Mapping[str, Sequence[AccountData]],
    ) -> list[bytes]:
        """``RoomInfo`` of each room."""
        now_ms = self._sync.now_ms()
        states = await self._rooms.states([(told.ref, told.snapshot, EVERYTHING) for told in rooms])
        everything = [event for state in states for event in state.values()]
        await self._rooms.decorate(everything)
        doubtful = [event for event in everything if is_last_word(event) or embeds(event)]
        withheld = await self._rooms.withheld_from(requester.user_id, doubtful)
        infos = []
        for told, state in zip(rooms, states, strict=True):
            room_id = told.ref.room_id
            page = await self._rooms.timeline(
                room_id, start=told.upto, backwards=True, limit=max(limit, 1), viewer=requester.user_id
            )
            shown = [
                event.client_bytes(
                    now_ms=now_ms,
                    user_id=requester.user_id,
                    device_id=requester.device_id,
                    membership=membership,
                )
                for event, membership in zip(page.events, page.memberships, strict=True)
            ][::-1][-limit:]
            if limit == 0:
                shown = []
            before = page.end if page.end is not None and limit else page.start
            events = [withheld.shown(event) for event in state.values()]
            room = await self._rooms.room(room_id)
            published = room is not None and room.published
            infos.append(
                b'{"room_id":%b%b,"visibility":"%b","messages":{"start":"%b","end":"%b","chunk":[%b]},'
                b'"state":[%b],"account_data":[%b]}'
                % (
                    orjson.dumps(room_id),
                    b""
                    if told.membership in (None, "knock")
                    else b',"membership":"%b"' % (told.membership or "").encode(),
                    b"public" if published else b"private",
                    TimelineToken(before).encode().encode(),
                    _token(cut),
                    b",".join(shown),
                    b",".join(event.client_bytes(now_ms=now_ms) for event in events),
                    b",".join(map(_account_data_json, data.get(room_id, ()))),
                )
            )
        return infos


def _token(cut: Cut) -> bytes:
    """Of who has been told of the rooms, and of nothing ephemeral."""
    return Cut(cut.generation, cut.rooms, cut.users).token(0).encode()


def _account_data_json(row: AccountData) -> bytes:
    return b'{"type":%b,"content":%b}' % (orjson.dumps(row.type), row.content)


def _invite_json(invite: StoredEvent, now_ms: int) -> bytes:
    return b'{"room_id":%b,"membership":"invite","invite":%b}' % (
        orjson.dumps(invite.ref.room_id),
        invite.client_bytes(now_ms=now_ms),
    )

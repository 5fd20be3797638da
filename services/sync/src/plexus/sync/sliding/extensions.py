"""What is not about rooms, or not of their timelines: by the streams of /v3/sync.

What an extension tells of rooms it tells of those that the connection has been sent: all of it when a room is
told anew, the changes afterwards. A client may restrict that to some lists and rooms: what changed elsewhere
meanwhile is told when it is in scope again (`Reach`).

MSC4186, "Extensions"; MSC3885 (to_device), MSC3884 (e2ee), MSC3959 (account_data), MSC3960 (receipts),
MSC3961 (typing), MSC4308 (thread subscriptions).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from orjson import Fragment
from plexus.platform.lanes import InboxToken, UserFact
from plexus.protocol.filters import EventFilter, Filter, RoomFilter
from plexus.rooms import Rooms
from plexus.sync.filters import Shape, SyncFilter
from plexus.sync.replica import Cut, Replica, UserView
from plexus.sync.sliding.codecs import THREAD_SUBSCRIPTIONS
from plexus.sync.sliding.lists import Picked
from plexus.sync.sliding.models import Extensions, Scope
from plexus.sync.sliding.scopes import EVERYWHERE, NEVER, Reach
from plexus.sync.streams.account_data import AccountDataStream
from plexus.sync.streams.context import Answer
from plexus.sync.streams.device_lists import DeviceListStream
from plexus.sync.streams.devices import DeviceStream
from plexus.sync.streams.receipts import ReceiptStream
from plexus.sync.streams.rooms import RoomStream
from plexus.sync.streams.typing import TypingStream
from plexus.sync.streams.user_facts import UserFacts, user_facts
from plexus.users import AccountData, Users

_NO_EVENTS = Filter(room=RoomFilter(timeline=EventFilter(types=frozenset())))
NO_EVENTS = SyncFilter(_NO_EVENTS, Shape(_NO_EVENTS))
"""The streams need to know who came and went, and nothing else of the rooms."""

_OFF = {EVERYWHERE: NEVER}
_NOTHING: Mapping[str, int] = {}
SHOWN = 1
"""Noted for typing, which has no positions: the client may have been told that somebody is."""

_THREADS = frozenset({int(UserFact.THREAD_SUBSCRIPTION)})


@dataclass(slots=True)
class Extra:
    """The sections by extension. ``tells`` says whether the client learns anything from them; ``held``, by
    extension, up to where the client was told of rooms out of its scope that have changed.
    """

    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    tells: bool = False
    held: dict[str, Mapping[str, int]] = field(default_factory=dict)


class ExtensionStreams:
    def __init__(
        self, replica: Replica, rooms: Rooms, users: Users, room_stream: RoomStream, receipts: ReceiptStream
    ) -> None:
        self._replica = replica
        self._users = users
        self._rooms = room_stream
        self._account_data = AccountDataStream(users)
        self._receipts = receipts
        self._typing = TypingStream(replica.typing)
        self._devices = DeviceStream(users)
        self._device_lists = DeviceListStream(rooms, users)

    def shows(self, view: UserView) -> bool:
        """Whether somebody is typing in a room of the user."""
        return self._typing.shown_to(view)

    async def add(
        self,
        wanted: Extensions,
        answer: Answer,
        picked: Picked,
        subscribed: Collection[str],
        initial: Mapping[str, frozenset[str]],
        sent: Collection[str],
        held: Mapping[str, Mapping[str, int]],
    ) -> Extra:
        """``answer`` is a fresh one; ``initial`` are the rooms told anew with it, with the events in their
        timelines, ``sent`` those that the connection has been sent, these included; ``held`` is what was held
        back before.
        """

        def reach(name: str, scope: Scope) -> Reach:
            return Reach.of(scope, picked, subscribed, sent, held.get(name, _NOTHING))

        def note(name: str, told: Mapping[str, int]) -> None:
            if told:
                extra.held[name] = told

        extra, since = Extra(), answer.since
        facts = None if since is None else user_facts(self._replica, answer, since)
        moved = since is not None and not answer.cut.same_place(since)
        if since is not None and moved and (wanted.e2ee or wanted.account_data or wanted.receipts):
            await self._rooms.changes(answer, since)
        if wanted.to_device is not None:
            await self._devices.add_messages(answer, facts, wanted.to_device.limit)
            extra.sections["to_device"] = {
                "next_batch": InboxToken(answer.cut.generation, answer.to_device).encode(),
                "events": [Fragment(message) for message in answer.messages],
            }
            extra.tells |= bool(answer.messages)
        if wanted.e2ee:
            await self._add_e2ee(extra, answer, facts)
        if wanted.account_data is None:
            note("account_data", _OFF)
        else:
            scope = reach("account_data", wanted.account_data)
            await self._add_account_data(extra, answer, facts, scope, initial)
            note("account_data", scope.told)
        if wanted.receipts is None:
            note("receipts", _OFF)
        else:
            scope = reach("receipts", wanted.receipts)
            await self._add_receipts(extra, answer, scope, initial)
            note("receipts", scope.told)
        if wanted.typing is None:
            # Somebody may have been shown typing before.
            note(
                "typing",
                _OFF if since is None else {EVERYWHERE: held.get("typing", {}).get(EVERYWHERE, SHOWN)},
            )
        else:
            scope = reach("typing", wanted.typing)
            self._add_typing(extra, answer, scope, initial)
            note("typing", scope.told)
        if wanted.thread_subscriptions is not None:
            await self._add_thread_subscriptions(extra, answer, facts, wanted.thread_subscriptions)
        return extra

    async def _add_e2ee(self, extra: Extra, answer: Answer, facts: UserFacts | None) -> None:
        section: dict[str, Any] = {}
        if answer.since is not None and not answer.cut.same_place(answer.since):
            await self._device_lists.changes(answer, answer.since)
        if answer.device_lists is not None:
            section["device_lists"] = Fragment(answer.device_lists)
            extra.tells = True
        await self._devices.add_counts(answer, facts)
        if answer.key_counts:
            section |= orjson.loads(b"{%b}" % answer.key_counts[1:])
        extra.tells |= answer.key_counts_changed
        extra.sections["e2ee"] = section

    async def _add_account_data(
        self, extra: Extra, answer: Answer, facts: UserFacts | None, reach: Reach, initial: Collection[str]
    ) -> None:
        rooms: dict[str, list[Any]] = {}
        everything: list[AccountData] = []
        anew = facts is None or reach.anew
        if anew or any(room_id in reach.within for room_id in initial):
            everything = await self._users.account_data_all(answer.user_id)
        if answer.since is not None and facts is not None:
            back = reach.back(initial)
            await self._account_data.changes(answer, answer.since, facts)
            for room_id, events in answer.room_account_data.items():
                if room_id in reach.within and room_id not in initial and room_id not in back:
                    rooms[room_id] = [Fragment(event) for event in events]
            for row in await self._account_data_after(answer, answer.since, back):
                rooms.setdefault(row.room_id, []).append(_event(row))
        for row in everything:
            if row.room_id:
                if row.room_id in reach.within and row.room_id in initial:
                    rooms.setdefault(row.room_id, []).append(_event(row))
            elif anew:
                answer.account_data.append(orjson.dumps(_event(row)))
        new = {ref.room_id for ref in answer.newly_joined}
        reach.hold(
            {
                room_id: NEVER
                if room_id in new or answer.since is None
                else answer.since.users[answer.view.lane]
                for room_id in answer.room_account_data
            },
            initial,
        )
        section: dict[str, Any] = {}
        if answer.account_data:
            section["global"] = [Fragment(event) for event in answer.account_data]
        if rooms:
            section["rooms"] = rooms
        extra.tells |= bool(section)
        extra.sections["account_data"] = section

    async def _account_data_after(
        self, answer: Answer, since: Cut, told: Mapping[str, int]
    ) -> Sequence[AccountData]:
        """What has changed in some joined rooms since each was told of."""
        lane = answer.view.lane
        after = {
            room_id: min(position, since.users[lane])
            for room_id, position in told.items()
            if room_id in answer.view.joined
        }
        if not after:
            return ()
        changes = await self._users.sync_changes(answer.user_id, min(after.values()), answer.cut.users[lane])
        return [
            row for row in changes.account_data if row.room_id in after and row.position > after[row.room_id]
        ]

    async def _add_receipts(
        self, extra: Extra, answer: Answer, reach: Reach, initial: Mapping[str, frozenset[str]]
    ) -> None:
        """Of a room told anew the receipts of the events that are shown, and the user's own: "it is
        unacceptable to send them all" (MSC3960).
        """
        answer.ephemeral.clear()
        since, within = answer.since, reach.within
        if since is not None and not answer.cut.same_place(since):
            await self._receipts.changes(answer, since)
        back = reach.back(initial)
        for room_id in (*initial, *back):
            answer.ephemeral.pop(room_id, None)
        await self._receipts.everything(answer, [room_id for room_id in initial if room_id in within])
        joined, new = answer.view.joined, {ref.room_id for ref in answer.newly_joined}
        if since is not None:
            if back:
                after = {
                    room_id: min(told, since.rooms[joined[room_id].ref.lane])
                    for room_id, told in back.items()
                    if room_id in joined
                }
                await self._receipts.after(answer, after)
            reach.hold(
                {
                    room_id: NEVER if room_id in new else since.rooms[joined[room_id].ref.lane]
                    for room_id in answer.ephemeral
                    if room_id in joined
                },
                initial,
            )
        else:
            reach.hold({}, initial)
        rooms = {
            room_id: {"type": "m.receipt", "content": content}
            for room_id, events in answer.ephemeral.items()
            if room_id in within and (content := _merged(events, initial.get(room_id), answer.user_id))
        }
        extra.tells |= bool(rooms)
        extra.sections["receipts"] = {"rooms": rooms} if rooms else {}

    def _add_typing(self, extra: Extra, answer: Answer, reach: Reach, initial: Collection[str]) -> None:
        answer.ephemeral.clear()
        back = reach.back()
        if answer.since is None:
            self._typing.everything(answer)
        elif not answer.cut.same_moment(answer.since):
            self._typing.changes(answer, answer.since)
        self._typing.of(answer, (*initial, *back))
        self._typing.now(answer, [room_id for room_id, told in back.items() if told])
        # Of a room in which the client begins, and nobody is typing, it knows all there is.
        reach.hold({room_id: NEVER if room_id in initial else SHOWN for room_id in answer.ephemeral}, ())
        rooms = {
            room_id: Fragment(events[-1])
            for room_id, events in answer.ephemeral.items()
            if room_id in reach.within
        }
        extra.tells |= bool(rooms)
        extra.sections["typing"] = {"rooms": rooms} if rooms else {}

    async def _add_thread_subscriptions(
        self, extra: Extra, answer: Answer, facts: UserFacts | None, limit: int
    ) -> None:
        """Of all rooms. Nothing is read unless there is a fact of such a change."""
        section: dict[str, Any] = {}
        if facts is None or facts.any_of(_THREADS):
            lane = answer.view.lane
            after = 0 if answer.since is None else answer.since.users[lane]
            found = await self._users.thread_subscription_changes(
                answer.user_id, after, answer.cut.users[lane], limit
            )
            section = found.sections()
            extra.tells |= bool(section)
            if found.rest is not None:
                section["prev_batch"] = found.rest
        extra.sections[THREAD_SUBSCRIPTIONS] = section


def _event(row: AccountData) -> dict[str, Any]:
    return {"type": row.type, "content": Fragment(row.content)}


def _merged(events: Iterable[bytes], shown: frozenset[str] | None, user_id: str) -> dict[str, Any]:
    """One content of several events: a room has one here, and one a thread in /v3/sync. Of events that are
    not ``shown`` (None: all are) only the user's own receipts.
    """
    content: dict[str, Any] = {}
    for event in events:
        for event_id, types in orjson.loads(event)["content"].items():
            for kind, users in types.items():
                told = users
                if shown is not None and event_id not in shown:
                    told = {user: said for user, said in users.items() if user == user_id}
                if told:
                    content.setdefault(event_id, {}).setdefault(kind, {}).update(told)
    return content

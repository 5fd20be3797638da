"""What is not about rooms, or not of their timelines: by the streams of /v3/sync.

What an extension tells of rooms it tells of those that the connection has been sent: all of it when a room is
told anew, the changes afterwards. A client may restrict that to some lists and rooms.

MSC4186, "Extensions"; MSC3885 (to_device), MSC3884 (e2ee), MSC3959 (account_data), MSC3960 (receipts),
MSC3961 (typing), MSC4308 (thread subscriptions).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from orjson import Fragment
from plexus.platform.lanes import UserFact
from plexus.protocol.filters import EventFilter, Filter, RoomFilter
from plexus.rooms import Rooms
from plexus.sync.filters import Shape, SyncFilter
from plexus.sync.replica import Replica, UserView
from plexus.sync.sliding.codecs import THREAD_SUBSCRIPTIONS
from plexus.sync.sliding.lists import Picked
from plexus.sync.sliding.models import Extensions, Scope
from plexus.sync.streams.account_data import AccountDataStream
from plexus.sync.streams.context import Answer
from plexus.sync.streams.device_lists import DeviceListStream
from plexus.sync.streams.devices import DeviceStream
from plexus.sync.streams.receipts import ReceiptStream
from plexus.sync.streams.rooms import RoomStream
from plexus.sync.streams.typing import TypingStream
from plexus.sync.streams.user_facts import UserFacts, user_facts
from plexus.users import Users

_NO_EVENTS = Filter(room=RoomFilter(timeline=EventFilter(limit=0)))
NO_EVENTS = SyncFilter(_NO_EVENTS, Shape(_NO_EVENTS))
"""The streams need to know who came and went, and nothing else of the rooms."""

_THREADS = frozenset({int(UserFact.THREAD_SUBSCRIPTION)})


@dataclass(slots=True)
class Extra:
    """The sections by extension. ``tells`` says whether the client learns anything from them."""

    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    tells: bool = False


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
        initial: Collection[str],
        sent: Collection[str],
    ) -> Extra:
        """``answer`` is a fresh one; ``initial`` are the rooms told anew with it, ``sent`` those that the
        connection has been sent, these included.
        """

        def within(scope: Scope) -> Collection[str]:
            return _within(scope, picked, subscribed, sent)

        extra, since = Extra(), answer.since
        facts = None if since is None else user_facts(self._replica, answer, since)
        moved = since is not None and not answer.cut.same_place(since)
        if since is not None and moved and (wanted.e2ee or wanted.account_data or wanted.receipts):
            await self._rooms.changes(answer, since)
        if wanted.to_device is not None:
            await self._devices.add_messages(answer, facts)
            extra.sections["to_device"] = {
                "next_batch": str(answer.to_device),
                "events": [Fragment(message) for message in answer.messages],
            }
            extra.tells |= bool(answer.messages)
        if wanted.e2ee:
            await self._add_e2ee(extra, answer, facts)
        if wanted.account_data is not None:
            await self._add_account_data(extra, answer, facts, within(wanted.account_data), initial)
        if wanted.receipts is not None:
            await self._add_receipts(extra, answer, within(wanted.receipts), initial)
        if wanted.typing is not None:
            self._add_typing(extra, answer, within(wanted.typing), initial)
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
        self,
        extra: Extra,
        answer: Answer,
        facts: UserFacts | None,
        within: Collection[str],
        initial: Collection[str],
    ) -> None:
        rooms: dict[str, list[Any]] = {}
        everything = []
        if facts is None or any(room_id in within for room_id in initial):
            everything = await self._users.account_data_all(answer.user_id)
        if answer.since is not None and facts is not None:
            await self._account_data.changes(answer, answer.since, facts)
            for room_id, events in answer.room_account_data.items():
                if room_id in within and room_id not in initial:
                    rooms[room_id] = [Fragment(event) for event in events]
        for row in everything:
            event = {"type": row.type, "content": Fragment(row.content)}
            if row.room_id:
                if row.room_id in within and row.room_id in initial:
                    rooms.setdefault(row.room_id, []).append(event)
            elif facts is None:
                answer.account_data.append(orjson.dumps(event))
        section: dict[str, Any] = {}
        if answer.account_data:
            section["global"] = [Fragment(event) for event in answer.account_data]
        if rooms:
            section["rooms"] = rooms
        extra.tells |= bool(section)
        extra.sections["account_data"] = section

    async def _add_receipts(
        self, extra: Extra, answer: Answer, within: Collection[str], initial: Collection[str]
    ) -> None:
        answer.ephemeral.clear()
        if answer.since is not None and not answer.cut.same_place(answer.since):
            await self._receipts.changes(answer, answer.since)
        for room_id in initial:
            answer.ephemeral.pop(room_id, None)
        await self._receipts.everything(answer, [room_id for room_id in initial if room_id in within])
        rooms = {
            room_id: {"type": "m.receipt", "content": _merged(events)}
            for room_id, events in answer.ephemeral.items()
            if room_id in within
        }
        extra.tells |= bool(rooms)
        extra.sections["receipts"] = {"rooms": rooms} if rooms else {}

    def _add_typing(
        self, extra: Extra, answer: Answer, within: Collection[str], initial: Collection[str]
    ) -> None:
        answer.ephemeral.clear()
        if answer.since is None:
            self._typing.everything(answer)
        elif not answer.cut.same_moment(answer.since):
            self._typing.changes(answer, answer.since)
        self._typing.of(answer, initial)
        rooms = {
            room_id: Fragment(events[-1]) for room_id, events in answer.ephemeral.items() if room_id in within
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


def _within(
    scope: Scope, picked: Picked, subscribed: Collection[str], sent: Collection[str]
) -> Collection[str]:
    """The rooms that an extension is about. Unrestricted these are also those that have left all windows."""
    lists, rooms = scope.lists, scope.rooms
    if lists is None and rooms is None:
        return sent
    named = subscribed if rooms is None else rooms
    return {
        room_id
        for room_id in sent
        if room_id in named
        or (
            (match := picked.matches.get(room_id)) is not None
            and (bool(match.lists) if lists is None else not lists.isdisjoint(match.lists))
        )
    }


def _merged(events: Iterable[bytes]) -> dict[str, Any]:
    """One content of several events: a room has one here, and one a thread in /v3/sync."""
    content: dict[str, Any] = {}
    for event in events:
        for event_id, types in orjson.loads(event)["content"].items():
            kinds = content.setdefault(event_id, {})
            for kind, users in types.items():
                kinds.setdefault(kind, {}).update(users)
    return content

"""Member events for lazy-loading devices, read once for all who need them.

A message to a room of thousands wakes thousands of polls in the same moment, and each may need the sender's
member event. So an event that was read stays, by snapshot and user (a snapshot never changes, and messages
share theirs), and who asks for one that is being read waits for that query instead of making its own. Where
one speaks others answer: of a room of a few all members are read with the first.

Client-Server API, "Lazy-loading room members".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plexus.rooms import RoomRef, Rooms, StoredEvent
from plexus.sync.fragments.cache import RoomCache

SMALL = 100
"""Members of a room of which all are read at once."""

Question = tuple[RoomRef, int, frozenset[str]]
"""A room, a snapshot of it, and the users whose member events at that snapshot are wanted."""


@dataclass(frozen=True, slots=True)
class _Known:
    event: StoredEvent | None

    @property
    def size(self) -> int:
        return 300 + (len(self.event.raw) if self.event is not None else 0)


class MemberEvents:
    def __init__(self, rooms: Rooms, limit: int) -> None:
        self._rooms = rooms
        self._known: RoomCache[_Known] = RoomCache(limit)
        self._reading: dict[tuple[str, int, str], asyncio.Future[None]] = {}

    async def read(self, questions: Sequence[Question]) -> Sequence[Mapping[str, StoredEvent | None]]:
        """The member events asked for, by user; None for who has none. At most one query for all, and one
        for what has redacted some.
        """
        answers: list[dict[str, StoredEvent | None]] = [{} for _ in questions]
        while True:
            missing: list[Question] = []
            others: set[asyncio.Future[None]] = set()
            for (ref, snapshot, users), answer in zip(questions, answers, strict=True):
                mine = set()
                for user in users.difference(answer):
                    known = self._known.get((ref.room_id, (snapshot, user)))
                    if known is not None:
                        answer[user] = known.event
                    elif (reading := self._reading.get((ref.room_id, snapshot, user))) is not None:
                        others.add(reading)
                    else:
                        mine.add(user)
                if mine:
                    missing.append((ref, snapshot, frozenset(mine)))
            if missing:
                found = await self._read(missing)
                for (ref, snapshot, users), answer in zip(questions, answers, strict=True):
                    for user in users.difference(answer):
                        if (ref.room_id, snapshot, user) in found:
                            answer[user] = found[ref.room_id, snapshot, user]
            elif not others:
                return answers
            if others:
                # Whether those queries have succeeded shows when the cache is asked again.
                await asyncio.wait(others)

    @property
    def bytes(self) -> int:
        return self._known.bytes

    def forget(self, room_id: str) -> None:
        """Drop what is kept of a room, because an event of it has lost its content; what is being read now is
        not kept either.
        """
        self._known.forget(room_id)
        for key in [key for key in self._reading if key[0] == room_id]:
            del self._reading[key]

    def clear(self) -> None:
        self._known.clear()
        self._reading.clear()

    async def _read(self, missing: Sequence[Question]) -> dict[tuple[str, int, str], StoredEvent | None]:
        done = asyncio.get_running_loop().create_future()
        keys = [(ref.room_id, snapshot, user) for ref, snapshot, users in missing for user in users]
        self._reading |= dict.fromkeys(keys, done)
        try:
            members = await self._rooms.members(missing, small=SMALL)
            redacted = [event for all_ in members for event in all_.values() if event.redacted_by is not None]
            if redacted:
                await self._rooms.decorate(redacted)
        finally:
            valid = {key for key in keys if self._reading.get(key) is done}
            for key in valid:
                del self._reading[key]
            done.set_result(None)
        found: dict[tuple[str, int, str], StoredEvent | None] = {}
        for (ref, snapshot, users), events in zip(missing, members, strict=True):
            found |= {(ref.room_id, snapshot, user): events.get(user) for user in users}
            if all((ref.room_id, snapshot, user) in valid for user in users):
                for user in users.union(events):
                    self._known.put((ref.room_id, (snapshot, user)), _Known(events.get(user)))
        return found

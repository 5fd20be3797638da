"""Whose presence has changed, and who is told: those of this replica who share a room with them.

Changes are gathered for a moment, so that what comes and goes at once is told once. The rooms of a user who
is connected here are known; those of others are read, once a change.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Set

from plexus.platform.postgres import StoreUnavailable
from plexus.rooms import RoomRef, Rooms
from plexus.sync.ephemeral.moments import Moments
from plexus.sync.replica.views import Interest, UserView
from plexus.users.presence import Presence

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.2
MOST_CHANGES = 20_000
MOST_ROOMS = 1_000_000
"""Users whose last change is remembered, and their rooms altogether. Older tokens are told all anew."""


class PresenceIndex:
    """``tell`` is given the views that a change concerns, after its moment has been given."""

    def __init__(
        self,
        presence: Presence,
        rooms: Rooms,
        moments: Moments,
        interest: Interest,
        tell: Callable[[Set[UserView]], None],
    ) -> None:
        self.presence = presence
        self._rooms = rooms
        self._moments = moments
        self._interest = interest
        self._tell = tell
        self._changed: OrderedDict[str, tuple[int, Collection[str]]] = OrderedDict()
        self._rooms_changed = 0
        self._forgotten = 0
        self._waiting: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._end: Callable[[], None] | None = None

    def start(self) -> None:
        self._end = self.presence.watch(self._note)

    async def stop(self) -> None:
        if self._end is not None:
            self._end()
            self._end = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def changed_since(self, epoch: int, moment: int) -> list[tuple[str, Collection[str]]] | None:
        """The users that have changed since a moment of some replica, and their rooms; None if nobody
        knows.
        """
        after = self._moments.after(epoch, moment)
        if after is None or after < self._forgotten:
            return None
        found = []
        for user_id, (changed, rooms) in reversed(self._changed.items()):
            if changed <= after:
                break
            found.append((user_id, rooms))
        return found

    async def known_in(self, rooms: Iterable[RoomRef]) -> set[str]:
        """The members of these rooms of whom anything is known."""
        found: set[str] = set()
        for ref in rooms:
            found.update(filter(self.presence.knows, await self._rooms.member_ids(ref)))
        return found

    async def sharing(self, view: UserView, users: Iterable[str]) -> set[str]:
        """Those of these users who share a room with one who is connected here. Of who is not connected
        that is read: in which rooms they were at their last change says nothing of now.
        """
        users = list(users)
        if not users:
            return set()
        connected = {
            member.user_id for room_id in view.joined for member in self._interest.rooms.get(room_id, ())
        }
        found: set[str] = set()
        unknown = []
        for user_id in users:
            if user_id in connected:
                found.add(user_id)
            elif (other := self._interest.views.get(user_id)) is None or other.loaded is None:
                unknown.append(user_id)
        if unknown:
            found |= await self._rooms.share_room(view.user_id, unknown)
        return found

    def _note(self, user_id: str) -> None:
        self._waiting.add(user_id)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_SECONDS)
            users, self._waiting = self._waiting, set()
            try:
                found = {user_id: await self._rooms_of(user_id) for user_id in users}
            except StoreUnavailable as error:
                log.warning("the rooms of who came or went are read again: %s", error)
                self._waiting |= users
                await asyncio.sleep(1)
                continue
            except Exception:
                log.exception("a change of presence is not told")
                continue
            self._take(found)

    async def _rooms_of(self, user_id: str) -> Collection[str]:
        view = self._interest.views.get(user_id)
        if view is not None and view.loaded is not None:
            return tuple(view.joined)
        return tuple(room.room_id for room in await self._rooms.rooms_of(user_id))

    def _take(self, found: dict[str, Collection[str]]) -> None:
        """In one turn of the loop: moments, and who is to be told."""
        concerned: set[UserView] = set()
        for user_id, rooms in found.items():
            self._rooms_changed += len(rooms) - len(self._changed.get(user_id, (0, ()))[1])
            self._changed[user_id] = (self._moments.next(), rooms)
            self._changed.move_to_end(user_id)
            for room_id in rooms:
                concerned |= self._interest.rooms.get(room_id, frozenset())
        while len(self._changed) > MOST_CHANGES or self._rooms_changed > MOST_ROOMS:
            self._forgotten, rooms = self._changed.popitem(last=False)[1]
            self._rooms_changed -= len(rooms)
        self._tell(concerned)

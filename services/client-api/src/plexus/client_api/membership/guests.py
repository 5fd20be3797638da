"""Guests leave a room that is not for them any more.

Whoever sets m.room.guest_access here has it done at once (`GuestAccess.begin`). That is a shortcut: what has
to be done shows in what is stored, a guest who is joined to a room that does not say ``can_join``. So one
process of all looks for that every minute (`GuestAccess.sweep`) and finds what a process that died has left,
and what came by another way: a redaction, a delayed event, another server, a join in the moment of the
change. Each leave is an event of the guest's own; one who has left is passed by, so all of it may be
repeated.

Client-Server API, "Guest Access".
"""

from __future__ import annotations

import asyncio
import logging

from plexus.protocol.errors import MatrixError
from plexus.rooms import NewEvent, Rooms
from plexus.users import Users

log = logging.getLogger(__name__)

SWEEP_EVERY = 60.0
"""Seconds."""

ANSWER_WAITS = 1.0
"""Seconds that a request waits for the guests to be gone."""

PAGE = 500
"""Guests looked at together."""

REASON = "Guests may not be in this room"


class GuestAccess:
    """What one process does of it."""

    def __init__(self, rooms: Rooms, users: Users) -> None:
        self._rooms = rooms
        self._users = users
        self._running: set[asyncio.Task[None]] = set()

    async def begin(self, room_id: str) -> None:
        """See to one room, and wait a moment for it."""
        task = asyncio.create_task(self._see_to(room_id), name="guest-access")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait([task], timeout=ANSWER_WAITS)

    async def drain(self) -> None:
        """What is cut off is found by the next sweep."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def admits(self, room_id: str) -> bool:
        """Whether guests may be in the room."""
        event = await self._rooms.state_event(room_id, "m.room.guest_access", "")
        return event is not None and event.content.get("guest_access") == "can_join"

    async def sweep(self) -> int:
        """See to all rooms with guests; how many had to leave."""
        left = 0
        admitting: dict[str, bool] = {}
        after = ""
        while guests := await self._users.guests(after=after, limit=PAGE):
            after = guests[-1]
            for room_id, user_id in await self._rooms.joined_of(guests):
                if room_id not in admitting:
                    admitting[room_id] = await self.admits(room_id)
                if not admitting[room_id]:
                    left += await self._leave(room_id, user_id)
        if left:
            log.info("%d guests had to leave rooms that are not for them any more", left)
        return left

    async def _see_to(self, room_id: str) -> None:
        try:
            ref = await self._rooms.ref(room_id)
            if ref is None or await self.admits(room_id):
                return
            members = await self._rooms.member_ids(ref)
            for user_id in await self._users.guests_among(members):
                await self._leave(room_id, user_id)
        except MatrixError as error:
            # The change itself is made: the answer must not say otherwise.
            log.warning("guests leave a room later: %s", error)

    async def _leave(self, room_id: str, user_id: str) -> bool:
        content = {"membership": "leave", "reason": REASON}
        try:
            await self._rooms.send(room_id, user_id, NewEvent("m.room.member", content, state_key=user_id))
        except MatrixError as error:
            log.warning("a guest leaves a room later: %s", error)
            return False
        return True

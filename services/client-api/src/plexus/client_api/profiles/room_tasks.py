"""What a change of an account owes to the user's rooms: a new name in every membership, or leaving them all.

`plexus.users` writes the `RoomTask` with the change. It is done here: at once by the process that made the
change, or by any process that finds it later, because the first one died or a room was not to be had. Each
step looks at the room first, so repeating one does nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from plexus.platform.beat import on_the_beat
from plexus.protocol.errors import LimitExceeded, MatrixError, Unavailable
from plexus.rooms import NewEvent, Rooms
from plexus.users import Profile, RoomTask, Users

log = logging.getLogger(__name__)

ANSWER_WAITS = 1.0
"""Seconds that a request waits for its task: in a few rooms the change is there with the answer, in a
thousand it goes on without the request.
"""

LOOK_EVERY = 5.0
"""Seconds between two looks for tasks that nobody works on."""

DRAIN_WAITS = 10.0
"""Seconds that a drain waits for what has begun; what is left then is free for other processes."""

RENEW_EVERY = 20
"""Rooms after which the lease of a task is prolonged."""

_FIELDS = ("displayname", "avatar_url")
# What a join says about how it came about, and does not hold for a change of profile.
_OF_THE_JOIN = frozenset(("reason", "is_direct", "third_party_invite", "join_authorised_via_users_server"))

Step = Callable[[str], Coroutine[Any, Any, None]]


class RoomTasks:
    """The tasks of one process. ``on_leaving`` does what else is owed when an account was closed."""

    def __init__(
        self,
        rooms: Rooms,
        users: Users,
        *,
        on_leaving: Callable[[str], Coroutine[Any, Any, object]] | None = None,
    ) -> None:
        self._rooms = rooms
        self._users = users
        self._on_leaving = on_leaving
        self._running: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._looking = asyncio.create_task(self._look(), name="room-tasks")

    async def drain(self) -> None:
        """Begin nothing more; finish what has begun, or give it up."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
        if self._running:
            _, unfinished = await asyncio.wait(self._running, timeout=DRAIN_WAITS)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def begin(self, user_id: str) -> None:
        """Do what this user's rooms are owed, and wait a moment for it."""
        try:
            tasks = await self._users.claim_room_tasks(user_id=user_id)
        except Unavailable as error:
            # The change itself is made: the answer must not say otherwise.
            log.warning("a room task waits: %s", error)
            return
        if tasks:
            await asyncio.wait([self._spawn(task) for task in tasks], timeout=ANSWER_WAITS)

    def _spawn(self, task: RoomTask) -> asyncio.Task[None]:
        running = asyncio.create_task(self._run(task), name=f"room-task-{task.kind}")
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return running

    async def _look(self) -> None:
        while True:
            try:
                for task in await self._users.claim_room_tasks():
                    self._spawn(task)
            except Unavailable as error:
                log.warning("no look for room tasks: %s", error)
            except Exception:
                # Whatever it was, the tasks of this process must not wait for its next start.
                log.exception("the look for room tasks failed")
            await asyncio.sleep(on_the_beat(LOOK_EVERY))

    async def _run(self, task: RoomTask | None) -> None:
        try:
            while task is not None:
                if not await self._work(task) or await self._users.finish_room_task(task):
                    return
                # The profile was changed again meanwhile.
                again = await self._users.claim_room_tasks(user_id=task.user_id, limit=1)
                task = again[0] if again else None
        except asyncio.CancelledError:
            if task is not None:
                await self._users.release_room_task(task)
            raise
        except Unavailable as error:
            log.warning("a room task is done later: %s", error)
        except Exception:
            log.exception("a room task failed and is tried again later")

    async def _work(self, task: RoomTask) -> bool:
        """Go through the rooms; False if one has to be visited again, when the lease runs out."""
        if task.kind == "leave":
            memberships = {"join", "invite", "knock"}
            step: Step = partial(self._leave, task.user_id)
            if self._on_leaving is not None:
                await self._on_leaving(task.user_id)
        else:
            memberships = {"join"}
            profile = await self._users.profile(task.user_id)
            step = partial(self._update, task.user_id, profile or {})
        complete = True
        for number, room in enumerate(await self._rooms.rooms_of(task.user_id, memberships), start=1):
            try:
                await step(room.room_id)
            except (LimitExceeded, Unavailable) as error:
                log.warning("room task %s: a room is tried again later: %s", task.kind, error)
                complete = False
            except MatrixError as error:
                log.info("room task %s: refused by a room: %s", task.kind, error)
            if number % RENEW_EVERY == 0 and not await self._users.renew_room_task(task):
                break
        return complete

    async def _update(self, user_id: str, profile: Profile, room_id: str) -> None:
        member = await self._rooms.state_event(room_id, "m.room.member", user_id)
        if member is None or member.content.get("membership") != "join":
            return
        wanted = {field: profile[field] for field in _FIELDS if profile.get(field) is not None}
        if wanted == {field: member.content[field] for field in _FIELDS if field in member.content}:
            return
        left_out = _OF_THE_JOIN.union(_FIELDS)
        kept = {name: value for name, value in member.content.items() if name not in left_out}
        await self._rooms.send(
            room_id, user_id, NewEvent("m.room.member", {**kept, **wanted}, state_key=user_id)
        )

    async def _leave(self, user_id: str, room_id: str) -> None:
        await self._rooms.send(
            room_id, user_id, NewEvent("m.room.member", {"membership": "leave"}, state_key=user_id)
        )

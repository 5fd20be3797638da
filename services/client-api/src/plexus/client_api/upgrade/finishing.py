"""What the old room is owed when its replacement is there.

1. Bans that the first write of the new room had no place for; before anybody is told where it is.
2. The tombstone. It comes next because it is the one step that the room can refuse: then nothing has moved.
3. The aliases of this server lead to the new room, and the old one does not call them its own any more.
4. The public directory lists the new room instead of the old one.
5. Nobody but moderators sends or invites in the old room, if who upgrades may say so.

Each step looks before it does anything, so all may be repeated: by the client's retry, or by `Upgrades` in
the worker when the process died that began.

Client-Server API, "Room Upgrades", "Server behaviour".
"""

from __future__ import annotations

import asyncio
import logging

from plexus.client_api.upgrade.events import ban_event, canonical_alias
from plexus.client_api.upgrade.power import restricted
from plexus.platform.beat import on_the_beat
from plexus.protocol import room_versions
from plexus.protocol.errors import AuthRejected, MatrixError, Unavailable
from plexus.rooms import NewEvent, Replacement, Rooms, Wanted

log = logging.getLogger(__name__)

TOMBSTONE_BODY = "This room has been replaced"

BANS_AT_ONCE = 50
_MEMBERSHIPS = frozenset(("join", "invite", "knock", "leave", "ban"))

LOOK_EVERY = 15.0
"""Seconds between two looks for upgrades that nobody works on: half a lease."""


async def finish(rooms: Rooms, replacement: Replacement) -> None:
    """All steps. `AuthRejected` if the room refuses the tombstone: then nothing more is owed either."""
    old, new, sender = replacement.old_room_id, replacement.room_id, replacement.creator
    if not replacement.done:
        await _ban_the_others(rooms, replacement)
    tombstone = {"body": TOMBSTONE_BODY, "replacement_room": new}
    try:
        await rooms.send(old, sender, NewEvent("m.room.tombstone", tombstone, state_key=""))
    except AuthRejected:
        await rooms.finish_replacement(replacement)
        raise
    await rooms.move_aliases(old, new)
    await _give_up_canonical_aliases(rooms, replacement)
    info = await rooms.room(old)
    if info is not None and info.published:
        await rooms.publish(new, True)
        await rooms.publish(old, False)
    await _restrict(rooms, replacement)
    await rooms.finish_replacement(replacement)


async def _ban_the_others(rooms: Rooms, replacement: Replacement) -> None:
    old, new = await rooms.room(replacement.old_room_id), await rooms.ref(replacement.room_id)
    if old is None or new is None:
        return
    missing = set(await rooms.member_ids(old.ref, {"ban"})) - set(await rooms.member_ids(new, _MEMBERSHIPS))
    if not missing:
        return
    wanted = Wanted(types=frozenset({"m.room.member"}), members=frozenset(missing))
    bans = await rooms.state_at(old.ref, old.snapshot, wanted)
    events = [ban_event(user, bans[("m.room.member", user)].content) for user in sorted(missing)]
    for at in range(0, len(events), BANS_AT_ONCE):
        some = events[at : at + BANS_AT_ONCE]
        await asyncio.gather(*(_send_if_allowed(rooms, replacement, new.room_id, event) for event in some))


async def _give_up_canonical_aliases(rooms: Rooms, replacement: Replacement) -> None:
    listed = await rooms.state_event(replacement.old_room_id, "m.room.canonical_alias", "")
    if listed is None:
        return
    moved = {alias.alias for alias in await rooms.aliases_of(replacement.room_id)}
    if canonical_alias(listed.content, moved, inside=True):
        others = canonical_alias(listed.content, moved, inside=False)
        await _send_if_allowed(
            rooms,
            replacement,
            replacement.old_room_id,
            NewEvent("m.room.canonical_alias", others, state_key=""),
        )


async def _restrict(rooms: Rooms, replacement: Replacement) -> None:
    info = await rooms.room(replacement.old_room_id)
    create = await rooms.state_event(replacement.old_room_id, "m.room.create", "")
    levels = await rooms.state_event(replacement.old_room_id, "m.room.power_levels", "")
    if info is None or create is None:
        return
    version = room_versions.get(info.room_version)
    content = restricted(version, None if levels is None else levels.content, create.event)
    if content is not None:
        await _send_if_allowed(
            rooms,
            replacement,
            replacement.old_room_id,
            NewEvent("m.room.power_levels", content, state_key=""),
        )


async def _send_if_allowed(rooms: Rooms, replacement: Replacement, room_id: str, event: NewEvent) -> None:
    try:
        await rooms.send(room_id, replacement.creator, event)
    except AuthRejected as refusal:
        log.info("an upgrade goes without an %s: %s", event.type, refusal)


class Upgrades:
    """Finishes the upgrades whose process died. One in each worker."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._looking = asyncio.create_task(self._look(), name="upgrades")

    async def drain(self) -> None:
        """Begin nothing more. What is cut off is repeated when its lease is over."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None

    async def finish_due(self) -> None:
        """One look."""
        for replacement in await self._rooms.unfinished_replacements():
            try:
                await finish(self._rooms, replacement)
            except Unavailable as error:
                log.warning("an upgrade is finished later: %s", error)
            except MatrixError as error:
                log.warning("an upgrade cannot be finished: %s", error)

    async def _look(self) -> None:
        while True:
            try:
                await self.finish_due()
            except Unavailable as error:
                log.warning("no look for unfinished upgrades: %s", error)
            except Exception:
                # Whatever it was, the upgrades must not wait for the next start of this process.
                log.exception("the look for unfinished upgrades failed")
            await asyncio.sleep(on_the_beat(LOOK_EVERY))

"""``device_lists``: whose devices changed, and with whom no room is shared any more.

``changed`` may say too much, never too little: those whose DEVICE_LIST fact lies between token and cut and
who share a room with the user, those who came into one of the user's rooms, and all members of an encrypted
room that the user came into, or that has become encrypted. ``left`` are those who went, or whose encrypted
room the user left, if nothing is shared now.

Client-Server API, "Tracking the device list for a user".
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from plexus.rooms import RoomRef, Rooms
from plexus.sync.replica import Cut
from plexus.sync.streams.context import Answer
from plexus.users import Users


class DeviceListStream:
    def __init__(self, rooms: Rooms, users: Users) -> None:
        self._rooms = rooms
        self._users = users

    async def changes(self, answer: Answer, since: Cut) -> None:
        """Add what changed since a cut; after the rooms, which say who came and went."""
        moved = answer.came or answer.went or answer.newly_joined or answer.newly_left
        if not (moved or answer.encrypted) and since.users == answer.cut.users:
            return
        updated = await self._updated(answer, since)
        changed = updated | answer.came
        gone = set(answer.went)
        changed |= await self._members_of([(ref, None) for ref in (*answer.newly_joined, *answer.encrypted)])
        gone |= await self._members_of(answer.newly_left)
        if answer.user_id not in updated:
            changed.discard(answer.user_id)
        gone.discard(answer.user_id)
        left = gone - await self._rooms.share_room(answer.user_id, gone) if gone else set()
        changed -= left
        if changed or left:
            answer.device_lists = orjson.dumps({"changed": sorted(changed), "left": sorted(left)})

    async def anybody(self, answer: Answer) -> None:
        """For a token that says nothing any more: anybody may have changed."""
        changed = await self._rooms.neighbours(answer.user_id) | {answer.user_id}
        answer.device_lists = orjson.dumps({"changed": sorted(changed), "left": []})

    async def _members_of(self, rooms: Sequence[tuple[RoomRef, int | None]]) -> set[str]:
        """The members of those of these rooms that are encrypted, now or after the event of an ordinal: of
        the others no devices are tracked.
        """
        found: set[str] = set()
        for ref, at in rooms:
            if await self._rooms.state_event(ref.room_id, "m.room.encryption", "") is not None:
                found.update(await self._rooms.member_ids(ref, at=at))
        return found

    async def _updated(self, answer: Answer, since: Cut) -> set[str]:
        """Users sharing a room whose devices changed, the user among them."""
        view, cut = answer.view, answer.cut
        if since.users == cut.users:
            return set()
        if view.told is not None and since.covers(view.told):
            return {
                change.user_id
                for change in view.device_lists or ()
                if since.users[change.lane] < change.position <= cut.users[change.lane]
            }
        changed = await self._users.device_list_changes(since.users, cut.users)
        if changed is None:
            # The facts are gone: anybody may have changed.
            return await self._rooms.neighbours(answer.user_id)
        shared = await self._rooms.share_room(answer.user_id, changed - {answer.user_id})
        return shared | (changed & {answer.user_id})

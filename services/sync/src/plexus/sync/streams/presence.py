"""``presence``: of the users with whom one shares a room, each time they are shown otherwise than before.

An initial sync has those who are not offline. Who comes into sight is told of as well if they are offline, as
far as they were there within the last hour: they may have been seen before, and have gone since. So is
everybody to a client whose token says nothing here any more.

Client-Server API, "Presence".
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from plexus.sync.ephemeral.presence import PresenceIndex
from plexus.sync.replica import Cut
from plexus.sync.streams.context import Answer
from plexus.users.presence import ONLINE, STATE_NAMES

TYPE = "m.presence"


class PresenceStream:
    def __init__(self, index: PresenceIndex) -> None:
        self._index = index

    async def changes(self, answer: Answer, since: Cut) -> None:
        """Add who has changed since a cut, and who has come into sight; after the rooms, which say so."""
        if not self._wanted(answer):
            return
        changed = self._index.changed_since(since.epoch, since.moment)
        if changed is None:
            known = list(self._index.presence.known())
            self._add(answer, await self._index.sharing(answer.view, known))
            return
        joined = answer.view.joined
        users = {user_id for user_id, rooms in changed if not joined.keys().isdisjoint(rooms)}
        users |= set(filter(self._index.presence.knows, answer.came))
        if answer.newly_joined:
            users |= await self._index.known_in(answer.newly_joined)
        self._add(answer, users)

    async def everything(self, answer: Answer) -> None:
        """Add who is there."""
        if self._wanted(answer):
            present = list(self._index.presence.present())
            self._add(answer, await self._index.sharing(answer.view, present))

    def _wanted(self, answer: Answer) -> bool:
        wanted = answer.filter.filter.presence
        return self._index.presence.enabled and (
            wanted.is_everything or (not wanted.is_nothing and wanted.matches_type(TYPE))
        )

    def _add(self, answer: Answer, users: Iterable[str]) -> None:
        wanted = answer.filter.filter.presence
        for user_id in sorted(users):
            if (
                user_id == answer.user_id
                or user_id in answer.rules.ignored
                or not wanted.matches(TYPE, user_id)
                or (wanted.limit is not None and len(answer.presence) >= wanted.limit)
            ):
                continue
            answer.presence.append(self._event(user_id))

    def _event(self, user_id: str) -> bytes:
        presence = self._index.presence
        state, status_msg = presence.shown(user_id)
        content: dict[str, object] = {"presence": STATE_NAMES[state]}
        ago = presence.last_active_ago(user_id)
        if ago is not None:
            content["last_active_ago"] = ago
        if state == ONLINE:
            content["currently_active"] = True
        if status_msg is not None:
            content["status_msg"] = status_msg
        return orjson.dumps({"type": TYPE, "sender": user_id, "content": content})

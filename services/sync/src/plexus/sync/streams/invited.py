"""``rooms.invite`` and ``rooms.knock``: rooms the user is not in, shown by their stripped state.

Client-Server API, "Stripped state".
"""

from __future__ import annotations

import orjson
from plexus.protocol.format import stripped_state
from plexus.rooms import Place, Rooms, StoredEvent, Wanted
from plexus.sync.events import events_json
from plexus.sync.replica import Cut
from plexus.sync.replica.views import Membership
from plexus.sync.streams.context import Answer

STRIPPED_TYPES = frozenset(
    {
        "m.room.avatar",
        "m.room.canonical_alias",
        "m.room.create",
        "m.room.encryption",
        "m.room.join_rules",
        "m.room.member",
        "m.room.name",
        "m.room.topic",
    }
)


class InvitedStream:
    """No invites from ignored users ("Ignoring Users"), and none at all for who blocks invites ("Invite
    permission"). They are there again once the user thinks otherwise and syncs anew.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def add(self, answer: Answer, since: Cut | None) -> None:
        """Add the invites and knocks since a cut, or all of them."""
        others = answer.view.others.values() if since is None else answer.view.others_since(since)
        wanted = [
            membership
            for membership in others
            if membership.membership in (("knock",) if answer.rules.blocks_invites else ("invite", "knock"))
            and membership.position <= answer.cut.rooms[membership.ref.lane]
            and (since is None or membership.position > since.rooms[membership.ref.lane])
            and answer.filter.wants_room(membership.ref.room_id)
        ]
        for membership in wanted:
            stripped = await self.stripped(membership, answer.user_id, answer.rules.ignored)
            if stripped is None:
                continue
            state = events_json(stripped)
            if membership.membership == "invite":
                answer.invited[membership.ref.room_id] = b'{"invite_state":%b}' % state
            else:
                answer.knocked[membership.ref.room_id] = b'{"knock_state":%b}' % state

    async def stripped(
        self, membership: Membership, user_id: str, ignored: frozenset[str]
    ) -> list[bytes] | None:
        """The room as it was when the user was invited, with the user's member event and the inviter's. None
        if the inviter is ignored. Once the invite is no more, the user's member event alone.
        """
        own = await self.own_event(membership, user_id)
        senders = frozenset({user_id, *(event.sender for event in own)})
        if not ignored.isdisjoint(senders):
            return None
        if membership.membership in ("leave", "ban"):
            return [orjson.dumps(stripped_state(event.event)) for event in own]
        ref, snapshot = membership.ref, await self._snapshot(membership)
        state = await self._rooms.state_at(ref, snapshot, Wanted(types=STRIPPED_TYPES, members=senders))
        return [
            orjson.dumps(stripped_state(event.event))
            for (_, state_key), event in state.items()
            if event.type == "m.room.member" or state_key == ""
        ]

    async def own_event(self, membership: Membership, user_id: str) -> list[StoredEvent]:
        """The member event by which the user got this membership."""
        wanted = Wanted(types=frozenset({"m.room.member"}), members=frozenset({user_id}))
        state = await self._rooms.state_at(membership.ref, await self._snapshot(membership), wanted)
        return list(state.values())

    async def _snapshot(self, membership: Membership) -> int:
        snapshot = await self._rooms.snapshot_at(membership.ref, Place(membership.ordinal))
        if snapshot is None:
            raise LookupError(f"{membership.ref.room_id} has no event at {membership.ordinal}")
        return snapshot

"""What users who asked for erasure have said, to those who came later: redacted copies.

Who was joined when an event was sent keeps seeing it as it is, so members pay nothing: only where somebody is
shown events of a time at which they were not joined is anybody asked who is erased. Who that is comes through
a port. When the erasure came the room knows: an account that is closed leaves it. Who joined before that had
seen the event, and sees it still. The state of the room stays what it is, but for the member events in which
the erased user speaks of themselves.

Client-Server API, ``POST /account/deactivate``, ``erase``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4
from plexus.rooms.stored import StoredEvent
from plexus.rooms.values import Place, RoomRef
from plexus.rooms.visibility import NOW, Viewer

# Until when somebody was in the room. What came after, a ban say, tells nothing of the erasure.
_LEFT = """
SELECT q.i - 1, max(m.to_ordinal)
  FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[], %(users)s::text[])
       WITH ORDINALITY AS q (lane, room, user_id, i)
  JOIN rooms.membership m
    ON m.lane = q.lane AND m.room = q.room AND m.user_id = q.user_id AND m.membership = 1
 GROUP BY q.i
"""


_LEAVE = b'"membership":"leave"'
_KNOCK = b'"membership":"knock"'
_WORDLESS = b'"content":{"membership":"leave"}'


class ErasedUsers(Protocol):
    async def among(self, user_ids: Collection[str]) -> Collection[str]:
        """Those of these users whose events are erased."""
        ...


class NobodyErased:
    """All are as they were."""

    async def among(self, user_ids: Collection[str]) -> Collection[str]:
        return ()


class Said(Protocol):
    """What must be known of an event: a `StoredEvent` knows it."""

    @property
    def ref(self) -> RoomRef: ...
    @property
    def num(self) -> int: ...
    @property
    def ordinal(self) -> int | None: ...
    @property
    def sub(self) -> int: ...
    @property
    def type(self) -> str: ...
    @property
    def state_key(self) -> str | None: ...
    @property
    def sender(self) -> str: ...


class Erasure:
    def __init__(self, ground: Ground, users: ErasedUsers) -> None:
        self._ground = ground
        self._users = users

    async def withheld(
        self, eyes: Mapping[RoomRef, Viewer], events: Iterable[Said]
    ) -> set[tuple[RoomRef, int]]:
        """Those of these events, by room and num, of which a viewer is to see redacted copies."""
        late = [event for event in events if _is_own_word(event) and _came_later(eyes[event.ref], event)]
        if not late:
            return set()
        erased = await self._users.among({event.sender for event in late})
        late = [event for event in late if event.sender in erased]
        if not late:
            return set()
        left = await self._left({(event.ref, event.sender) for event in late})
        return {
            (event.ref, event.num)
            for event in late
            if not _had_seen(eyes[event.ref], event, left.get((event.ref, event.sender)))
        }

    async def among(self, user_ids: Collection[str]) -> Collection[str]:
        """Those of these users who have been erased: mostly nobody, and then nothing is withheld."""
        return await self._users.among(user_ids)

    async def _left(self, who: Collection[tuple[RoomRef, str]]) -> dict[tuple[RoomRef, str], int]:
        """The ordinals at which users were last made to leave rooms; nothing of who is still in one."""
        asked = list(who)
        params = {
            "lanes": int4([ref.lane for ref, _ in asked]),
            "rooms": int4([ref.room for ref, _ in asked]),
            "users": [user_id for _, user_id in asked],
        }
        async with self._ground.db.read() as session:
            rows = await session.fetch(_LEFT, params)
        return {asked[i]: ordinal for i, ordinal in rows if ordinal != NOW}

    async def shown(self, eyes: Mapping[RoomRef, Viewer], events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """These events, decorated before, as a viewer is to see them."""
        withheld = await self.withheld(eyes, events)
        if not withheld:
            return list(events)
        return [event.redacted() if (event.ref, event.num) in withheld else event for event in events]


def is_last_word(event: StoredEvent) -> bool:
    """Whether a member event in force is of somebody who has left and says more than that. Of erased users no
    other is withheld: who is shown the state in which somebody is joined has seen them there.
    """
    return (
        event.sender == event.state_key
        and event.type == "m.room.member"
        and (_LEAVE in event.raw or _KNOCK in event.raw)
        and _WORDLESS not in event.raw
    )


def _is_own_word(event: Said) -> bool:
    return event.state_key is None or (event.type == "m.room.member" and event.state_key == event.sender)


def _had_seen(eyes: Viewer, event: Said, left: int | None) -> bool:
    """Whether the viewer came between the event and the end of its sender."""
    if left is None or event.ordinal is None:
        return False
    return any(
        interval.membership == "join" and event.ordinal < interval.start < left
        for interval in eyes.memberships
    )


def _came_later(eyes: Viewer, event: Said) -> bool:
    return event.ordinal is not None and not eyes.at(Place(event.ordinal, event.sub)).joined

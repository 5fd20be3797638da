"""What users who asked for erasure have said, to those who came later: redacted copies.

Who was joined when an event was sent keeps seeing it as it is, so members pay nothing: only where somebody is
shown events of a time at which they were not joined is anybody asked who is erased. Who that is comes through
a port. The state of the room stays what it is, but for the member events in which the erased user speaks of
themselves.

Client-Server API, ``POST /account/deactivate``, ``erase``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from plexus.rooms.stored import StoredEvent
from plexus.rooms.values import Place, RoomRef
from plexus.rooms.visibility import Viewer


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
    def __init__(self, users: ErasedUsers) -> None:
        self._users = users

    async def withheld(
        self, eyes: Mapping[RoomRef, Viewer], events: Iterable[Said]
    ) -> set[tuple[RoomRef, int]]:
        """Those of these events, by room and num, of which a viewer is to see redacted copies."""
        late = [event for event in events if _is_own_word(event) and _came_later(eyes[event.ref], event)]
        if not late:
            return set()
        erased = await self._users.among({event.sender for event in late})
        return {(event.ref, event.num) for event in late if event.sender in erased}

    async def shown(self, eyes: Mapping[RoomRef, Viewer], events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """These events, decorated before, as a viewer is to see them."""
        withheld = await self.withheld(eyes, events)
        if not withheld:
            return list(events)
        return [event.redacted() if (event.ref, event.num) in withheld else event for event in events]


def _is_own_word(event: Said) -> bool:
    return event.state_key is None or (event.type == "m.room.member" and event.state_key == event.sender)


def _came_later(eyes: Viewer, event: Said) -> bool:
    return event.ordinal is not None and not eyes.at(Place(event.ordinal, event.sub)).joined

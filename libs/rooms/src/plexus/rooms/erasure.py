"""What users who asked for erasure have said, to those who came later: redacted copies.

Who was joined when an event was sent keeps seeing it as it is, so members pay nothing: only where somebody is
shown events of a time at which they were not joined is anybody asked who is erased. Who that is comes through
a port. When the erasure came the room knows: an account that is closed leaves it. Who joined before that had
seen the event, and sees it still. The state of the room stays what it is, but for the member events in which
the erased user speaks of themselves.

What is withheld from somebody is not told inside of another event either: as the content that this replaced,
or as the redaction that redacted it.

Client-Server API, ``POST /account/deactivate``, ``erase``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4, int8
from plexus.rooms.stored import MEMBER, Part, Saying, StoredEvent
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


# What state events replaced: by whom it was sent, and where.
_BEFORE = """
SELECT q.i - 1, p.num, p.ordinal, p.sub, p.sender
  FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[], %(nums)s::bigint[])
       WITH ORDINALITY AS q (lane, room, num, i)
  JOIN rooms.event e ON e.lane = q.lane AND e.room = q.room AND e.num = q.num
  JOIN rooms.event p ON p.lane = e.lane AND p.room = e.room AND p.num = e.replaces
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


class Told(Said, Protocol):
    """The same with what it tells of others: it has been decorated."""

    @property
    def words_before(self) -> str | None: ...
    @property
    def because(self) -> Saying | None: ...


class Withheld(dict[tuple[RoomRef, int], Part]):
    """What of some events a viewer is not to see, by room and num."""

    def shown(self, event: StoredEvent) -> StoredEvent:
        """The event, decorated, as the viewer is to see it."""
        parts = self.get((event.ref, event.num))
        return event if parts is None else event.without(parts)


class Erasure:
    def __init__(self, ground: Ground, users: ErasedUsers) -> None:
        self._ground = ground
        self._users = users

    async def withheld(self, eyes: Mapping[RoomRef, Viewer], events: Iterable[Told]) -> Withheld:
        """What of these events a viewer is not to see."""
        late: list[tuple[Told, Part, Said]] = []
        after: list[Told] = []
        for event in events:
            viewer = eyes[event.ref]
            is_late = _came_later(viewer, event)
            if is_late and _is_own_word(event):
                late.append((event, Part.WORDS, event))
            because = event.because
            if because is not None and _came_later(viewer, because):
                late.append((event, Part.BECAUSE, because))
            before = event.words_before
            # Who was there when somebody's stay ended had seen with what it began.
            if before is not None and (is_late or before != "join"):
                after.append(event)
        withheld = Withheld()
        if not late and not after:
            return withheld
        erased = await self._users.among({*(said.sender for _, _, said in late), *map(_subject, after)})
        late = [each for each in late if each[2].sender in erased]
        late += await self._replaced(eyes, [event for event in after if _subject(event) in erased])
        if not late:
            return withheld
        left = await self._left({(said.ref, said.sender) for _, _, said in late})
        for event, part, said in late:
            if not _had_seen(eyes[said.ref], said, left.get((said.ref, said.sender))):
                key = (event.ref, event.num)
                withheld[key] = withheld.get(key, Part(0)) | part
        return withheld

    async def _replaced(
        self, eyes: Mapping[RoomRef, Viewer], events: Sequence[Told]
    ) -> list[tuple[Told, Part, Said]]:
        """Those of these member events that replaced what their subjects said of themselves before the viewer
        came, and what that was.
        """
        if not events:
            return []
        params = {
            "lanes": int4([event.ref.lane for event in events]),
            "rooms": int4([event.ref.room for event in events]),
            "nums": int8([event.num for event in events]),
        }
        async with self._ground.db.read() as session:
            rows = await session.fetch(_BEFORE, params)
        found: list[tuple[Told, Part, Said]] = []
        for i, num, ordinal, sub, sender in rows:
            event = events[i]
            said = Saying(event.ref, num, ordinal, sub, event.type, event.state_key, sender)
            if _is_own_word(said) and _came_later(eyes[event.ref], said):
                found.append((event, Part.BEFORE, said))
        return found

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
        return [withheld.shown(event) for event in events] if withheld else list(events)


def speakers(event: Told) -> set[str]:
    """Whose words stand in an event, decorated."""
    because = event.because
    found = {event.sender} if because is None else {event.sender, because.sender}
    return found if event.words_before is None else {*found, _subject(event)}


def embeds(event: Told) -> bool:
    """Whether an event, decorated, tells what somebody has said before it or of it."""
    return event.because is not None or event.words_before is not None


def _subject(event: Told) -> str:
    """The user whom a member event is about."""
    return event.state_key or ""


def is_last_word(event: StoredEvent) -> bool:
    """Whether a member event in force is of somebody who has left and says more than that. Of erased users no
    other is withheld: who is shown the state in which somebody is joined has seen them there.
    """
    return (
        event.sender == event.state_key
        and event.type == MEMBER
        and (_LEAVE in event.raw or _KNOCK in event.raw)
        and _WORDLESS not in event.raw
    )


def _is_own_word(event: Said) -> bool:
    return event.state_key is None or (event.type == MEMBER and event.state_key == event.sender)


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

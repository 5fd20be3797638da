"""From the body of a fact to events: once per fact that somebody here wants, never for the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plexus.platform.lanes import Fact, RoomFact
from plexus.rooms import RoomRef, Rooms, StoredEvent, TimelineRange, Wanted, events_of, ref_in
from plexus.sync.events import SyncEvent
from plexus.sync.fragments.cache import RoomCache
from plexus.sync.replica.tail import BODY, DATA, POSITION, SUBJECT, TailFact
from plexus.sync.replica.views import Move

_MOST_REFS = 200_000
_MEMBERS = Wanted(types=frozenset({"m.room.member"}))


@dataclass(slots=True)
class _Decoded:
    events: Sequence[SyncEvent]
    size: int


class Bodies:
    """Decodes bodies, and keeps what was decoded last, within ``limit`` bytes."""

    def __init__(self, rooms: Rooms, limit: int) -> None:
        self._rooms = rooms
        self._decoded: RoomCache[_Decoded] = RoomCache(limit)
        self._refs: dict[str, RoomRef] = {}

    def know(self, refs: Iterable[RoomRef]) -> None:
        """Where these rooms are, so that their facts can be decoded."""
        if len(self._refs) > _MOST_REFS:
            self._refs.clear()
        self._refs.update((ref.room_id, ref) for ref in refs)

    def events(self, fact: TailFact) -> Sequence[SyncEvent] | None:
        """The events of a fact in their order; None if they must be read from the database."""
        key = (fact[SUBJECT], fact[POSITION])
        known = self._decoded.get(key)
        if known is not None:
            return known.events
        body, ref = fact[BODY], self._refs.get(fact[SUBJECT])
        if body is None or ref is None:
            return None
        events = [SyncEvent(stored) for stored in events_of(ref, body)]
        self._decoded.put(key, _Decoded(events, 200 + sum(event.size for event in events)))
        return events

    def is_ready(self, lane: int, fact: Fact) -> bool:
        """Whether the memberships that a fact moves, if any, can be told without reading."""
        if fact.kind != RoomFact.EVENTS:
            return True
        if fact.body is None or fact.data:
            return False
        return (
            b"m.room.member" not in fact.body
            or fact.subject in self._refs
            or self._learn(lane, fact.subject, fact.body)
        )

    @staticmethod
    def may_have_members(fact: TailFact) -> bool:
        """Whether the fact may move memberships: never False if it does."""
        body = fact[BODY]
        return body is None or bool(fact[DATA]) or b"m.room.member" in body

    async def prepare(self, facts: Sequence[Fact]) -> dict[int, list[SyncEvent | Move]]:
        """Read what is missing of facts that are not ready: where their rooms are, and the memberships that
        they move, which are returned by the position of the fact.

        Those of most facts without a body are their member events. Those of a forked room are what differs in
        its current state, whichever events the fact is of.
        """
        for room_id in {fact.subject for fact in facts if fact.subject not in self._refs}:
            ref = await self._rooms.ref(room_id)
            if ref is not None:
                self.know([ref])
        wanted = [fact for fact in facts if (fact.body is None or fact.data) and fact.subject in self._refs]
        pages = await self._rooms.timelines(
            [
                TimelineRange(self._refs[fact.subject], fact.lo - 1, fact.hi, fact.hi - fact.lo + 1)
                for fact in wanted
            ]
        )
        found: dict[int, list[SyncEvent | Move]] = {}
        forked: list[tuple[Fact, StoredEvent, StoredEvent]] = []
        for fact, page in zip(wanted, pages, strict=True):
            if fact.data and page.events:
                forked.append((fact, page.events[0], page.events[-1]))
            else:
                found[fact.position] = [
                    SyncEvent(event) for event in page.events if event.type == "m.room.member"
                ]
        if forked:
            diffs = await self._rooms.snapshot_diffs(
                [(first.ref, first.room_before, last.room_after, _MEMBERS) for _, first, last in forked]
            )
            for (fact, _, last), diff in zip(forked, diffs, strict=True):
                found[fact.position] = [
                    Move(last.ref, user_id, membership_of(event), last.place.ordinal)
                    for (_, user_id), event in diff.items()
                ]
        return found

    def know_again(self, lane: int, fact: TailFact) -> None:
        """Find out where the room of a fact is, if that is not known and its body says so."""
        body = fact[BODY]
        if body is not None and fact[SUBJECT] not in self._refs:
            self._learn(lane, fact[SUBJECT], body)

    def _learn(self, lane: int, room_id: str, body: bytes) -> bool:
        """Find out from a body where its room is; False if it does not say."""
        ref = ref_in(room_id, lane, body)
        if ref is None:
            return False
        self.know([ref])
        return True

    @property
    def bytes(self) -> int:
        """What the decoded events take."""
        return self._decoded.bytes

    def forget(self, room_id: str) -> None:
        self._decoded.forget(room_id)

    def clear(self) -> None:
        self._decoded.clear()
        self._refs.clear()


def membership_of(event: StoredEvent | None) -> str:
    """What a member event in force says; without one a user is not in the room."""
    membership = None if event is None else event.content.get("membership")
    return membership if isinstance(membership, str) else "leave"

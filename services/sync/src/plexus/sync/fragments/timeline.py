"""The timeline of a room's section: its newest events in a range of ordinals.

Within the tail nothing is read: facts are walked from the newest back until there are enough events, and only
those are decoded, with the first one of the range, which knows the state that the client has. Of what is left
out between, the member events are looked at: somebody may have come or gone.

Client-Server API, ``Timeline``; "Room History Visibility".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from plexus.rooms import Place, RoomRef, Rooms, StoredEvent, TimelineRange, Viewer, Wanted, Withheld
from plexus.sync.events import SyncEvent
from plexus.sync.filters import Shape
from plexus.sync.replica.bodies import Bodies
from plexus.sync.replica.tail import BODY, POSITION, TailFact


@dataclass(slots=True)
class Work:
    """A room's section to be made, of the events with after < ordinal <= upto.

    ``is_full``: with the whole state, not only what changed. ``viewer``: for this user only, who was not
    joined throughout; ``is_left``: who is not in the room any more, and is told no summary of it. ``facts``:
    the facts of the range if the tail holds all of them. ``begins_anew``: the client may have some of these
    events already, so the timeline does not continue what it has (``limited``). ``stands``: the ordinal up to
    which the client has a room that is told with the whole state, if it is known to have it.
    """

    ref: RoomRef
    after: int
    upto: int
    shape: Shape
    state_after: bool
    is_full: bool = False
    viewer: str | None = None
    begins_anew: bool = False
    stands: int | None = None
    facts: Sequence[TailFact] | None = None
    is_left: bool = False


@dataclass(slots=True)
class Timeline:
    """``before`` is the snapshot of the state after the event ``after``, None if the section is full;
    ``start`` and ``end`` are those around the timeline. ``is_whole`` says that every event of the range is in
    ``events`` and that each builds on the one before, so that these events are all that changed the state.
    ``moves`` are member events that were left out. ``may_mislead`` says that state events in it may have lost
    their force since: the room has forked, or newer ones of the same key are kept out.
    """

    events: list[SyncEvent]
    limited: bool
    prev_batch: Place
    before: int | None
    start: int
    end: int
    is_whole: bool
    memberships: list[str] | None = None
    moves: list[SyncEvent] = field(default_factory=list)
    may_mislead: bool = False

    @property
    def gone(self) -> frozenset[str]:
        """Who leaves in it: in the state before it they may still be there."""
        return frozenset(
            event.state_key
            for event in self.events
            if event.is_member and event.membership != "join" and event.state_key is not None
        )


class Timelines:
    def __init__(self, rooms: Rooms, bodies: Bodies) -> None:
        self._rooms = rooms
        self._bodies = bodies

    async def read(self, works: Sequence[Work]) -> list[Timeline]:
        """The timelines of these works, in their order. Those for one viewer are all for the same."""
        found: list[Timeline | None] = [self._from_tail(work) for work in works]
        rest = [index for index, line in enumerate(found) if line is None]
        if rest:
            lines = await self._from_database([works[index] for index in rest])
            for index, line in zip(rest, lines, strict=True):
                found[index] = line
        timelines = [line for line in found if line is not None]
        for work, line in zip(works, timelines, strict=True):
            line.limited |= work.begins_anew
        viewer = next((work.viewer for work in works if work.viewer is not None), None)
        eyes: Mapping[RoomRef, Viewer] = {}
        if viewer is not None:
            eyes = await self._rooms.viewers([w.ref for w in works if w.viewer is not None], viewer)
            for work, line in zip(works, timelines, strict=True):
                if work.viewer is not None:
                    _only_visible(eyes[work.ref], line)
        for work, line in zip(works, timelines, strict=True):
            if line.may_mislead and not work.state_after:
                await self._leave_out_misleading(work, line)
        if viewer is not None:
            await self._withhold(
                eyes, [line for work, line in zip(works, timelines, strict=True) if work.viewer is not None]
            )
        return timelines

    def _from_tail(self, work: Work) -> Timeline | None:
        """From the facts at hand; None if there are none, or if one has no body."""
        facts = work.facts
        if not facts or any(fact[BODY] is None for fact in facts):
            return None
        self._bodies.know((work.ref,))
        room_id, shape = work.ref.room_id, work.shape
        events: list[SyncEvent] = []
        everything: list[SyncEvent] = []
        limited = False
        cut_at = len(facts)
        wants_any = not shape.timeline.is_nothing
        while cut_at > 0 and not limited and wants_any:
            cut_at -= 1
            for event in reversed(self._events(facts[cut_at])):
                if shape.whole_timeline or shape.in_timeline(event, room_id):
                    if len(events) == shape.limit:
                        limited = True
                        break
                    events.append(event)
                everything.append(event)
        moves = [
            event
            for fact in facts[: cut_at + 1]
            if self._bodies.may_have_members(fact)
            for event in self._events(fact)
            if event.is_member
        ]
        events.reverse()
        everything.reverse()
        end = self._events(facts[-1])[-1].room_after
        return Timeline(
            events,
            limited,
            Place(events[0].ordinal).before if events else Place(work.upto),
            None if work.is_full else self._events(facts[0])[0].room_before,
            events[0].room_before if events else end,
            end,
            is_whole=len(events) == len(everything) and wants_any and not limited and _is_linear(events),
            moves=moves,
            may_mislead=any(event.is_beside for event in everything) or _hides_newer(events, everything),
        )

    def _events(self, fact: TailFact) -> Sequence[SyncEvent]:
        events = self._bodies.events(fact)
        if not events:
            raise LookupError(f"The fact at {fact[POSITION]} has no events")
        return events

    async def _from_database(self, works: Sequence[Work]) -> list[Timeline]:
        plain = [work for work in works if work.shape.whole_timeline]
        # The newest event knows the state at the end, also where none is to be shown.
        pages = (
            await self._rooms.timelines(
                [TimelineRange(work.ref, work.after, work.upto, max(work.shape.limit, 1)) for work in plain]
            )
            if plain
            else []
        )
        await self._rooms.decorate([event for page in pages for event in page.events])
        by_room = {work.ref: page for work, page in zip(plain, pages, strict=True)}
        timelines = []
        for work in works:
            page, end = by_room.get(work.ref), None
            if page is not None:
                stored, limited = page.events, page.limited
                end = stored[-1].room_after if stored else None
                if not work.shape.limit:
                    stored, limited = (), bool(stored)
            elif work.shape.timeline.is_nothing:
                stored, limited = (), False
            else:
                stored, limited = await self._filtered(work)
            timelines.append(await self._around(work, stored, limited, end, is_plain=page is not None))
        return timelines

    async def _filtered(self, work: Work) -> tuple[Sequence[StoredEvent], bool]:
        """The newest events that are wanted, oldest first, and whether there are more: or may be, where so
        few are wanted that not all have been looked at.
        """
        wanted, ignored, limit = work.shape.timeline, work.shape.ignored, work.shape.limit
        room_id = work.ref.room_id
        page = await self._rooms.timeline(
            room_id,
            start=Place(work.upto),
            end=Place(work.after),
            backwards=True,
            limit=limit + 1,
            event_filter=lambda event: (
                (event.state_key is not None or event.sender not in ignored)
                and wanted.matches(event.type, event.sender, room_id, event.content)
            ),
        )
        return page.events[:limit][::-1], page.end is not None

    async def _around(
        self, work: Work, stored: Sequence[StoredEvent], limited: bool, end: int | None, *, is_plain: bool
    ) -> Timeline:
        """A timeline with the snapshots before, at its start and at its ``end``, if that is not known yet."""
        events = [SyncEvent(event) for event in stored]
        if end is None:
            end = await self._snapshot(work.ref, work.upto)
        before = None
        if not work.is_full:
            if is_plain and events and not limited:
                before = events[0].room_before
            else:
                before = await self._snapshot(work.ref, work.after)
        return Timeline(
            events,
            limited,
            Place(events[0].ordinal).before if events else Place(work.upto),
            before,
            events[0].room_before if events else end,
            end,
            is_whole=is_plain and not limited and _is_linear(events),
            # Of what a filter has kept out nothing is known.
            may_mislead=not is_plain or any(event.is_beside for event in events),
        )

    async def _leave_out_misleading(self, work: Work, line: Timeline) -> None:
        """A client takes the state events of a timeline for what is in force. Where a resolution has decided
        for another one, or a newer one is kept out, the timeline begins after it: the state before it is told
        as ``state``, and what was left out is there to be asked for.

        With ``use_state_after`` clients do not do so.
        """
        newest = {event.key: at for at, event in enumerate(line.events) if event.key is not None}
        if not newest:
            return
        keys = [key for key in newest if key is not None]
        wanted = Wanted(
            types=frozenset(kind for kind, _ in keys),
            members=frozenset(key for kind, key in keys if kind == "m.room.member"),
        )
        [in_force] = await self._rooms.state_nums([(work.ref, line.end, wanted)])
        lost = [at for key, at in newest.items() if key and in_force.get(key) != line.events[at].ordinal]
        if not lost:
            return
        first = max(lost) + 1
        last_left_out = line.events[first - 1]
        line.moves += [event for event in line.events[:first] if event.is_member]
        line.events = line.events[first:]
        if line.memberships is not None:
            line.memberships = line.memberships[first:]
        line.limited = True
        line.is_whole = False
        line.start = last_left_out.room_after
        line.prev_batch = Place(last_left_out.ordinal)

    async def _withhold(self, eyes: Mapping[RoomRef, Viewer], lines: Sequence[Timeline]) -> None:
        """Instead of what erased users have said before the viewer came, redacted copies."""
        withheld = await self._rooms.withheld(eyes, [event for line in lines for event in line.events])
        await self.put_copies(lines, withheld)

    async def put_copies(self, lines: Sequence[Timeline], withheld: Withheld) -> None:
        """Instead of events of which something is withheld, what is to be seen of them."""
        if not withheld:
            return
        stored = await self._rooms.events([(ref, [num]) for ref, num in withheld])
        await self._rooms.decorate(stored.values())
        for line in lines:
            concerned = [event for event in line.events if (event.ref, event.num) in withheld]
            copies = {
                event.num: SyncEvent(withheld.shown(stored[event.ref, event.num])) for event in concerned
            }
            line.events = [copies.get(event.num, event) for event in line.events]

    async def _snapshot(self, ref: RoomRef, ordinal: int) -> int:
        snapshot = await self._rooms.snapshot_at(ref, Place(ordinal))
        if snapshot is None:
            raise LookupError(f"{ref.room_id} has no event at or before {ordinal}")
        return snapshot


def visible_to(eyes: Viewer, events: Sequence[SyncEvent]) -> list[tuple[SyncEvent, str]]:
    """The events that a viewer may see, with the membership they had then. Their own they always may."""
    found = [(event, eyes.at(Place(event.ordinal))) for event in events]
    return [
        (event, visibility.membership or "leave")
        for event, visibility in found
        if visibility.visible or (event.is_member and event.state_key == eyes.user_id)
    ]


def _only_visible(eyes: Viewer, line: Timeline) -> None:
    """Take out what the viewer may not see."""
    seen = visible_to(eyes, line.events)
    if len(seen) < len(line.events):
        everything, line.events = line.events, [event for event, _ in seen]
        line.is_whole = False
        line.limited = True
        line.may_mislead |= _hides_newer(line.events, everything)
        if line.events:
            line.start = line.events[0].room_before
            line.prev_batch = Place(line.events[0].ordinal).before
        else:
            line.start = line.end
    line.memberships = [membership for _, membership in seen]


def _hides_newer(shown: Sequence[SyncEvent], everything: Sequence[SyncEvent]) -> bool:
    """Whether a state event is shown, and a newer one of its key is not."""
    if len(shown) == len(everything):
        return False
    newest = {event.key: event for event in everything if event.key is not None}
    last = {event.key: event for event in shown if event.key is not None}
    return any(newest[key] is not event for key, event in last.items())


def _is_linear(events: Sequence[SyncEvent]) -> bool:
    return not any(event.is_beside for event in events) and all(
        a.room_after == b.room_before for a, b in pairwise(events)
    )

"""Making fragments, for many rooms at once.

1. The timeline: the newest events of the range, from the tail if all of it is there, else from the database,
   in one query for all rooms.
2. The state: for a full section the snapshot at the start of the timeline; otherwise what changed between the
   snapshot at the beginning of the range and that at the start of the timeline. Nothing needs to be read when
   the two are the same, as between messages. With ``state_after`` it is the end of the timeline that counts.
3. What the client cannot learn from timeline and state alone: state events that its filter kept out of the
   timeline.
4. What is told with the events of a timeline that is limited of those that relate to them (``relations``).
5. The summary, when somebody came or went.

Client-Server API, ``GET /sync``; "Lazy-loading room members".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from plexus.platform.clock import Clock
from plexus.protocol.filters import EventFilter
from plexus.rooms import (
    Place,
    RoomRef,
    Rooms,
    RoomSummary,
    StoredEvent,
    TimelineToken,
    Wanted,
    Withheld,
    embeds,
    is_last_word,
)
from plexus.sync.events import SyncEvent, embedded_in
from plexus.sync.filters import Shape
from plexus.sync.fragments.federation_form import pdus_of, read_pdus
from plexus.sync.fragments.fragment import HEROES, Fragment
from plexus.sync.fragments.members import MemberEvents, Question
from plexus.sync.fragments.relations import Bundles, read_bundles
from plexus.sync.fragments.timeline import Timeline, Timelines, Work, visible_to
from plexus.sync.replica.bodies import membership_of

_MOVES = Wanted(types=frozenset({"m.room.member", "m.room.encryption"}))
_MEMBERS = Wanted(types=frozenset({"m.room.member"}))
_ENCRYPTION = ("m.room.encryption", "")


@dataclass(slots=True)
class _Draft:
    """A fragment in the making. ``state`` is what was read for the state section: how it was before the
    timeline (or after it); ``kept_out`` what changed within the timeline and is not shown there. ``came`` and
    ``went`` are the users who did, unless the section is full. ``moved`` has the users whose member event has
    changed, for a filter that shows none; None if they are seen in the rest. ``encrypts`` says that the room
    has become encrypted, whatever the filter shows.
    """

    work: Work
    timeline: Timeline
    state: dict[tuple[str, str], StoredEvent] = field(default_factory=dict)
    kept_out: dict[tuple[str, str], StoredEvent] = field(default_factory=dict)
    came: set[str] = field(default_factory=set)
    went: set[str] = field(default_factory=set)
    moved: dict[str, str] | None = None
    encrypts: bool = False

    @property
    def tells_members(self) -> bool:
        return (
            self.work.is_full
            or bool(self.timeline.moves)
            or bool(self.moved)
            or any(key[0] == "m.room.member" for key in (*self.state, *self.kept_out))
            or any(event.is_member for event in self.timeline.events)
        ) and not self.work.is_left

    @property
    def last_words(self) -> dict[str, StoredEvent]:
        """Of a full section the member events that are withheld from who came later, should who sent them be
        erased. What changes while one is there is for all who are.
        """
        if not self.work.is_full:
            return {}
        gone = self.timeline.gone
        state = self.state | self.kept_out
        return {event.sender: event for event in state.values() if _is_last_word(event, gone)}

    @property
    def embedding(self) -> list[StoredEvent]:
        """Of a full section the events of the state that tell what others have said."""
        if not self.work.is_full:
            return []
        return [event for event in (self.state | self.kept_out).values() if embeds(event)]


class Builder:
    def __init__(self, rooms: Rooms, timelines: Timelines, members: MemberEvents, clock: Clock) -> None:
        self._rooms = rooms
        self._timelines = timelines
        self._members = members
        self._clock = clock

    async def build(self, works: Sequence[Work]) -> list[Fragment]:
        """The fragments of these works, in their order. Works that the tail can answer read nothing, unless
        state has changed in a gap or somebody came or went.
        """
        timelines = await self._timelines.read(works)
        drafts = [_Draft(work, timeline) for work, timeline in zip(works, timelines, strict=True)]
        await self._read_states(drafts)
        await self._withhold([draft for draft in drafts if draft.work.viewer is not None])
        await self._read_moves([draft for draft in drafts if not draft.work.is_full])
        bundles = await read_bundles(self._rooms, [(draft.work, draft.timeline) for draft in drafts])
        summaries = await self._summaries([draft for draft in drafts if draft.tells_members])
        fragments = [self._finish(draft, summaries, bundles) for draft in drafts]
        if any(work.shape.federation for work in works):
            await self._add_pdus(drafts, fragments)
        return fragments

    async def for_viewer(self, made: Sequence[tuple[Work, Fragment]], viewer: str) -> list[Fragment]:
        """These fragments, made for members, as one user sees them who came later than their first event.

        Mostly they see all of it, and only their membership at each event has to be said.
        """
        if not made:
            return []
        eyes = await self._rooms.viewers([work.ref for work, _ in made], viewer)
        withheld = await self._rooms.withheld(
            eyes, [said for _, fragment in made for said in (*fragment.told, *fragment.last_words.values())]
        )
        rooms_withheld = {ref for ref, _ in withheld}
        fragments = []
        for work, fragment in made:
            seen = visible_to(eyes[work.ref], fragment.events)
            if len(seen) == len(fragment.events) and work.ref not in rooms_withheld:
                fragments.append(fragment.with_memberships([membership for _, membership in seen]))
            else:
                fragments += await self.build([replace(work, viewer=viewer)])
        return fragments

    async def load_members(
        self, wanted: Sequence[tuple[Fragment, frozenset[str]]], shape: Shape, viewer: str
    ) -> list[Fragment]:
        """These fragments with the member events of these users. What the filter keeps out of the state stays
        out. Those with something that is withheld from the viewer are theirs alone.
        """
        missing = [(fragment, users.difference(fragment.members)) for fragment, users in wanted]
        missing = [(fragment, users) for fragment, users in missing if users]
        if missing:
            await self._load(missing, shape)
        last_words = [
            (index, event)
            for index, (fragment, users) in enumerate(wanted)
            if fragment.last_words
            for user, event in fragment.last_words.items()
            if user in users
        ]
        fragments = [fragment for fragment, _ in wanted]
        withheld = await self._rooms.withheld_from(viewer, [event for _, event in last_words])
        for index, event in last_words:
            if (event.ref, event.num) in withheld:
                fragments[index] = fragments[index].with_member(withheld.shown(event), self._clock.now_ms())
        return fragments

    async def _load(self, missing: Sequence[tuple[Fragment, frozenset[str]]], shape: Shape) -> None:
        found = await self._members.read(
            [(fragment.ref, fragment.snapshot, users) for fragment, users in missing]
        )
        now_ms = self._clock.now_ms()
        for (fragment, _), events in zip(missing, found, strict=True):
            for user, event in events.items():
                if event is not None and (_is_last_word(event, fragment.gone) or embeds(event)):
                    fragment.last_words[user] = event
                if fragment.pdus is not None and event is not None:
                    fragment.pdus[event.event_id] = event.raw
                fragment.members[user] = (
                    event.client_bytes(now_ms=now_ms, with_room_id=False)
                    if event is not None and _in_state(shape.state, event)
                    else None
                )

    async def _add_pdus(self, drafts: Sequence[_Draft], fragments: Sequence[Fragment]) -> None:
        lines = await read_pdus(self._rooms, [(fragment.ref, fragment.events) for fragment in fragments])
        for draft, fragment, pdus in zip(drafts, fragments, lines, strict=True):
            if draft.work.shape.federation:
                fragment.pdus = pdus | pdus_of((*draft.state.values(), *draft.kept_out.values()))
                fragment.size += sum(map(len, fragment.pdus.values()))

    async def _read_states(self, drafts: Sequence[_Draft]) -> None:
        """Fill ``state`` of each draft with as many queries as there are kinds of questions, not rooms,
        besides those that tell where lazy-loading clients stand.
        """
        full: list[tuple[_Draft, tuple[RoomRef, int, Wanted]]] = []
        changed: list[tuple[_Draft, tuple[RoomRef, int, int, Wanted]]] = []
        kept_out: list[tuple[_Draft, tuple[RoomRef, int, int, Wanted]]] = []
        hidden: list[tuple[_Draft, tuple[RoomRef, int, int, Wanted]]] = []
        for draft in drafts:
            work, line = draft.work, draft.timeline
            at = line.end if work.state_after else line.start
            if line.before is None:
                full.append((draft, (work.ref, at, _wanted(work.shape, full=True))))
                told = await self._told_upto(draft)
                if told is not None:
                    changed.append((draft, (work.ref, told, at, _MEMBERS)))
            elif line.before != at and not (work.state_after and line.is_whole):
                changed.append((draft, (work.ref, line.before, at, _wanted(work.shape))))
            if not work.state_after and not line.is_whole and line.start != line.end:
                kept_out.append((draft, (work.ref, line.start, line.end, _wanted(work.shape))))
            is_changed = line.before is not None and line.before != line.end
            if is_changed and not line.is_whole and not work.shape.shows_moves:
                assert line.before is not None
                hidden.append((draft, (work.ref, line.before, line.end, _MOVES)))
        if full:
            states = await self._rooms.states([question for _, question in full])
            for (draft, _), state in zip(full, states, strict=True):
                draft.state = state
        if changed:
            diffs = await self._rooms.snapshot_diffs([question for _, question in changed])
            for (draft, _), diff in zip(changed, diffs, strict=True):
                draft.state |= {key: event for key, event in diff.items() if event is not None}
        if kept_out:
            diffs = await self._rooms.snapshot_diffs([question for _, question in kept_out])
            for (draft, _), diff in zip(kept_out, diffs, strict=True):
                shown = {event.event_id for event in draft.timeline.events}
                draft.kept_out = {
                    key: event
                    for key, event in diff.items()
                    if event is not None and event.event_id not in shown
                }
                # That a resolution has taken an entry away cannot be told. So it is not told of before.
                draft.state = {
                    key: event for key, event in draft.state.items() if diff.get(key, event) is not None
                }
        if hidden:
            diffs = await self._rooms.snapshot_diffs([question for _, question in hidden])
            for (draft, _), diff in zip(hidden, diffs, strict=True):
                draft.encrypts = _ENCRYPTION in diff
                draft.moved = {
                    state_key: membership_of(event)
                    for (type_, state_key), event in diff.items()
                    if type_ == "m.room.member"
                }
        redacted = [
            event
            for draft in drafts
            for event in (*draft.state.values(), *draft.kept_out.values())
            if event.redacted_by is not None
        ]
        if redacted:
            await self._rooms.decorate(redacted)

    async def _told_upto(self, draft: _Draft) -> int | None:
        """The snapshot of the state that a lazy-loading client has of a room that is told with the whole
        state, if members that have changed since may be missing: those of a gap are told "regardless as to
        whether or not they are redundant".
        """
        work = draft.work
        is_abreast = work.stands == work.upto or (draft.timeline.is_whole and not work.state_after)
        if work.stands is None or is_abreast or not work.shape.loads_members:
            return None
        return await self._rooms.snapshot_at(work.ref, Place(work.stands))

    async def _read_moves(self, drafts: Sequence[_Draft]) -> None:
        """Note who came and who went. Who is invited now, or knocks, went if they were there before."""
        asked: list[tuple[_Draft, Question]] = []
        for draft in drafts:
            newest = _newest_memberships(draft)
            if not newest:
                continue
            draft.came = {user for user, membership in newest.items() if membership == "join"}
            draft.went = {user for user, membership in newest.items() if membership in ("leave", "ban")}
            unsure = frozenset(newest.keys() - draft.came - draft.went)
            if unsure and draft.timeline.before is not None:
                asked.append((draft, (draft.work.ref, draft.timeline.before, unsure)))
        if asked:
            found = await self._members.read([question for _, question in asked])
            for (draft, _), before in zip(asked, found, strict=True):
                draft.went |= {user for user, event in before.items() if membership_of(event) == "join"}

    async def _withhold(self, drafts: Sequence[_Draft]) -> None:
        """What erased users say of themselves in their member events is not for a viewer who came later."""
        own = [event for draft in drafts for event in (*draft.last_words.values(), *draft.embedding)]
        withheld = Withheld()
        for viewer in {draft.work.viewer or "" for draft in drafts}:
            withheld.update(await self._rooms.withheld_from(viewer, own))
        if not withheld:
            return
        for draft in drafts:
            for state in (draft.state, draft.kept_out):
                for key, event in state.items():
                    state[key] = withheld.shown(event)

    async def _summaries(self, drafts: Sequence[_Draft]) -> dict[RoomRef, RoomSummary]:
        """How many are in these rooms at the end of the range, whatever has happened since."""
        places = [(draft.work.ref, draft.work.upto, draft.timeline.end) for draft in drafts]
        found = await self._rooms.summaries(places, heroes=HEROES)
        return {ref: summary for (ref, _, _), summary in zip(places, found, strict=True)}

    def _finish(self, draft: _Draft, summaries: dict[RoomRef, RoomSummary], bundles: Bundles) -> Fragment:
        work, line, shape = draft.work, draft.timeline, draft.work.shape
        now_ms = self._clock.now_ms()
        room_id = work.ref.room_id
        state = [
            event.client_bytes(now_ms=now_ms, with_room_id=False)
            for event in (draft.state | draft.kept_out).values()
            if _in_state(shape.state, event)
        ]
        told = [*draft.state, *draft.kept_out]
        if work.state_after and line.is_whole and not work.is_full:
            newest = _newest_of_each(line.events)
            state += [event.state_json(now_ms) for event in newest.values() if shape.in_state(event, room_id)]
            told += newest
        encrypts = draft.encrypts or _ENCRYPTION in told or any(e.key == _ENCRYPTION for e in line.events)
        covered: frozenset[str] = frozenset()
        if shape.lazy:
            covered = frozenset(key for type_, key in told if type_ == "m.room.member")
        return Fragment(
            ref=work.ref,
            events=line.events,
            limited=line.limited,
            prev_batch=TimelineToken(line.prev_batch),
            state=state,
            snapshot=line.end if work.state_after else line.start,
            memberships=line.memberships,
            lazy=frozenset(e.sender for e in line.events) if shape.lazy else frozenset(),
            covered=covered,
            is_full=work.is_full,
            summary=summaries.get(work.ref) if draft.tells_members else None,
            joined=frozenset(draft.came),
            left=frozenset(draft.went),
            encrypts=encrypts and not work.is_full,
            event_fields=shape.event_fields,
            bundles=bundles.get(work.ref, {}),
            gone=line.gone if work.is_full else frozenset(),
            last_words=draft.last_words if work.viewer is None else {},
            embedding=draft.embedding if work.viewer is None else (),
            embedded=embedded_in((*line.events, *draft.embedding)) if work.viewer is None else {},
        )


def _is_last_word(event: StoredEvent, gone: Collection[str]) -> bool:
    """Whether a member event may be withheld from who came later; ``gone`` have left since this state."""
    return is_last_word(event) or (
        event.state_key in gone and event.sender == event.state_key and event.type == "m.room.member"
    )


def _wanted(shape: Shape, *, full: bool = False) -> Wanted:
    """What to read of a state. With lazy-loading no member of a full state: those needed are loaded by
    themselves.

    Patterns are left to the filter: then more is read than sent.
    """
    types, not_types = shape.state.types, shape.state.not_types
    return Wanted(
        types=None if types is None or _has_pattern(types) else types,
        not_types=frozenset() if _has_pattern(not_types) else not_types,
        members=frozenset() if full and shape.lazy else None,
    )


def _has_pattern(types: Iterable[str]) -> bool:
    return any("*" in type_ for type_ in types)


def _in_state(wanted: EventFilter, event: StoredEvent) -> bool:
    return wanted.is_everything or wanted.matches(event.type, event.sender, event.room_id, event.content)


def _newest_of_each(events: Iterable[SyncEvent]) -> dict[tuple[str, str], SyncEvent]:
    """The state events by key, without those that a later one replaces."""
    return {event.key: event for event in events if event.key is not None}


def _newest_memberships(draft: _Draft) -> dict[str, str]:
    """What those whose member event has changed are now."""
    newest = dict(draft.moved or {})
    if draft.moved is None:
        newest |= _memberships(draft.timeline.moves)
        newest |= _memberships_in(draft.state)
        newest |= _memberships(draft.timeline.events)
        newest |= _memberships_in(draft.kept_out)
    return newest


def _memberships(events: Iterable[SyncEvent]) -> dict[str, str]:
    return {
        event.state_key: event.membership or "leave"
        for event in events
        if event.is_member and event.state_key is not None
    }


def _memberships_in(state: Mapping[tuple[str, str], StoredEvent]) -> dict[str, str]:
    return {key[1]: membership_of(event) for key, event in state.items() if key[0] == "m.room.member"}

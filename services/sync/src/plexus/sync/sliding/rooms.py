"""What an answer tells of each room.

A room that the client does not have yet, or that the user came into since, is told anew (``initial``): its
newest events and all the state that is wanted. Otherwise it is told what has happened since. A config that
wants more than the room was sent with is answered at once: with a longer timeline the newest events again
(``expanded_timeline``), with more state that state.

The timelines are those of /v3/sync, from the tail if it reaches back so far. State is read from the snapshots
at their ends, in one query for all rooms.

It is one module of over 500 lines because all steps work on one draft of a room, which outlives no answer.

MSC4186, "Room results" and "Changing room configs".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orjson import Fragment
from plexus.platform.lanes import RoomFact
from plexus.protocol.filters import EventFilter, Filter, RoomFilter
from plexus.rooms import (
    Bundle,
    Place,
    RoomRef,
    Rooms,
    RoomSummary,
    StoredEvent,
    TimelineToken,
    Wanted,
    embeds,
    is_last_word,
)
from plexus.sync.events import SyncEvent, embedded_in
from plexus.sync.filters import Shape
from plexus.sync.fragments.bundled import with_bundles
from plexus.sync.fragments.relations import read_bundles
from plexus.sync.fragments.timeline import Timeline, Timelines, Work
from plexus.sync.replica import Cut, Replica
from plexus.sync.replica.sent_members import SentMembers
from plexus.sync.replica.tail import HI, KIND, LO
from plexus.sync.replica.views import holds_at
from plexus.sync.sliding.codecs import Codec
from plexus.sync.sliding.connections import LIVE, SentRoom, told_upto
from plexus.sync.sliding.lists import Match
from plexus.sync.sliding.models import RoomConfig
from plexus.sync.streams.invited import InvitedStream

BATCH = 100
"""Rooms that are told together: a wide range has thousands."""
HEROES = 5
MOST_STATES = 8
"""Kinds of ``required_state`` that are remembered of a room. With more, only the last."""
_EVENTS = int(RoomFact.EVENTS)
_NAMING = frozenset({"m.room.name", "m.room.avatar"})
_NAMES = [(type_, "") for type_ in sorted(_NAMING)]

State = dict[tuple[str, str], StoredEvent | None]


@dataclass(slots=True)
class Asked:
    """Who asks, and between which cuts: ``since`` is None at the beginning of a connection."""

    user_id: str
    device_id: str | None
    since: Cut | None
    cut: Cut
    now_ms: int
    ignored: frozenset[str]
    direct: frozenset[str]
    members: SentMembers
    codec: Codec


@dataclass(slots=True)
class Told:
    """The results so far. ``sent`` is with which config the client has each of these rooms from now on,
    ``initial`` those told anew with the events in their timelines, ``size`` the bytes of the events.
    """

    rooms: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: dict[str, RoomConfig] = field(default_factory=dict)
    initial: dict[str, frozenset[str]] = field(default_factory=dict)
    members: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    size: int = 0

    def printed(self, events: Iterable[bytes]) -> list[Fragment]:
        """Events as they go into a result."""
        found = []
        for event in events:
            self.size += len(event)
            found.append(Fragment(event))
        return found


@dataclass(slots=True)
class _Draft:
    """A room in the making. ``after`` is the ordinal up to which the client has it, None if it is told anew,
    and ``known`` with which config; ``expands`` that events are sent again, ``more`` that state is;
    ``is_live`` that nothing was held back. ``moved`` says that its state has changed, ``misses`` that it has
    so in what was wanted before and is not now.
    """

    match: Match
    work: Work
    after: int | None
    known: RoomConfig | None
    expands: bool
    more: RoomConfig | None
    is_live: bool
    line: Timeline = field(init=False)
    state: State = field(default_factory=dict)
    naming: State = field(default_factory=dict)
    bundles: Mapping[int, Bundle] = field(default_factory=dict)
    live: int = 0
    moved: bool = False
    misses: bool = False

    @property
    def is_initial(self) -> bool:
        return self.after is None

    @property
    def limited(self) -> bool:
        """Whether there are events between what the client has and the timeline."""
        return self.line.limited or (not self.work.shape.limit and self.work.upto > self.work.after)

    @property
    def may_be_redacted(self) -> bool:
        """Whether an event may have lost its content since the client was told."""
        return self.line.limited or any(event.type == "m.room.redaction" for event in self.line.events)

    @property
    def is_nameless(self) -> bool:
        """Whether the client is to know that the room has no name: it had one, or may have had."""
        return ("m.room.name", "") in self.naming and not _content(self, "m.room.name").get("name")

    @property
    def tells_something(self) -> bool:
        return bool(
            self.is_initial or self.expands or self.line.events or self.state or self.naming or self.limited
        )


class RoomResults:
    def __init__(
        self, replica: Replica, rooms: Rooms, timelines: Timelines, invited: InvitedStream, most_bytes: int
    ) -> None:
        self._most_bytes = most_bytes
        self._replica = replica
        self._rooms = rooms
        self._timelines = timelines
        self._invited = invited
        self._shapes: dict[tuple[int, frozenset[str]], Shape] = {}

    async def add(
        self, asked: Asked, told: Told, matches: Sequence[tuple[Match, SentRoom | None]]
    ) -> Sequence[str]:
        """Add what there is to tell of these rooms, which are wanted; nothing of those without news. Once
        that is large, the rest has to wait for the next answer: those rooms are returned.
        """
        for start in range(0, len(matches), BATCH):
            if told.size > self._most_bytes:
                return [match.entry.room_id for match, _ in matches[start:]]
            if start:
                # Others are not to wait for all of it.
                await asyncio.sleep(0)
            await self._add(asked, told, matches[start : start + BATCH])
        return ()

    async def _add(self, asked: Asked, told: Told, matches: Sequence[tuple[Match, SentRoom | None]]) -> None:
        drafts: list[_Draft] = []
        beyond: list[tuple[Match, SentRoom | None, int | None]] = []
        for match, sent in matches:
            membership = match.entry.membership
            if not holds_at(asked.cut, membership):
                continue
            if membership.membership != "join" and match.entry.left_at is None:
                await self._add_stripped(asked, told, match, sent)
                continue
            position = self._position(asked, match, sent)
            draft = self._from_tail(asked, match, sent, position)
            if draft is not None:
                drafts.append(draft)
            elif self._may_have_news(asked, match, sent, position):
                beyond.append((match, sent, position))
        drafts += await self._from_database(asked, beyond)
        if drafts:
            await self._read(asked, drafts)
            await self._finish(asked, told, drafts)

    def _position(self, asked: Asked, match: Match, sent: SentRoom | None) -> int | None:
        """The position up to which the client has the room; None if it is to be told anew: not known, or the
        user came into it since, or their membership has changed since they left.
        """
        if sent is None or asked.since is None:
            return None
        membership = match.entry.membership
        position = told_upto(sent, asked.since.rooms[membership.ref.lane])
        goes_on = membership.position <= position or match.entry.left_at == membership.ordinal
        return position if goes_on else None

    def _may_have_news(self, asked: Asked, match: Match, sent: SentRoom | None, position: int | None) -> bool:
        if sent is None or position is None or _more(match.config, sent.config) is not None:
            return True
        if match.config.timeline_limit > sent.config.timeline_limit:
            return True
        membership = match.entry.membership
        if membership.membership != "join":
            return membership.position > position
        lane = membership.ref.lane
        if position >= self._replica.rooms.lanes[lane].floor:
            return bool(self._facts(membership.ref, position, asked.cut.rooms[lane]))
        return match.entry.card.position > position

    def _from_tail(
        self, asked: Asked, match: Match, sent: SentRoom | None, position: int | None
    ) -> _Draft | None:
        """A room with nothing but news, all of which the tail has."""
        membership = match.entry.membership
        lane = membership.ref.lane
        if (
            sent is None
            or position is None
            or membership.membership != "join"
            or position < self._replica.rooms.lanes[lane].floor
            or match.config.timeline_limit > sent.config.timeline_limit
            or _more(match.config, sent.config) is not None
        ):
            return None
        facts = self._facts(membership.ref, position, asked.cut.rooms[lane])
        if not facts:
            return None
        shape = self._shape(match.config.timeline_limit, asked.ignored)
        work = Work(membership.ref, facts[0][LO] - 1, facts[-1][HI], shape, True, facts=facts)
        return _Draft(match, work, work.after, sent.config, False, None, sent.told == LIVE)

    def _facts(self, ref: RoomRef, after: int, upto: int) -> list[Any]:
        subject = self._replica.rooms.subjects.get(ref.room_id)
        return [] if subject is None else [f for f in subject.between(after, upto) if f[KIND] == _EVENTS]

    async def _from_database(
        self, asked: Asked, wanted: Sequence[tuple[Match, SentRoom | None, int | None]]
    ) -> list[_Draft]:
        """Rooms told anew or with more than before, and those beyond the tail."""
        if not wanted:
            return []
        refs = [match.entry.membership.ref for match, _, _ in wanted]
        gone = [ref for ref, (m, _, p) in zip(refs, wanted, strict=True) if p is None and m.entry.left_at]
        eyes = await self._rooms.viewers(gone, asked.user_id) if gone else {}
        heads = await self._rooms.heads(refs, asked.cut.rooms)
        places = [(ref, p) for ref, (_, _, p) in zip(refs, wanted, strict=True) if p is not None]
        ordinals = iter(await self._rooms.ordinals_at(places))
        drafts = []
        for ref, (match, sent, position) in zip(refs, wanted, strict=True):
            after = None if position is None else next(ordinals)
            membership = match.entry.membership
            if ref not in heads or (ref in eyes and eyes[ref].forgotten):
                continue
            upto = heads[ref].ordinal
            if membership.membership != "join":
                upto = match.entry.left_at or 0
                if after is not None:
                    # Who came in and left since has it from before they came.
                    after = min(after, upto) if after >= (match.entry.came_at or 0) else None
            config, told = match.config, None if sent is None or after is None else sent.config
            expands = told is not None and config.timeline_limit > told.timeline_limit
            more = None if told is None else _more(config, told)
            if told is not None and not expands and more is None and upto <= (after or 0):
                continue
            full = after is None or expands
            work = Work(
                ref,
                0 if full else after or 0,
                upto,
                self._shape(config.timeline_limit, asked.ignored),
                True,
                is_full=full,
                viewer=asked.user_id if full or membership.membership != "join" else None,
                is_left=membership.membership != "join",
            )
            drafts.append(_Draft(match, work, after, told, expands, more, is_live=False))
        return drafts

    def _shape(self, limit: int, ignored: frozenset[str]) -> Shape:
        key = (limit, ignored)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) > 1024:
                self._shapes.clear()
            # Without a timeline nothing is cut off of one: that there is a gap is the draft's to say.
            timeline = EventFilter(limit=limit) if limit else EventFilter(types=frozenset())
            shape = self._shapes[key] = Shape(Filter(room=RoomFilter(timeline=timeline)), ignored)
        return shape

    async def _read(self, asked: Asked, drafts: Sequence[_Draft]) -> None:
        """The timelines of these rooms, how many of their events are news, and their state."""
        lines = await self._timelines.read([draft.work for draft in drafts])
        for draft, line in zip(drafts, lines, strict=True):
            draft.line = line
        await self._count_live(asked, drafts)
        bundles = await read_bundles(self._rooms, [(draft.work, draft.line) for draft in drafts])
        for draft in drafts:
            draft.bundles = bundles.get(draft.work.ref, {})
        await self._read_states(drafts)
        await self._add_own(asked, drafts)
        await self._withhold(asked, drafts)
        await self._read_changes(drafts)
        redacted = [
            event for d in drafts for event in d.state.values() if event is not None and event.redacted_by
        ]
        if redacted:
            await self._rooms.decorate(redacted)
        await self._withhold_embedded(asked, drafts)

    async def _count_live(self, asked: Asked, drafts: Sequence[_Draft]) -> None:
        """How many events of each timeline have come since the client's token."""
        if asked.since is None:
            return
        unsure = []
        for draft in drafts:
            if draft.work.facts is not None and draft.is_live:
                draft.live = len(draft.line.events)
            else:
                unsure.append(draft)
        refs = [draft.work.ref for draft in unsure]
        ordinals = await self._rooms.ordinals_at([(ref, asked.since.rooms[ref.lane]) for ref in refs])
        for draft, ordinal in zip(unsure, ordinals, strict=True):
            if ordinal is not None:
                draft.live = sum(event.ordinal > ordinal for event in draft.line.events)

    async def _read_states(self, drafts: Sequence[_Draft]) -> None:
        """All that is wanted of rooms told anew, and of the others what was not wanted before."""
        full = [draft for draft in drafts if draft.is_initial]
        # A redaction takes a name away, and no state changes.
        named = [draft for draft in drafts if draft.is_initial or draft.may_be_redacted]
        more = [(draft, draft.more) for draft in drafts if draft.more is not None]
        states = iter(
            await self._rooms.states(
                [(d.work.ref, d.line.end, _wanted(d.match.config)) for d in full]
                + [(d.work.ref, d.line.end, Wanted(types=_NAMING)) for d in named]
                + [(d.work.ref, d.line.end, _wanted(config)) for d, config in more]
            )
        )
        for draft in full:
            draft.state |= _of(draft.match.config, next(states))
        for draft in named:
            draft.naming |= {} if draft.is_initial else dict.fromkeys(_NAMES)
            draft.naming |= next(states)
        for draft, config in more:
            draft.state |= _of(config, next(states))

    async def _add_own(self, asked: Asked, drafts: Sequence[_Draft]) -> None:
        """Who was banned or unbanned after they had left, or declined another invite, is told so by their
        member event alone: the rest is of when they left. The accepted form says it besides.
        """
        for draft in drafts:
            entry, own = draft.match.entry, ("m.room.member", asked.user_id)
            if entry.left_at in (None, entry.membership.ordinal):
                continue
            if own in draft.state or (draft.is_initial and not asked.codec.is_stable):
                for event in await self._invited.own_event(entry.membership, asked.user_id):
                    draft.state[own] = event

    async def _withhold(self, asked: Asked, drafts: Sequence[_Draft]) -> None:
        """What erased users say of themselves in their member events is not for who came later. What changes
        while one is there is.
        """
        own = [e for d in drafts for e in d.state.values() if e is not None and is_last_word(e)]
        withheld = await self._rooms.withheld_from(asked.user_id, own)
        if not withheld:
            return
        for draft in drafts:
            for key, event in draft.state.items():
                if event is not None:
                    draft.state[key] = withheld.shown(event)

    async def _withhold_embedded(self, asked: Asked, drafts: Sequence[_Draft]) -> None:
        """What erased users said before a member came is told neither in the redaction of an event nor as
        what a membership replaced. Mostly there is no such event.
        """
        concerned: list[tuple[_Draft, list[SyncEvent | StoredEvent]]] = []
        for draft in drafts:
            state = [event for event in draft.state.values() if event is not None]
            events: list[SyncEvent | StoredEvent] = [*draft.line.events, *state]
            found = embedded_in(events)
            there = draft.match.entry.membership.ordinal
            if any(since < there for since in found.values()):
                concerned.append((draft, [event for event in events if embeds(event)]))
        if not concerned:
            return
        told = [event for _, events in concerned for event in events]
        withheld = await self._rooms.withheld_from(asked.user_id, told)
        await self._timelines.put_copies([draft.line for draft, _ in concerned], withheld)
        for draft, _ in concerned if withheld else ():
            for key, event in draft.state.items():
                if event is not None:
                    draft.state[key] = withheld.shown(event)

    async def _read_changes(self, drafts: Sequence[_Draft]) -> None:
        """What of the state has changed in the other rooms; None is what is there no more."""
        changed: list[tuple[_Draft, int, Wanted]] = []
        for draft in drafts:
            if draft.after is None:
                continue
            before = draft.line.before
            if before is None:
                before = await self._rooms.snapshot_at(draft.work.ref, Place(draft.after))
            if before is None or before == draft.line.end:
                continue
            draft.moved = True
            # After a gap a lazy-loading client is told no members: it forgets those it knows.
            skips = draft.match.config.lazy and draft.line.limited
            members = _wanted(draft.match.config).members if skips else None
            changed.append((draft, before, Wanted(members=members)))
        diffs = await self._rooms.snapshot_diffs(
            [(draft.work.ref, before, draft.line.end, wanted) for draft, before, wanted in changed]
        )
        for (draft, _, _), diff in zip(changed, diffs, strict=True):
            config, known = draft.match.config, draft.known
            lazily = config.lazy and not draft.line.limited
            # After a gap the members are not among the changes: some may have been, for all that is known.
            draft.misses = known is not None and config.lazy and not lazily and not known.lazy
            for key, event in diff.items():
                if config.wants(*key) or (lazily and key[0] == "m.room.member"):
                    draft.state[key] = event
                elif known is not None and known.wants(*key):
                    draft.misses = True
                if key[0] in _NAMING:
                    draft.naming[key] = event

    async def _finish(self, asked: Asked, told: Told, drafts: Sequence[_Draft]) -> None:
        told.sent |= {draft.work.ref.room_id: _knows(draft) for draft in drafts}
        drafts = [draft for draft in drafts if draft.tells_something]
        summaries = await self._summaries(
            [draft for draft in drafts if draft.is_initial or draft.moved or draft.is_nameless]
        )
        # Once: by the time they are read the client may have something else, if it asks again meanwhile.
        lazily = [self._lazy(asked, draft) for draft in drafts]
        needed = [
            (draft.work.ref, draft.line.end, lazy | self._hero_ids(asked, draft, summaries))
            for draft, lazy in zip(drafts, lazily, strict=True)
        ]
        members = [dict(known) for known in await self._replica.members.read(needed)]
        await self._withhold_members(asked, members)
        for draft, lazy, known in zip(drafts, lazily, members, strict=True):
            room_id = draft.work.ref.room_id
            for user in lazy:
                if (event := known.get(user)) is not None:
                    draft.state.setdefault(("m.room.member", user), event)
            summary = summaries.get(draft.work.ref)
            heroes = [_hero(user, known.get(user)) for user in self._heroes(asked, draft, summary)]
            told.rooms[room_id] = self._result(asked, told, draft, summary, heroes)
            if lazy:
                told.members.append((room_id, lazy))
            if draft.is_initial:
                told.initial[room_id] = frozenset(event.event_id for event in draft.line.events)

    async def _withhold_members(self, asked: Asked, members: Sequence[dict[str, StoredEvent | None]]) -> None:
        """The same of who comes with what they have sent, and of who stands for a room without a name."""
        loaded = [event for known in members for event in known.values() if event is not None]
        own = [event for event in loaded if is_last_word(event) or embeds(event)]
        withheld = await self._rooms.withheld_from(asked.user_id, own)
        for known in members if withheld else ():
            for user, event in known.items():
                if event is not None:
                    known[user] = withheld.shown(event)

    async def _summaries(self, drafts: Sequence[_Draft]) -> dict[RoomRef, RoomSummary]:
        places = [(draft.work.ref, draft.work.upto, draft.line.end) for draft in drafts]
        found = await self._rooms.summaries(places, heroes=HEROES)
        return {ref: summary for (ref, _, _), summary in zip(places, found, strict=True)}

    def _lazy(self, asked: Asked, draft: _Draft) -> frozenset[str]:
        """The users whose member events come with what they have sent."""
        # "Clients must flush any 'membership' cache when `limited` is true", whatever else they ask for.
        anew = draft.is_initial or draft.limited
        if anew:
            asked.members.forget(draft.work.ref.room_id)
        if not draft.match.config.lazy:
            return frozenset()
        users = {event.sender for event in draft.line.events}
        users |= {event.state_key for event in draft.line.events if event.is_member and event.state_key}
        users -= {key for kind, key in draft.state if kind == "m.room.member"}
        if anew:
            return frozenset(users)
        return asked.members.unknown(draft.work.ref.room_id, users)

    def _heroes(self, asked: Asked, draft: _Draft, summary: RoomSummary | None) -> Sequence[str]:
        """Who stands for a room without a name."""
        if summary is None or draft.match.entry.card.name or _content(draft, "m.room.name").get("name"):
            return ()
        return summary.heroes(asked.user_id, HEROES)

    def _hero_ids(
        self, asked: Asked, draft: _Draft, summaries: Mapping[RoomRef, RoomSummary]
    ) -> frozenset[str]:
        return frozenset(self._heroes(asked, draft, summaries.get(draft.work.ref)))

    def _result(
        self,
        asked: Asked,
        told: Told,
        draft: _Draft,
        summary: RoomSummary | None,
        heroes: list[dict[str, Any]],
    ) -> dict[str, Any]:
        line, entry, codec = draft.line, draft.match.entry, asked.codec
        room_id = entry.room_id
        result: dict[str, Any] = {"bump_stamp": entry.card.bump_ts}
        if draft.is_initial:
            result["initial"] = True
        if codec.is_stable:
            result["membership"] = entry.membership.membership
            if draft.match.lists:
                result["lists"] = draft.match.lists
        for type_, name, key in (("m.room.name", "name", "name"), ("m.room.avatar", "avatar", "url")):
            if (type_, "") in draft.naming:
                value = _content(draft, type_).get(key)
                value = value if isinstance(value, str) and value else None
                if value is not None or (codec.is_stable and not draft.is_initial):
                    result[name] = value
        if heroes:
            result["heroes"] = heroes
        if draft.is_initial and room_id in asked.direct:
            result["is_dm"] = True
        if summary is not None:
            result |= {"joined_count": summary.joined, "invited_count": summary.invited}
        result["timeline"] = told.printed(_printed(asked, draft))
        result["prev_batch"] = TimelineToken(line.prev_batch).encode()
        result["limited"] = draft.limited
        result["num_live"] = draft.live
        if draft.expands:
            result[codec.expanded_timeline] = True
        there = [event for event in draft.state.values() if event is not None]
        gone = [key for key, event in draft.state.items() if event is None] if codec.is_stable else []
        state: list[Any] = [{"type": type_, "state_key": state_key} for type_, state_key in gone]
        state += told.printed(event.client_bytes(now_ms=asked.now_ms, with_room_id=False) for event in there)
        if state or draft.is_initial:
            result["required_state"] = state
        return result

    async def _add_stripped(self, asked: Asked, told: Told, match: Match, sent: SentRoom | None) -> None:
        """A room that the user has never been in: its stripped state when they are invited or knock, and how
        that ended for who was told of it.
        """
        membership, stable = match.entry.membership, asked.codec.is_stable
        room_id, ended = membership.ref.room_id, membership.membership in ("leave", "ban")
        if sent is None or asked.since is None:
            if ended:
                return
        elif membership.position <= told_upto(sent, asked.since.rooms[membership.ref.lane]):
            return
        result: dict[str, Any] = {"initial": True, "bump_stamp": match.entry.card.bump_ts}
        if ended and not stable:
            own = await self._invited.own_event(membership, asked.user_id)
            result["required_state"] = told.printed(
                event.client_bytes(now_ms=asked.now_ms, with_room_id=False) for event in own
            )
        else:
            stripped = await self._invited.stripped(membership, asked.user_id, asked.ignored)
            if stripped is None:
                return
            knocked = membership.membership == "knock" and not stable
            name = "knock_state" if knocked else asked.codec.stripped_state
            result[name] = told.printed(stripped)
        if stable:
            result["membership"] = membership.membership
            if match.lists:
                result["lists"] = match.lists
        elif room_id in asked.direct:
            result["is_dm"] = True
        told.rooms[room_id] = result
        told.sent[room_id] = match.config


def _printed(asked: Asked, draft: _Draft) -> list[bytes]:
    line = draft.line
    events = [
        event.json(
            asked.now_ms,
            b"join" if line.memberships is None else line.memberships[index].encode(),
            event.txn_name(asked.user_id, asked.device_id),
        )
        for index, event in enumerate(line.events)
    ]
    if not draft.bundles:
        return events
    return with_bundles(events, line.events, draft.bundles, asked.user_id, asked.device_id, asked.now_ms)


def _more(config: RoomConfig, before: RoomConfig) -> RoomConfig | None:
    """What of the state a config wants that the one before did not."""
    required = config.required - before.required
    return RoomConfig(0, required) if any(each.include for each in required) else None


def _knows(draft: _Draft) -> RoomConfig:
    """With which config the client has a room, once it is told: the widest there was, as far as nothing has
    happened since in what was wanted then and is not now.
    """
    config, known = draft.match.config, draft.known
    if known is None:
        return config
    has_all = not (draft.limited or draft.expands)
    required = config.required if draft.misses else config.required | known.required
    return RoomConfig(
        max(config.timeline_limit, known.timeline_limit) if has_all else config.timeline_limit,
        required if len(required) <= MOST_STATES else config.required,
    )


def _wanted(config: RoomConfig) -> Wanted:
    """What to read of a state: never less than is wanted."""
    elements = config.elements
    types = (
        None
        if any(each.type is None for each in elements)
        else frozenset(each.type or "" for each in elements)
    )
    named = [each for each in elements if each.type in (None, "m.room.member")]
    if config.wants_many_members:
        return Wanted(types=types)
    return Wanted(
        types=types, members=frozenset(each.state_key for each in named if each.state_key is not None)
    )


def _of(config: RoomConfig, state: Mapping[tuple[str, str], StoredEvent]) -> State:
    return {key: event for key, event in state.items() if config.wants(*key)}


def _content(draft: _Draft, type_: str) -> dict[str, Any]:
    event = draft.naming.get((type_, ""))
    return {} if event is None else event.content


def _hero(user_id: str, event: StoredEvent | None) -> dict[str, Any]:
    hero: dict[str, Any] = {"user_id": user_id}
    content = {} if event is None else event.content
    for key in ("displayname", "avatar_url"):
        if isinstance(content.get(key), str):
            hero[key] = content[key]
    return hero

"""The worker "user_directory": it follows all lanes and keeps who can be found, by what name.

A fact only says of whom or what to look again: users and rooms are written as they are now. So the order in
which lanes come does not matter, and nothing is lost by doing a step twice.

Users of ours have the name of their profile, never one that they have in some room only. Of others the name
is that of their newest membership.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from plexus.client_api.search.words import fold, vector
from plexus.client_api.user_directory import queries
from plexus.client_api.user_directory.queries import Changes, Entry
from plexus.platform.context import Platform
from plexus.platform.lanes import ROOM, USER, Fact, RoomFact, UserFact
from plexus.platform.lanes.cursors import FactsOfLanes, LaneWorker, Step
from plexus.platform.lanes.order import LaneKey
from plexus.rooms import RoomRef, Rooms, StoredEvent, events_of_facts
from plexus.users import Users

WORKER = "user_directory"
FAMILIES = (ROOM, USER)
EVERY = 0.5
CHUNK = 500
_MEMBER = "m.room.member"
_OPENNESS = ("m.room.join_rules", "m.room.history_visibility")
_TYPES = (_MEMBER, *_OPENNESS)

Names = Mapping[str, tuple[str | None, str | None]]


class Indexing:
    """`LaneWork` of the worker."""

    def __init__(self, platform: Platform, rooms: Rooms, users: Users) -> None:
        self._platform = platform
        self._rooms = rooms
        self._users = users

    async def matters(self, facts: FactsOfLanes) -> Collection[LaneKey]:
        return await matters(self._rooms, facts)

    async def apply(self, steps: Sequence[Step]) -> bool:
        for step in steps:
            if not await self._apply(step):
                return False
        return True

    async def _apply(self, step: Step) -> bool:
        if step.family == USER:
            changed = {fact.subject for fact in step.facts if _is_of_interest(fact.kind, fact.data)}
            return await self._write(step, changed, {}, step.end)
        return await self._take(step, await _events(self._rooms, {step.key: step.facts}), step.end)

    async def catch_up(self, step: Step) -> bool:
        """Go through all events, or all accounts, of the lane."""
        if step.family == USER:
            after = ""
            while user_ids := await self._users.accounts_of_lane(step.lane, after, CHUNK):
                if not await self._write(step, user_ids, {}, None):
                    return False
                after = user_ids[-1]
        else:
            at = (0, 0)
            while events := await self._rooms.events_of_lane(step.lane, _TYPES, after=at, limit=CHUNK):
                if not await self._take(step, events, None):
                    return False
                at = (events[-1].ref.room, events[-1].num)
        return await queries.index(self._platform.db, step, step.end, Changes())

    async def _take(self, step: Step, events: Sequence[StoredEvent], end: int | None) -> bool:
        """What these events of rooms of the lane change."""
        of_rooms = {event.ref for event in events if event.type in _OPENNESS and event.state_key == ""}
        was_open = await queries.open_rooms(self._platform.db, {(ref.lane, ref.room) for ref in of_rooms})
        turned: list[tuple[int, bool]] = []
        changed: dict[str, None] = {}
        for ref in of_rooms:
            is_open = await self._is_open(ref)
            if is_open != ((ref.lane, ref.room) in was_open):
                turned.append((ref.room, is_open))
                changed |= dict.fromkeys(await self._rooms.member_ids(ref))
        names: dict[str, tuple[str | None, str | None]] = {}
        for event in events:
            if event.type == _MEMBER and event.state_key is not None:
                changed[event.state_key] = None
                if event.content.get("membership") == "join":
                    names[event.state_key] = (
                        _text(event.content.get("displayname")),
                        _text(event.content.get("avatar_url")),
                    )
        # The rooms first: by them it is seen who is public.
        if turned and not await queries.index(self._platform.db, step, None, Changes(rooms=turned)):
            return False
        return await self._write(step, changed, names, end)

    async def _write(self, step: Step, user_ids: Iterable[str], names: Names, end: int | None) -> bool:
        wanted = list(user_ids)
        for start in range(0, len(wanted), CHUNK):
            changes = await self._changes(wanted[start : start + CHUNK], names)
            if not await queries.index(self._platform.db, step, None, changes):
                return False
        return end is None or await queries.index(self._platform.db, step, end, Changes())

    async def _changes(self, user_ids: Sequence[str], names: Names) -> Changes:
        joined = await self._rooms.joined_by(user_ids)
        rooms = set[tuple[int, int]]().union(*joined.values())
        are_open = await queries.open_rooms(self._platform.db, rooms)
        ours = [user_id for user_id in user_ids if self._users.is_local(user_id)]
        profiles = await self._users.listed(ours)
        lanes = [self._users.lane(user_id) for user_id in user_ids]
        known = await queries.names(self._platform.db, lanes, user_ids)
        changes = Changes()
        for lane, user_id in zip(lanes, user_ids, strict=True):
            if self._users.is_local(user_id):
                profile = profiles.get(user_id)
                is_listed = profile is not None
                name = (_of(profile, "displayname"), _of(profile, "avatar_url"))
            else:
                is_listed = bool(joined[user_id])
                name = names.get(user_id) or known.get(user_id) or (None, None)
            if is_listed:
                changes.entries.append(_entry(lane, user_id, name, not are_open.isdisjoint(joined[user_id])))
            else:
                changes.gone.append((lane, user_id))
        return changes

    async def _is_open(self, ref: RoomRef) -> bool:
        """Whether anybody may join the room, or read in it."""
        rules = await self._rooms.state_event(ref.room_id, "m.room.join_rules", "")
        if rules is not None and rules.content.get("join_rule") == "public":
            return True
        visibility = await self._rooms.state_event(ref.room_id, "m.room.history_visibility", "")
        return visibility is not None and visibility.content.get("history_visibility") == "world_readable"


async def matters(rooms: Rooms, facts: FactsOfLanes) -> Collection[LaneKey]:
    """The lanes whose facts may change who can be found: mostly what happens are messages."""
    found: set[LaneKey] = {
        key
        for key, of_lane in facts.items()
        if key[0] == USER and any(_is_of_interest(fact.kind, fact.data) for fact in of_lane)
    }
    of_rooms = {key: of_lane for key, of_lane in facts.items() if key[0] == ROOM}
    return found | {(ROOM, event.ref.lane) for event in await _events(rooms, of_rooms)}


async def _events(rooms: Rooms, facts: FactsOfLanes) -> list[StoredEvent]:
    """The events of room lanes that may change something: those that ride along, others are read."""
    events: list[StoredEvent] = []
    bare: list[Fact] = []
    for (_, lane), of_lane in facts.items():
        of_events = (fact for fact in of_lane if fact.kind == RoomFact.EVENTS)
        found, without = events_of_facts(lane, of_events, _TYPES)
        events += found
        bare += without
    refs = await rooms.refs(fact.subject for fact in bare) if bare else {}
    ranges = [(refs[fact.subject], fact.lo, fact.hi) for fact in bare if fact.subject in refs]
    return [*events, *(await rooms.events_in(ranges, _TYPES) if ranges else ())]


def _is_of_interest(kind: int, data: bytes) -> bool:
    # A lock is told as a revocation for all devices.
    return kind in (UserFact.PROFILE, UserFact.DEACTIVATED) or (kind == UserFact.REVOKED and not data)


def _entry(lane: int, user_id: str, name: tuple[str | None, str | None], is_public: bool) -> Entry:
    display_name, avatar_url = name
    localpart = user_id[1:].partition(":")[0]
    folded_name = None if display_name is None else fold(display_name).strip()
    words = vector(f"{localpart} {display_name or ''}")
    return Entry(lane, user_id, display_name, avatar_url, fold(user_id), folded_name, words, is_public)


def _of(profile: Mapping[str, Any] | None, field: str) -> str | None:
    return None if profile is None else _text(profile.get(field))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value and "\0" not in value else None


def directory_worker(platform: Platform, rooms: Rooms, users: Users, *, every: float = EVERY) -> LaneWorker:
    return LaneWorker(platform, WORKER, FAMILIES, Indexing(platform, rooms, users), every=every)

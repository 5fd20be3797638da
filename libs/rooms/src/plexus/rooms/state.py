"""Reading states: of many rooms at once, in as many queries as for one.

1. The ways of all snapshots to their checkpoints, in one recursive query.
2. If not everything is wanted: the numbers of the state keys that are, so that nothing else is looked at.
3. The pages of the checkpoints in which those keys are, bisected in place.
4. The events.

So lazy-loading three members of a room of 50,000 reads three keys and at most three pages of 12 kB. Mostly it
is lazy-loaded from the state in force, which is there entry by entry: then it is one query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from plexus.rooms.events import EventReader
from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4
from plexus.rooms.snapshots import EMPTY, State, compare, pages_to_compare, unpack
from plexus.rooms.stored import StoredEvent, with_columns
from plexus.rooms.values import RoomRef, Wanted

StateKey = tuple[str, str]
Request = tuple[RoomRef, int, Wanted]
MembersOf = tuple[RoomRef, int, frozenset[str]]
"""A room, a snapshot of it, and users."""

_MEMBER = "m.room.member"
_ONLY_MEMBERS = frozenset({_MEMBER})

# LIMIT and OFFSET keep the planner from joining whole tables: each look-up is to be one descent of an index.
_WAYS = """
WITH RECURSIVE way AS (
    SELECT q.i, s.lane, s.room, s.parent, s.step, s.delta, s.pages
      FROM unnest(%s::smallint[], %s::integer[], %s::integer[]) WITH ORDINALITY AS q (lane, room, snap, i)
     CROSS JOIN LATERAL (SELECT * FROM rooms.snapshot s
                          WHERE s.lane = q.lane AND s.room = q.room AND s.snap = q.snap LIMIT 1) AS s
    UNION ALL
    SELECT w.i, s.lane, s.room, s.parent, s.step, s.delta, s.pages
      FROM way w
     CROSS JOIN LATERAL (SELECT * FROM rooms.snapshot s
                          WHERE s.lane = w.lane AND s.room = w.room AND s.snap = w.parent LIMIT 1) AS s
)
SELECT i - 1, step, delta, pages FROM way ORDER BY i, step
"""

_PAGES = """
SELECT q.i - 1, p.page, p.entries
  FROM unnest(%s::smallint[], %s::integer[], %s::integer[]) WITH ORDINALITY AS q (lane, room, page, i)
 CROSS JOIN LATERAL (SELECT page, entries FROM rooms.page p
                      WHERE p.lane = q.lane AND p.room = q.room AND p.page = q.page LIMIT 1) AS p
"""

# The keys of some types and some members: three ways into one index, so that the other members are not
# walked.
_KEYS = """
SELECT q.i - 1, k.num, k.type, k.state_key
  FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[], %(los)s::integer[], %(his)s::integer[])
       WITH ORDINALITY AS q (lane, room, lo, hi, i)
 CROSS JOIN LATERAL (
    SELECT num, type, state_key FROM rooms.state_key k
     WHERE k.lane = q.lane AND k.room = q.room AND %(all)s AND k.type < 'm.room.member'
    UNION ALL
    SELECT num, type, state_key FROM rooms.state_key k
     WHERE k.lane = q.lane AND k.room = q.room AND %(all)s AND k.type > 'm.room.member'
    UNION ALL
    SELECT num, type, state_key FROM rooms.state_key k
     WHERE k.lane = q.lane AND k.room = q.room AND k.type = ANY (%(types)s::text[])
    UNION ALL
    SELECT num, type, state_key FROM rooms.state_key k
     WHERE k.lane = q.lane AND k.room = q.room AND k.type = 'm.room.member'
       AND k.state_key = ANY ((%(members)s::text[])[q.lo : q.hi])
 ) AS k
"""

_KEYS_BY_NUM = """
SELECT q.i - 1, k.num, k.type, k.state_key
  FROM unnest(%s::smallint[], %s::integer[], %s::integer[], %s::integer[])
       WITH ORDINALITY AS q (lane, room, lo, hi, i)
 CROSS JOIN LATERAL (SELECT num, type, state_key FROM rooms.state_key k
                      WHERE k.lane = q.lane AND k.room = q.room
                        AND k.num = ANY ((%s::integer[])[q.lo : q.hi]) OFFSET 0) AS k
"""

# A row for each member and, if a room has none of them, one with nothing; no row of a room that has moved on.
# Who is asked for in a small room may come twice.
_MEMBERS_IN_FORCE = with_columns("""
SELECT q.i - 1, {columns}
  FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[], %(snaps)s::integer[], %(los)s::integer[],
              %(his)s::integer[]) WITH ORDINALITY AS q (lane, room, snap, lo, hi, i)
 CROSS JOIN LATERAL (SELECT r.joined_members <= %(small)s AS is_small FROM rooms.room r
                      WHERE r.lane = q.lane AND r.room = q.room AND r.snapshot = q.snap LIMIT 1) AS r
  LEFT JOIN LATERAL (
    SELECT e.* FROM (
        SELECT c.num FROM rooms.current_state c
         WHERE c.lane = q.lane AND c.room = q.room AND c.type = 'm.room.member'
           AND c.state_key = ANY ((%(members)s::text[])[q.lo : q.hi])
        UNION ALL
        SELECT m.num FROM rooms.membership m
         WHERE r.is_small AND m.lane = q.lane AND m.room = q.room AND m.membership <= 2
           AND m.membership = 1 AND m.to_ordinal = 9223372036854775807) AS c
     CROSS JOIN LATERAL (SELECT * FROM rooms.event e
                          WHERE e.lane = q.lane AND e.room = q.room AND e.num = c.num LIMIT 1) AS e
    OFFSET 0) AS e ON true
""")

PageKey = tuple[RoomRef, int]


class StateReader:
    def __init__(self, ground: Ground, events: EventReader) -> None:
        self._ground = ground
        self._events = events

    async def states(self, requests: Sequence[Request]) -> list[dict[StateKey, StoredEvent]]:
        """The states of these snapshots, as far as wanted. Nothing is read where they are all empty, as they
        are at the beginning of a timeline that is told whole.
        """
        if all(snapshot == EMPTY for _, snapshot, _ in requests):
            return [{} for _ in requests]
        if all(_is_of_members(wanted) for _, _, wanted in requests):
            return await self._of_members(requests)
        return await self._states_at(requests)

    async def members(self, requests: Sequence[MembersOf], *, small: int) -> list[dict[str, StoredEvent]]:
        """The member events of these users at these snapshots, by user. Of a room of at most ``small``
        members whose snapshot is in force, those of all who are in it: where one has spoken others will.
        """
        states = await self._of_members(
            [(ref, snap, Wanted(types=_ONLY_MEMBERS, members=users)) for ref, snap, users in requests], small
        )
        return [{user: event for (_, user), event in state.items()} for state in states]

    async def _states_at(self, requests: Sequence[Request]) -> list[dict[StateKey, StoredEvent]]:
        nums = await self._nums(requests)
        events = await self._events.by_nums(
            [(ref, found) for (ref, _, _), found in zip(requests, nums, strict=True)]
        )
        answer: list[dict[StateKey, StoredEvent]] = []
        for (ref, _, wanted), found in zip(requests, nums, strict=True):
            let_through = filter_of(wanted)
            state = (events[ref, num] for num in found)
            answer.append({event.key: event for event in state if let_through(*event.key)})
        return answer

    async def state_nums(self, requests: Sequence[Request]) -> list[dict[StateKey, int]]:
        """The same, giving the numbers of the events."""
        found = await self._states([(ref, snap) for ref, snap, _ in requests])
        narrow = await self._wanted_keys(requests)
        pages = await self._pages_of(requests, found, narrow)
        entries: list[dict[int, int]] = []
        for (ref, _, _), state, keys in zip(requests, found, narrow, strict=True):
            entries.append(_entries(ref, state, keys, pages))
        names = await self._names([(ref, list(e)) for (ref, _, _), e in zip(requests, entries, strict=True)])
        answer = []
        for (_, _, wanted), nums, named in zip(requests, entries, names, strict=True):
            let_through = filter_of(wanted)
            answer.append({named[key]: num for key, num in nums.items() if let_through(*named[key])})
        return answer

    async def diffs(
        self, pairs: Sequence[tuple[RoomRef, int, int, Wanted]]
    ) -> list[dict[StateKey, StoredEvent | None]]:
        """What differs from one snapshot to another of the same room; None for what is gone."""
        found = await self._states(
            [(ref, old) for ref, old, _, _ in pairs] + [(ref, new) for ref, _, new, _ in pairs]
        )
        olds, news = found[: len(pairs)], found[len(pairs) :]
        needed: set[PageKey] = set()
        for (ref, *_), old, new in zip(pairs, olds, news, strict=True):
            needed.update((ref, page) for page in pages_to_compare(old, new))
        pages = await self._pages(needed)
        changes = [
            compare(old, new, _of(pages, ref)) for (ref, *_), old, new in zip(pairs, olds, news, strict=True)
        ]
        names = await self._names([(ref, list(c)) for (ref, *_), c in zip(pairs, changes, strict=True)])
        kept: list[dict[StateKey, int | None]] = []
        for (_, _, _, wanted), change, named in zip(pairs, changes, names, strict=True):
            let_through = filter_of(wanted)
            kept.append({named[key]: new for key, (_, new) in change.items() if let_through(*named[key])})
        events = await self._events.by_nums(
            [
                (ref, [num for num in k.values() if num is not None])
                for (ref, *_), k in zip(pairs, kept, strict=True)
            ]
        )
        return [
            {key: None if num is None else events[ref, num] for key, num in k.items()}
            for (ref, *_), k in zip(pairs, kept, strict=True)
        ]

    # --- steps

    async def _of_members(
        self, requests: Sequence[Request], small: int = 0
    ) -> list[dict[StateKey, StoredEvent]]:
        in_force = await self._members_in_force(requests, small)
        others = [request for request, state in zip(requests, in_force, strict=True) if state is None]
        earlier = iter(await self._states_at(others) if others else ())
        return [next(earlier) if state is None else state for state in in_force]

    async def _members_in_force(
        self, requests: Sequence[Request], small: int
    ) -> list[dict[StateKey, StoredEvent] | None]:
        """The wanted member events of the snapshots that are in force, of small rooms all; None for the
        others.
        """
        members: list[str] = []
        los, his = [], []
        for _, _, wanted in requests:
            los.append(len(members) + 1)
            members += wanted.members or ()
            his.append(len(members))
        async with self._ground.db.read() as session:
            rows = await session.fetch(
                _MEMBERS_IN_FORCE,
                {
                    "lanes": int4([ref.lane for ref, _, _ in requests]),
                    "rooms": int4([ref.room for ref, _, _ in requests]),
                    "snaps": int4([snapshot for _, snapshot, _ in requests]),
                    "los": int4(los),
                    "his": int4(his),
                    "members": members,
                    "small": small,
                },
            )
        answer: list[dict[StateKey, StoredEvent] | None] = [None] * len(requests)
        for i, *row in rows:
            state = answer[i]
            if state is None:
                state = answer[i] = {}
            if row[0] is not None:
                event = StoredEvent.of_row(requests[i][0], row)
                state[event.key] = event
        return answer

    async def _nums(self, requests: Sequence[Request]) -> list[list[int]]:
        """The numbers of the events, without the names of their keys: the events have those."""
        found = await self._states([(ref, snap) for ref, snap, _ in requests])
        narrow = await self._wanted_keys(requests)
        pages = await self._pages_of(requests, found, narrow)
        return [
            list(_entries(ref, state, keys, pages).values())
            for (ref, _, _), state, keys in zip(requests, found, narrow, strict=True)
        ]

    async def _states(self, snapshots: Sequence[tuple[RoomRef, int]]) -> list[State]:
        distinct = list(dict.fromkeys(snapshots))
        if not distinct:
            return []
        async with self._ground.db.read() as session:
            rows = await session.fetch(
                _WAYS,
                (
                    int4([ref.lane for ref, _ in distinct]),
                    int4([ref.room for ref, _ in distinct]),
                    int4([snap for _, snap in distinct]),
                ),
            )
        indexes = [b""] * len(distinct)
        changes: list[dict[int, int]] = [{} for _ in distinct]
        for i, step, delta, index in rows:
            if step == 0:
                indexes[i] = bytes(index)
            else:
                changes[i].update(unpack(bytes(delta)))
        made = {key: State(indexes[i], changes[i]) for i, key in enumerate(distinct)}
        return [made[key] for key in snapshots]

    async def _wanted_keys(self, requests: Sequence[Request]) -> list[list[int] | None]:
        """For each request the numbers of the keys that can be in its answer; None: all there are."""
        answer: list[list[int] | None] = [None] * len(requests)
        shapes: dict[tuple[frozenset[str] | None, bool], list[int]] = {}
        for i, (_, _, wanted) in enumerate(requests):
            if wanted.types is not None or wanted.members is not None:
                shapes.setdefault((wanted.types, wanted.members is None), []).append(i)
        for (types, all_members), indexes in shapes.items():
            for i in indexes:
                answer[i] = []
            los, his = [], []
            members: list[str] = []
            for i in indexes:
                los.append(len(members) + 1)
                only = requests[i][2].members
                if only is not None and (types is None or _MEMBER in types):
                    members += sorted(only)
                his.append(len(members))
            plain = set() if types is None else set(types)
            if not all_members:
                plain.discard(_MEMBER)
            async with self._ground.db.read() as session:
                rows = await session.fetch(
                    _KEYS,
                    {
                        "lanes": int4([requests[i][0].lane for i in indexes]),
                        "rooms": int4([requests[i][0].room for i in indexes]),
                        "los": int4(los),
                        "his": int4(his),
                        "all": types is None,
                        "types": sorted(plain),
                        "members": members,
                    },
                )
            for at, num, _, _ in rows:
                keys = answer[indexes[at]]
                if keys is not None:
                    keys.append(num)
        return answer

    async def _pages_of(
        self, requests: Sequence[Request], states: Sequence[State], narrow: Sequence[list[int] | None]
    ) -> dict[PageKey, bytes]:
        needed: set[PageKey] = set()
        for (ref, _, _), state, keys in zip(requests, states, narrow, strict=True):
            pages = state.pages if keys is None else state.pages_for(keys)
            needed.update((ref, page) for page in pages)
        return await self._pages(needed)

    async def _pages(self, wanted: Iterable[PageKey]) -> dict[PageKey, bytes]:
        keys = list(wanted)
        if not keys:
            return {}
        async with self._ground.db.read() as session:
            rows = await session.fetch(
                _PAGES,
                (
                    int4([ref.lane for ref, _ in keys]),
                    int4([ref.room for ref, _ in keys]),
                    int4([page for _, page in keys]),
                ),
            )
        return {keys[i]: bytes(entries) for i, _, entries in rows}

    async def _names(self, wanted: Sequence[tuple[RoomRef, Sequence[int]]]) -> list[dict[int, StateKey]]:
        """The (type, state key) of numbers of keys."""
        nums: list[int] = []
        los, his = [], []
        for _, keys in wanted:
            los.append(len(nums) + 1)
            nums += keys
            his.append(len(nums))
        answer: list[dict[int, StateKey]] = [{} for _ in wanted]
        if not nums:
            return answer
        async with self._ground.db.read() as session:
            rows = await session.fetch(
                _KEYS_BY_NUM,
                (
                    int4([ref.lane for ref, _ in wanted]),
                    int4([ref.room for ref, _ in wanted]),
                    int4(los),
                    int4(his),
                    int4(nums),
                ),
            )
        for i, num, kind, state_key in rows:
            answer[i][num] = (kind, state_key)
        return answer


def _is_of_members(wanted: Wanted) -> bool:
    return wanted.types == _ONLY_MEMBERS and wanted.members is not None and not wanted.not_types


def filter_of(wanted: Wanted) -> Callable[[str, str], bool]:
    """Whether an entry is wanted, by type and state key."""

    def let_through(type: str, state_key: str) -> bool:
        return (
            (wanted.types is None or type in wanted.types)
            and type not in wanted.not_types
            and (type != _MEMBER or wanted.members is None or state_key in wanted.members)
        )

    return let_through


def _of(pages: Mapping[PageKey, bytes], ref: RoomRef) -> dict[int, bytes]:
    return {page: data for (of, page), data in pages.items() if of == ref}


def _entries(
    ref: RoomRef, state: State, keys: Sequence[int] | None, pages: Mapping[PageKey, bytes]
) -> dict[int, int]:
    own = {page: pages[ref, page] for page in (state.pages if keys is None else state.pages_for(keys))}
    if keys is None:
        return state.entries(own)
    return {key: event for key in keys if (event := state.find(key, own)) is not None}

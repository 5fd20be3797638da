"""What is read of one room to place an event in it, or to resolve its states.

Only what never changes is read, so it does not matter when: snapshots and their pages, the numbers of state
keys and events, the events themselves, who cites whom. What has been read is kept for as long as this object
is, so asking twice costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from plexus.platform.postgres import ReadSession
from plexus.protocol.events import Event
from plexus.protocol.room_versions import RoomVersion
from plexus.rooms.head import StateKey
from plexus.rooms.packing import int4, int8
from plexus.rooms.reading_head import read_pages
from plexus.rooms.snapshots import EMPTY, Chain, Node, compare, hash_bytes, pages_to_compare, unpack
from plexus.rooms.values import RoomRef
from plexus.rooms.variants import Variant
from plexus.rooms.writes import PLAIN, Flags

_CHAINS = """
WITH RECURSIVE way AS (
    SELECT q.i, s.* FROM unnest(%(snaps)s::integer[]) WITH ORDINALITY AS q (snap, i)
     CROSS JOIN LATERAL (SELECT * FROM rooms.snapshot s
                          WHERE s.lane = %(lane)s::smallint AND s.room = %(room)s::integer AND s.snap = q.snap
                          LIMIT 1) AS s
    UNION ALL
    SELECT w.i, s.* FROM way w
     CROSS JOIN LATERAL (SELECT * FROM rooms.snapshot s
                          WHERE s.lane = w.lane AND s.room = w.room AND s.snap = w.parent LIMIT 1) AS s
)
SELECT i - 1, snap, step, hash, delta, pages FROM way ORDER BY i, step
"""

_KEYS = """
SELECT k.type, k.state_key, k.num
  FROM unnest(%(types)s::text[], %(keys)s::text[]) AS q (type, state_key)
  JOIN rooms.state_key k ON k.lane = %(lane)s::smallint AND k.room = %(room)s::integer
                        AND k.type = q.type AND k.state_key = q.state_key
"""

_NAMES = """
SELECT num, type, state_key FROM rooms.state_key
 WHERE lane = %s::smallint AND room = %s::integer AND num = ANY (%s::integer[])
"""

_IDS = """
SELECT num, event_id FROM rooms.event
 WHERE lane = %s::smallint AND room = %s::integer AND num = ANY (%s::bigint[])
"""

_NUMS = """
SELECT num, event_id FROM rooms.event
 WHERE lane = %s::smallint AND room = %s::integer AND event_id = ANY (%s::text[])
"""

_HASH = "SELECT snap FROM rooms.snapshot WHERE lane = %s::smallint AND room = %s::integer AND hash = %s"

# Events by ID, with what they cite, and what that cites: most of what is asked for next.
_EVENTS = """
WITH RECURSIVE cited (num, level) AS (
    SELECT num, 0 FROM rooms.event
     WHERE lane = %(lane)s::smallint AND room = %(room)s::integer AND event_id = ANY (%(ids)s::text[])
    UNION
    SELECT a.num, c.level + 1 FROM cited c
     CROSS JOIN LATERAL (SELECT unnest(e.auth) AS num FROM rooms.event e
                          WHERE e.lane = %(lane)s::smallint AND e.room = %(room)s::integer
                            AND e.num = c.num) AS a
     WHERE c.level < %(levels)s::integer
)
SELECT e.num, e.event_id, e.flags, e.raw
  FROM (SELECT DISTINCT num FROM cited EXCEPT SELECT unnest(%(known)s::bigint[])) AS c
 CROSS JOIN LATERAL (SELECT * FROM rooms.event e
                      WHERE e.lane = %(lane)s::smallint AND e.room = %(room)s::integer AND e.num = c.num
                      LIMIT 1) AS e
"""

_CITED_BY = """
WITH RECURSIVE chain (num) AS (
    SELECT unnest(%(roots)s::bigint[])
    UNION
    SELECT a.num FROM chain c
     CROSS JOIN LATERAL (SELECT unnest(e.auth) AS num FROM rooms.event e
                          WHERE e.lane = %(lane)s::smallint AND e.room = %(room)s::integer
                            AND e.num = c.num) AS a
     WHERE a.num >= %(floor)s::bigint
)
SELECT num FROM chain WHERE num = ANY (%(wanted)s::bigint[])
"""

PENDING = 2**62
"""As the number of an event that is not stored yet: greater than that of any that is."""


@dataclass(frozen=True, slots=True)
class Known:
    """An event with its number in the room."""

    num: int
    event: Event
    flags: Flags = PLAIN


class RoomReads:
    """``pending`` is the event that is to be placed, if it may be part of the states asked about."""

    def __init__(self, ref: RoomRef, version: RoomVersion, pending: Event | None = None) -> None:
        self.ref = ref
        self.version = version
        self.pending = pending
        self.pages: dict[int, bytes] = {}
        self.key_nums: dict[StateKey, int | None] = {}
        self.events: dict[str, Known] = {}
        self.nums: dict[str, int] = {}
        self._names: dict[int, StateKey] = {}
        self._ids: dict[int, str] = {}
        self._chains: dict[int, Chain] = {EMPTY: Chain(EMPTY, b"", (), 0)}
        if pending is not None:
            self.events[pending.event_id] = Known(PENDING, pending)
            self.nums[pending.event_id] = PENDING

    def copy(self) -> RoomReads:
        """The same, to go on from. Whoever numbers what is not stored yet (`SnapshotStore`) notes the numbers
        here, and they hold only if his write does.
        """
        other = RoomReads(self.ref, self.version, self.pending)
        for name in ("pages", "key_nums", "events", "nums", "_names", "_ids", "_chains"):
            setattr(other, name, dict(getattr(self, name)))
        return other

    def chain(self, snap: int) -> Chain:
        """The way to a snapshot that was read."""
        return self._chains[snap]

    async def read_chains(self, session: ReadSession, snaps: Iterable[int]) -> None:
        wanted = [snap for snap in dict.fromkeys(snaps) if snap not in self._chains]
        if not wanted:
            return
        rows = await session.fetch(
            _CHAINS, {"snaps": int4(wanted), "lane": self.ref.lane, "room": self.ref.room}
        )
        bases: dict[int, tuple[int, bytes]] = {}
        nodes: dict[int, list[Node]] = {}
        hashes: dict[int, int] = {}
        for i, snap, step, value, delta, index in rows:
            if step == 0:
                bases[i] = (snap, bytes(index))
            else:
                nodes.setdefault(i, []).append(Node(snap, step, dict(unpack(bytes(delta)))))
            hashes[i] = int.from_bytes(bytes(value), "big")
        for i, snap in enumerate(wanted):
            if i not in hashes:
                raise LookupError(f"room {self.ref.room} of lane {self.ref.lane} has no snapshot {snap}")
            base, pages = bases.get(i, (EMPTY, b""))
            self._chains[snap] = Chain(base, pages, tuple(nodes.get(i, ())), hashes[i])

    async def read_pages(self, session: ReadSession, pages: Iterable[int]) -> None:
        wanted = [page for page in pages if page not in self.pages]
        if wanted:
            self.pages.update(await read_pages(session, self.ref, wanted))

    async def read_keys(self, session: ReadSession, keys: Iterable[StateKey]) -> None:
        """The numbers of state keys; None in ``key_nums`` for one that has none."""
        wanted = [key for key in keys if key not in self.key_nums]
        if not wanted:
            return
        self.key_nums.update(dict.fromkeys(wanted))
        storable = [key for key in wanted if "\0" not in key[0] + key[1]]
        rows = await session.fetch(
            _KEYS,
            {
                "types": [key[0] for key in storable],
                "keys": [key[1] for key in storable],
                "lane": self.ref.lane,
                "room": self.ref.room,
            },
        )
        for kind, state_key, num in rows:
            self.key_nums[kind, state_key] = num
            self._names[num] = (kind, state_key)

    async def read_events(self, session: ReadSession, event_ids: Iterable[str], levels: int = 0) -> None:
        """Events by ID, with what they cite as far as ``levels`` down. What is not there is left out."""
        wanted = [event_id for event_id in event_ids if event_id not in self.events]
        if not wanted:
            return
        rows = await session.fetch(
            _EVENTS,
            {
                "lane": self.ref.lane,
                "room": self.ref.room,
                "ids": wanted,
                "levels": levels,
                "known": int8([known.num for known in self.events.values()]),
            },
        )
        for num, event_id, flags, raw in rows:
            event = Event.from_raw(self.version, bytes(raw), event_id)
            self.events[event_id] = Known(num, event, Flags(flags))
            self._name(num, event_id)

    async def values(
        self, session: ReadSession, state: Variant, keys: Collection[StateKey]
    ) -> dict[StateKey, str | None]:
        """The entries of a state at these places, as event IDs, of which the numbers are known then."""
        await self.read_chains(session, [state.base])
        await self._read_nums(session, state.changes.values())
        found = await self._values(session, state.base, [key for key in keys if key not in state.changes])
        return {key: state.changes[key] if key in state.changes else found[key] for key in keys}

    async def differing(
        self, session: ReadSession, states: Sequence[Variant]
    ) -> dict[StateKey, list[str | None]]:
        """The places at which these states are not all the same, with the event IDs in each of them.

        Snapshots are compared by what they do not share, never as a whole.
        """
        bases = list(dict.fromkeys(state.base for state in states))
        await self.read_chains(session, bases)
        await self._read_nums(session, {each for state in states for each in state.changes.values()})
        first, *others = [self._chains[base].state for base in bases]
        await self.read_pages(session, {page for other in others for page in pages_to_compare(first, other)})
        nums = {key for other in others for key in compare(first, other, self.pages)}
        await self._read_names(session, nums)
        keys = {self._names[num] for num in nums}.union(*(state.changes for state in states))
        by_base = {base: await self._values(session, base, keys) for base in bases}
        table: dict[StateKey, list[str | None]] = {}
        for key in keys:
            found = [
                state.changes[key] if key in state.changes else by_base[state.base][key] for state in states
            ]
            if any(event_id != found[0] for event_id in found):
                table[key] = found
        return table

    async def find_hash(self, session: ReadSession, value: int) -> int | None:
        """The snapshot of this hash, if there is one."""
        if value == 0:
            return EMPTY
        known = next((chain.snap for chain in self._chains.values() if chain.hash == value), None)
        if known is not None:
            return known
        row = await session.one(_HASH, (self.ref.lane, self.ref.room, hash_bytes(value)))
        return None if row is None else int(row[0])

    async def cited_by_others(
        self, session: ReadSession, base: int, without: Collection[StateKey], event_ids: Collection[str]
    ) -> set[str]:
        """Those of these events that are in the auth chain of any entry of a snapshot, but for the entries
        ``without``. The one question that looks at a whole state.
        """
        await self.read_chains(session, [base])
        await self.read_keys(session, without)
        state = self._chains[base].state
        await self.read_pages(session, state.pages)
        entries = state.entries(self.pages)
        for key in without:
            num = self.key_nums[key]
            if num is not None:
                entries.pop(num, None)
        wanted = [self.nums[event_id] for event_id in event_ids]
        floor = min(wanted)
        rows = await session.fetch(
            _CITED_BY,
            {
                "lane": self.ref.lane,
                "room": self.ref.room,
                "roots": int8([num for num in entries.values() if num >= floor]),
                "floor": floor,
                "wanted": int8(wanted),
            },
        )
        return {self._ids[num] for (num,) in rows}

    async def _values(
        self, session: ReadSession, base: int, keys: Collection[StateKey]
    ) -> dict[StateKey, str | None]:
        state = self._chains[base].state
        await self.read_keys(session, keys)
        known = {key: num for key in keys if (num := self.key_nums[key]) is not None}
        await self.read_pages(session, state.pages_for(known.values()))
        found = {key: state.find(num, self.pages) for key, num in known.items()}
        await self._read_ids(session, [num for num in found.values() if num is not None])
        return {key: None if (num := found.get(key)) is None else self._ids[num] for key in keys}

    async def _read_names(self, session: ReadSession, nums: Iterable[int]) -> None:
        wanted = [num for num in nums if num not in self._names]
        if not wanted:
            return
        rows = await session.fetch(_NAMES, (self.ref.lane, self.ref.room, int4(wanted)))
        for num, kind, state_key in rows:
            self._names[num] = (kind, state_key)
            self.key_nums[kind, state_key] = num

    async def _read_nums(self, session: ReadSession, event_ids: Iterable[str | None]) -> None:
        wanted = [event_id for event_id in event_ids if event_id is not None and event_id not in self.nums]
        if not wanted:
            return
        for num, event_id in await session.fetch(_NUMS, (self.ref.lane, self.ref.room, wanted)):
            self._name(num, event_id)

    async def _read_ids(self, session: ReadSession, nums: Iterable[int]) -> None:
        wanted = [num for num in nums if num not in self._ids]
        if not wanted:
            return
        for num, event_id in await session.fetch(_IDS, (self.ref.lane, self.ref.room, int8(wanted))):
            self._name(num, event_id)

    def _name(self, num: int, event_id: str) -> None:
        self._ids[num] = event_id
        self.nums[event_id] = num

"""Resolving the states of a forked room: from snapshots to the snapshot that comes of them.

1. The states are compared by what their snapshots do not share; what differs is the conflicted part.
2. The conflicted events are read, with what they cite, and what of the unconflicted state they may be
   judged upon: a handful of queries, whatever the size of the room.
3. ``plexus.protocol.state_resolution`` decides, without I/O. What it turns out to miss is read, and it is
   asked again.
4. The answer is a `Variant` of the state that it differs least from, or the stored snapshot that has this
   state already.

No lock is held meanwhile, and what takes long does not run on the event loop.

Server-Server API, "Room State Resolution".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence, Set
from typing import Final

from plexus.platform.postgres import Database, ReadSession
from plexus.protocol.auth_rules import auth_types_for_event
from plexus.protocol.errors import MissingEvents
from plexus.protocol.events import Event
from plexus.protocol.room_versions import RoomVersion
from plexus.protocol.state_resolution import Lookups, resolve
from plexus.rooms.head import StateKey
from plexus.rooms.room_reads import RoomReads
from plexus.rooms.snapshots import Changes, hash_after
from plexus.rooms.values import RoomRef
from plexus.rooms.variants import Variant
from plexus.rooms.writes import Flags

OFF_LOOP_ENTRIES: Final = 50
"""Conflicted entries from which on a resolution runs on a thread. Measured: an entry takes 25 µs, so these
would keep the loop for a millisecond; going to a thread and back costs 0.2 ms.
"""

_LEVELS = 3
"""How far down the auth events are read along with an event."""


class _MissingKeys(Exception):  # noqa: N818 - a question, not an error
    def __init__(self, keys: Set[StateKey]) -> None:
        super().__init__(f"{len(keys)} entries were not read")
        self.keys = keys


class _CitedBy(Exception):  # noqa: N818 - a question, not an error
    def __init__(self, event_ids: Set[str]) -> None:
        super().__init__(f"{len(event_ids)} events may be in the chains of others")
        self.event_ids = event_ids


async def resolve_states(
    db: Database,
    ref: RoomRef,
    version: RoomVersion,
    salt: bytes,
    states: Sequence[Variant],
    pending: Event | None = None,
    reads: RoomReads | None = None,
) -> Variant:
    """The resolved state of two or more different states of a room. ``pending`` is the one event in them that
    is not stored yet, with everything that it cites stored; ``reads`` what has been read with it.
    """
    work = _Resolution(version, states, reads or RoomReads(ref, version, pending))
    async with db.read(primary=True) as session:
        await work.begin(session)
    while True:
        try:
            resolved = await work.run()
            break
        except (MissingEvents, _MissingKeys, _CitedBy) as missing:
            async with db.read(primary=True) as session:
                await work.read(session, missing)
    answer = work.nearest(resolved)
    if pending is not None and pending.event_id in answer.changes.values():
        return answer
    async with db.read(primary=True) as session:
        return await stored(session, work.reads, salt, answer)


async def stored(session: ReadSession, reads: RoomReads, salt: bytes, state: Variant) -> Variant:
    """The same state as a snapshot, if one has it; it holds no event that is not stored."""
    changes = await changes_of(session, reads, state)
    found = await reads.find_hash(session, hash_after(reads.chain(state.base).hash, salt, changes))
    return state if found is None else Variant(found)


async def changes_of(session: ReadSession, reads: RoomReads, state: Variant) -> Changes:
    """In what a state differs from its base, in numbers."""
    await reads.values(session, state, state.changes.keys())
    before = await reads.values(session, Variant(state.base), state.changes.keys())
    changes: dict[int, tuple[int | None, int | None]] = {}
    for key, event_id in state.changes.items():
        num, old = reads.key_nums[key], before[key]
        if num is not None and event_id != old:
            changes[num] = (
                None if old is None else reads.nums[old],
                None if event_id is None else reads.nums[event_id],
            )
    return changes


class _Resolution:
    """One resolution, as far as it has come."""

    def __init__(self, version: RoomVersion, states: Sequence[Variant], reads: RoomReads) -> None:
        self.reads = reads
        self._version = version
        self._states = states
        self._table: dict[StateKey, list[str | None]] = {}
        self._unconflicted: dict[StateKey, str | None] = {}
        self._cited: dict[str, bool] = {}
        self._lookups = Lookups(
            event=self._event,
            unconflicted=self._entry,
            cited_by_unconflicted=self._cited_by_unconflicted,
            rank=lambda event_id: self.reads.events[event_id].num,
            is_rejected=lambda event_id: bool(self.reads.events[event_id].flags & Flags.REJECTED),
        )

    async def begin(self, session: ReadSession) -> None:
        """Compare the states, and read what the resolution is going to need: also of what is at hand."""
        self._table = await self.reads.differing(session, self._states)
        found = {event_id for ids in self._table.values() for event_id in ids if event_id is not None}
        at_hand = [known.event for event_id in found if (known := self.reads.events.get(event_id))]
        found.update(cited for event in at_hand for cited in event.auth_events)
        at_hand += [known.event for event_id in found if (known := self.reads.events.get(event_id))]
        await self._read_events(session, found, at_hand)

    async def run(self) -> dict[StateKey, str]:
        """What the resolved state has beside the unconflicted one; raises what must be read first."""
        conflicted = [
            {key: event_id for key, ids in self._table.items() if (event_id := ids[at]) is not None}
            for at in range(len(self._states))
        ]
        if len(self._table) >= OFF_LOOP_ENTRIES:
            return await asyncio.to_thread(resolve, self._version, conflicted, self._lookups)
        return resolve(self._version, conflicted, self._lookups)

    async def read(self, session: ReadSession, missing: Exception) -> None:
        """Read what was missing."""
        if isinstance(missing, MissingEvents):
            await self._read_events(session, missing.event_ids)
            if unknown := missing.event_ids - self.reads.events.keys():
                raise LookupError(f"{min(unknown)} is cited in {self.reads.ref.room_id} and not there")
        elif isinstance(missing, _MissingKeys):
            await self._read_entries(session, missing.keys)
        elif isinstance(missing, _CitedBy):
            cited = await self.reads.cited_by_others(
                session, self._states[0].base, self._table.keys(), missing.event_ids
            )
            self._cited.update((event_id, event_id in cited) for event_id in missing.event_ids)

    def nearest(self, resolved: dict[StateKey, str]) -> Variant:
        """The resolved state as a variant of that of the states from which it differs least."""
        wanted = {key: resolved.get(key) for key in self._table.keys() | resolved.keys()}
        best: dict[StateKey, str | None] | None = None
        base = 0
        for at, state in enumerate(self._states):
            changes = dict(state.changes)
            for key, event_id in wanted.items():
                ids = self._table.get(key)
                if event_id != (None if ids is None else ids[at]):
                    changes[key] = event_id
            if best is None or len(changes) < len(best):
                best, base = changes, state.base
        return Variant(base, best or {})

    async def _read_events(
        self, session: ReadSession, event_ids: Iterable[str], more: Iterable[Event] = ()
    ) -> None:
        """Events, and what of the unconflicted state these may be judged upon."""
        before = set(self.reads.events)
        await self.reads.read_events(session, event_ids, _LEVELS)
        new = [known.event for event_id, known in self.reads.events.items() if event_id not in before]
        keys: set[StateKey] = set()
        for event in (*new, *more):
            if event.state_key is not None:
                keys.add(event.key)
            keys.update(
                auth_types_for_event(self._version, event.type, event.state_key, event.sender, event.content)
            )
        await self._read_entries(session, keys)

    async def _read_entries(self, session: ReadSession, keys: Iterable[StateKey]) -> None:
        wanted = [key for key in keys if key not in self._table and key not in self._unconflicted]
        found = await self.reads.values(session, self._states[0], wanted)
        self._unconflicted.update(found)
        await self.reads.read_events(session, [event_id for event_id in found.values() if event_id], _LEVELS)

    # --- what the resolution asks; on a thread, so nothing here touches a database

    def _event(self, event_id: str) -> Event | None:
        known = self.reads.events.get(event_id)
        return None if known is None else known.event

    def _entry(self, kind: str, state_key: str) -> str | None:
        try:
            return self._unconflicted[kind, state_key]
        except KeyError:
            raise _MissingKeys({(kind, state_key)}) from None

    def _cited_by_unconflicted(self, event_ids: Set[str]) -> Set[str]:
        if unknown := event_ids - self._cited.keys():
            raise _CitedBy(unknown)
        return {event_id for event_id in event_ids if self._cited[event_id]}

"""Where an event from another server belongs, and all that follows from it being there.

In the order of the specification:

1. What it names as ``prev_events`` and ``auth_events`` must be here; else `UnknownPredecessors`.
2. Its auth events must be such as it may cite, and allow it: else it is *rejected*.
3. The state before it, that after its ``prev_events``, must allow it: else it is *rejected*.
4. The current state of the room must allow it: else it is *soft-failed*.
5. Otherwise it is *live*: it is in the timeline, and an extremity in place of those it follows.

A rejected event changes no state. Those that are not live are stored all the same, for others may build upon
them: they have no ordinal, are no extremities, and nobody is shown them.

The current state of a room is the resolution of the states after its extremities. What has changed in it by a
live event need not be the place of that event: rows are written for whatever is different.

States to be resolved are not resolved here, where a lock may be held: `Unresolved` asks for it, and the event
is placed again with the answer.

Server-Server API, "Checks performed on receipt of a PDU", "Rejection", "Soft failure".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import immutables
from plexus.platform.postgres import ReadSession
from plexus.protocol.auth_rules import auth_types_for_event, check_auth, check_auth_events, may_redact
from plexus.protocol.errors import AuthRejected, InvalidEvent
from plexus.protocol.events import Event, redact_raw
from plexus.protocol.power_levels import PowerLevels
from plexus.rooms.head import Entry, Extremity, RoomHead, StateKey
from plexus.rooms.reading_head import read_targets
from plexus.rooms.reading_predecessors import Predecessor, known_of, passed_over, read_predecessors
from plexus.rooms.relating import relating
from plexus.rooms.room_reads import RoomReads
from plexus.rooms.snapshot_store import SnapshotStore
from plexus.rooms.state_changes import TELLING, note_changes
from plexus.rooms.values import Fate
from plexus.rooms.variants import Identity, Variant, distinct, set_of
from plexus.rooms.wishes import Wish
from plexus.rooms.writes import Before, Ends, EventRow, Flags, Redaction, RoomWrite

_CREATE: StateKey = ("m.room.create", "")
_POWER_LEVELS: StateKey = ("m.room.power_levels", "")

Entries: TypeAlias = immutables.Map[StateKey, Entry | None]
Resolved: TypeAlias = Mapping[frozenset[Identity], Variant]
"""Sets of states, and what they come to."""

_FATES = {Flags.REJECTED: Fate.REJECTED, Flags.SOFT_FAILED: Fate.SOFT_FAILED}


class Unresolved(Exception):  # noqa: N818 - a question, not an error
    """The resolution of these states of the room of ``head`` is needed; ``pending`` is the event in them that
    is not stored yet, ``reads`` what has been read for it.
    """

    def __init__(
        self, head: RoomHead, states: Sequence[Variant], pending: Event | None, reads: RoomReads | None
    ) -> None:
        super().__init__(f"{len(states)} states are to be resolved")
        self.head = head
        self.states = states
        self.reads = reads
        self.pending = pending


@dataclass(frozen=True, slots=True)
class Placed:
    """An event in its place: what it comes to, the write, and the head as it will be. ``write`` is None if
    the event is there already.
    """

    fate: Fate
    reason: AuthRejected | None
    write: RoomWrite | None
    head: RoomHead


async def place(
    session: ReadSession,
    head: RoomHead,
    event: Event,
    resolved: Resolved,
    wish: Wish | None = None,
    reads: RoomReads | None = None,
) -> Placed:
    """The event upon ``head``; ``wish`` if it is one of ours, ``reads`` what has been read for it upon this
    very head. Raises `UnknownPredecessors`, `InvalidEvent`
    for what cannot be of this room, and `Unresolved`.
    """
    placing = _Placing(
        session, head, event, resolved, wish, reads or RoomReads(head.ref, head.version, event)
    )
    return await placing.place()


def resolution(
    head: RoomHead,
    states: Sequence[Variant],
    resolved: Resolved,
    pending: Event | None = None,
    reads: RoomReads | None = None,
) -> Variant:
    """What these states come to; raises `Unresolved` if that is not known. ``pending`` is an event that is
    not stored yet.
    """
    states = distinct(states)
    if len(states) == 1:
        return states[0]
    wanted = set_of(states)
    if wanted == set_of([Variant(end.snapshot) for end in head.extremities]):
        return Variant(head.snapshot)
    found = resolved.get(wanted)
    if found is None:
        holds = pending is not None and any(pending.event_id in s.changes.values() for s in states)
        raise Unresolved(head, states, pending if holds else None, reads)
    return found


class _Placing:
    def __init__(
        self,
        session: ReadSession,
        head: RoomHead,
        event: Event,
        resolved: Resolved,
        wish: Wish | None,
        reads: RoomReads,
    ) -> None:
        self._session = session
        self._head = head
        self._event = event
        self._resolved = resolved
        self._txn = None if wish is None else wish.txn
        self._num = head.head_num + 1
        self._reads = reads
        self._write = RoomWrite(
            head.ref, head.seen, head.snapshot, head.next_state_key, head.next_snapshot, head.next_page
        )
        self._write.remote = wish is None
        if wish is not None and wish.traced is not None:
            self._write.traced = [wish.traced]

    async def place(self) -> Placed:
        head, event = self._head, self._event
        found = await read_predecessors(self._session, head.ref, event)
        own = found.get(event.event_id)
        if own is not None and not own.flags & Flags.OUTLIER:
            fate = next((fate for flag, fate in _FATES.items() if own.flags & flag), Fate.LIVE)
            return Placed(fate, None, None, head)
        if event.room_id != head.ref.room_id or not event.prev_events:
            raise InvalidEvent("The event cannot be of this room")
        prev, auth = known_of(event, found)

        states = [Variant(node.snapshot) for node in prev]
        before = resolution(head, states, self._resolved, reads=self._reads)
        current = Variant(head.snapshot)
        keys = _keys(head, event)
        before_ids = await self._reads.values(self._session, before, keys)
        now_ids = await self._reads.values(self._session, current, keys)
        wanted = {*before_ids.values(), *now_ids.values(), *event.auth_events}
        await self._reads.read_events(self._session, [event_id for event_id in wanted if event_id])
        flags, reason = self._judge(before_ids, now_ids)

        after = before
        if event.state_key is not None and not flags & Flags.REJECTED:
            after = before.after(event.key, event.event_id)
        ends = head.extremities
        if not flags:
            gone = await passed_over(self._session, head.ref, prev)
            ends = tuple(end for end in head.extremities if end.num not in gone)
            states = [*(Variant(end.snapshot) for end in ends), after]
            current = resolution(head, states, self._resolved, event, self._reads)
        return await self._finish(
            flags, reason, before, after, current, ends, before_ids, now_ids, prev, auth
        )

    async def _finish(
        self,
        flags: Flags,
        reason: AuthRejected | None,
        before: Variant,
        after: Variant,
        current: Variant,
        ends: tuple[Extremity, ...],
        before_ids: Mapping[StateKey, str | None],
        now_ids: Mapping[StateKey, str | None],
        prev: Sequence[Predecessor],
        auth: Sequence[Predecessor],
    ) -> Placed:
        head, event, write, reads = self._head, self._event, self._write, self._reads
        is_live = not flags
        table: Mapping[StateKey, Sequence[str | None]] = {}
        if is_live:
            table = await reads.differing(self._session, [Variant(head.snapshot), current])
            shown = {i for key, ids in table.items() if key[0] in TELLING for i in ids if i is not None}
            await reads.read_events(self._session, shown)

        write.before = Before(head.snapshot, *(self._entry(now_ids, key) for key in (_CREATE, _POWER_LEVELS)))
        store = SnapshotStore(self._session, reads, head, write, self._num)
        snap_before = await store.number(before)
        snap_after = await store.number(after)
        snap_now = await store.number(current)
        replaced = None if event.state_key is None else before_ids[event.key]
        row = EventRow(
            self._num,
            event,
            snap_before,
            snap_after,
            tuple(node.num for node in prev),
            tuple(node.num for node in auth),
            self._txn,
            None if replaced is None else Entry(reads.nums[replaced], reads.events[replaced].event),
            room_before=_unless(snap_before, head.snapshot) if is_live else None,
            room_after=_unless(snap_after, snap_now) if is_live else None,
            flags=flags,
        )
        write.events.append(row)
        if is_live and (relation := relating(0, event)) is not None:
            write.relations.append(relation)
        write.snapshot = snap_now
        if is_live:
            ends = (*ends, Extremity(self._num, event.event_id, snap_after, event.depth))
        if not is_live or len(ends) > 1 or row.is_beside:
            write.ends = Ends(tuple(end.num for end in ends), max(end.depth for end in ends))
        note_changes(write, reads, event, table)
        entries = head.entries
        if is_live and event.redacts is not None:
            entries = await self._redact(before_ids, event.redacts)
        return Placed(
            next((fate for flag, fate in _FATES.items() if flags & flag), Fate.LIVE),
            reason,
            write,
            self._head_after(replace(head, entries=entries), ends, table, store),
        )

    def _judge(
        self, before: Mapping[StateKey, str | None], now: Mapping[StateKey, str | None]
    ) -> tuple[Flags, AuthRejected | None]:
        head, event = self._head, self._event
        cited = [self._reads.events[event_id] for event_id in event.auth_events]
        try:
            check_auth_events(
                head.version,
                event,
                [known.event for known in cited],
                lambda event_id: bool(self._reads.events[event_id].flags & Flags.REJECTED),
            )
            by_key = {known.event.key: known.event for known in cited}
            self._check(lambda kind, key: by_key.get((kind, key)), before)
            self._check(lambda kind, key: self._entry(before, (kind, key)), before)
        except AuthRejected as reason:
            return Flags.REJECTED, reason
        try:
            self._check(lambda kind, key: self._entry(now, (kind, key)), now)
        except AuthRejected as reason:
            return Flags.SOFT_FAILED, reason
        return Flags(0), None

    def _check(
        self, state: Callable[[str, str], Event | None], entries: Mapping[StateKey, str | None]
    ) -> None:
        create = self._entry(entries, _CREATE)
        if create is None:
            raise AuthRejected("2", "The room has no create event")
        check_auth(self._head.version, self._event, state, create=create)

    def _entry(self, entries: Mapping[StateKey, str | None], key: StateKey) -> Event | None:
        event_id = entries.get(key)
        return None if event_id is None else self._reads.events[event_id].event

    async def _redact(self, before: Mapping[StateKey, str | None], event_id: str) -> Entries:
        """Take away the content of the target, if it is here and this sender may; the head's entries
        afterwards.
        """
        head, event = self._head, self._event
        target = (await read_targets(self._session, head.ref, [event_id]))[event_id]
        create = self._entry(before, _CREATE)
        if target is None or target.is_redacted or create is None:
            return head.entries
        levels = self._entry(before, _POWER_LEVELS)
        power = PowerLevels.of(head.version, None if levels is None else levels.content, create)
        if not may_redact(power, event.sender, target.sender):
            return head.entries
        self._write.redactions.append(Redaction(0, target.num, redact_raw(head.version, target.raw)))
        key = (target.type, target.state_key or "")
        return head.entries.delete(key) if key in head.entries else head.entries

    def _head_after(
        self,
        head: RoomHead,
        ends: tuple[Extremity, ...],
        table: Mapping[StateKey, Sequence[str | None]],
        store: SnapshotStore,
    ) -> RoomHead:
        event, write = self._event, self._write
        entries = head.entries.mutate()
        is_complete = head.is_complete and len(entries) == len(head.entries)
        for key, (_, event_id) in table.items():
            if event_id == event.event_id:
                entries[key] = Entry(self._num, event)
            else:
                entries.pop(key, None)
                is_complete = False
        key_nums = head.key_nums
        if write.state_keys:
            key_nums = key_nums.set(event.key, write.state_keys[0][1])
        return replace(
            head,
            seen=head.seen + 1,
            head_num=self._num,
            depth=max(end.depth for end in ends),
            extremities=ends,
            snapshot=write.snapshot,
            next_state_key=write.next_state_key,
            next_snapshot=write.next_snapshot,
            next_page=write.next_page,
            entries=entries.finish(),
            key_nums=key_nums,
            chain=store.chain(write.snapshot),
            is_complete=is_complete and not write.redactions,
        )


def _keys(head: RoomHead, event: Event) -> set[StateKey]:
    """The places of the state that matter to the event."""
    keys = {_CREATE, _POWER_LEVELS}
    keys.update(auth_types_for_event(head.version, event.type, event.state_key, event.sender, event.content))
    if event.state_key is not None:
        keys.add(event.key)
    return keys


def _unless(own: int, room: int) -> int | None:
    """The snapshot of the room, unless the event's own is the same."""
    return None if own == room else room

"""The head of a room as a writer knows it: enough to build the next event without asking anybody.

A `RoomHead` is a value: building upon it makes another one, which takes its place only after the commit. It
is true for one version of the room's row (``seen``); the write fails if the room has moved on, so a stale
head can do no harm. The parts of the state that authorisation needs are read when they are first needed, and
kept (``entries``). Of the way to the current snapshot (``chain``) the same holds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import immutables
from plexus.protocol.events import Event
from plexus.protocol.room_versions import RoomVersion
from plexus.rooms.snapshots import Chain
from plexus.rooms.values import RoomRef

StateKey: TypeAlias = tuple[str, str]
"""(type, state key)."""

MOST_ENTRIES = 4_000
"""Entries of the state kept for one room. Beyond it the members are forgotten and read again when needed."""


class Extremity(NamedTuple):
    """An event that no other in the timeline follows yet: its number, and the snapshot of the state after
    it.
    """

    num: int
    event_id: str
    snapshot: int
    depth: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A state event in force: its number in the room and the event."""

    num: int
    event: Event


@dataclass(frozen=True, slots=True)
class RoomHead:
    """What a room looks like at version ``seen`` of its row.

    ``snapshot`` is the current state: that after the extremities, resolved if there are several. In
    ``entries`` None stands for "known to be absent", a missing key
    for "not read"; ``is_complete`` says that nothing is missing. ``key_nums`` are the numbers of state keys,
    likewise. ``chain`` is None until it is read.
    """

    ref: RoomRef
    version: RoomVersion
    seen: int
    head_num: int
    head_position: int
    depth: int
    extremities: tuple[Extremity, ...]
    snapshot: int
    next_state_key: int
    next_snapshot: int
    next_page: int
    salt: bytes
    entries: immutables.Map[StateKey, Entry | None]
    key_nums: immutables.Map[StateKey, int | None]
    chain: Chain | None
    is_complete: bool

    def with_read(
        self,
        entries: dict[StateKey, Entry | None] | None = None,
        key_nums: dict[StateKey, int | None] | None = None,
        chain: Chain | None = None,
    ) -> RoomHead:
        """The same head, with parts that were read at the same version."""
        return replace(
            self,
            entries=self.entries.update(entries) if entries else self.entries,
            key_nums=self.key_nums.update(key_nums) if key_nums else self.key_nums,
            chain=chain or self.chain,
        )

    def settled(self, position: int, *, wrote: bool) -> RoomHead:
        """The head after the chain that made it was written at ``position``; or, if the chain was empty, as
        it was before: a write is what counts the version up.
        """
        return replace(self, head_position=position, seen=self.seen if wrote else self.seen - 1)

    def made(self, ref: RoomRef, position: int) -> RoomHead:
        """The head of a room that has just been made."""
        return replace(self, ref=ref, head_position=position)

    def trimmed(self) -> RoomHead:
        """The same head, with not more entries than is good for the memory."""
        if len(self.entries) <= MOST_ENTRIES:
            return self
        kept = {key: entry for key, entry in self.entries.items() if key[0] != "m.room.member"}
        keys = {key: num for key, num in self.key_nums.items() if key in kept}
        return replace(self, entries=immutables.Map(kept), key_nums=immutables.Map(keys), is_complete=False)

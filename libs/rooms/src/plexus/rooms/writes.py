"""What one room brings to a group of writes, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from plexus.platform.telemetry import RequestContext
from plexus.protocol.events import Event
from plexus.rooms.head import Entry
from plexus.rooms.snapshots import Row
from plexus.rooms.values import RoomRef, Txn

MEMBERSHIPS = {"join": 1, "invite": 2, "knock": 3, "leave": 4, "ban": 5}
"""Memberships as ``rooms.membership`` stores them; 0 is none."""

MEMBERSHIP_NAMES = {number: name for name, number in MEMBERSHIPS.items()}


class EventRow(NamedTuple):
    """A row of ``rooms.event``. ``prev`` and ``auth`` are numbers of events, ``replaces`` the state event
    that had its place before.
    """

    num: int
    event: Event
    snap_before: int
    snap_after: int
    prev: tuple[int, ...]
    auth: tuple[int, ...]
    txn: Txn | None
    replaces: Entry | None


class MemberChange(NamedTuple):
    """The event at index ``at`` of the chain changes a membership from ``was`` (0: none) to
    ``membership``.
    """

    at: int
    membership: int
    was: int
    server: str


class Redaction(NamedTuple):
    """The event at index ``at`` of the chain redacts the event ``num``, of which ``raw`` is left."""

    at: int
    num: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class NewRoom:
    """What the row of a new room has besides what its events tell."""

    salt: bytes
    published: bool


@dataclass(slots=True)
class RoomWrite:
    """A chain of events upon version ``seen`` of a room, with all that follows from it.

    Indexes (``at``) count from 0 within the chain. ``new`` is there exactly if the room is to be made; then
    ``ref.room`` is 0.
    """

    ref: RoomRef
    seen: int
    snapshot: int
    next_state_key: int
    next_snapshot: int
    next_page: int
    new: NewRoom | None = None
    events: list[EventRow] = field(default_factory=list)
    state_keys: list[tuple[int, int]] = field(default_factory=list)
    """(at, number)."""
    snapshots: list[tuple[int, Row]] = field(default_factory=list)
    members: list[MemberChange] = field(default_factory=list)
    visibilities: list[tuple[int, str]] = field(default_factory=list)
    redactions: list[Redaction] = field(default_factory=list)
    traced: Sequence[RequestContext] = ()
    """The traced ones of the requests that want this written."""

    @property
    def changes_state(self) -> bool:
        """Whether more than rows of events is to be written."""
        return bool(self.snapshots or self.redactions)

    @property
    def size(self) -> int:
        """Bytes of the events."""
        return sum([len(row.event.raw) for row in self.events])


class Result(IntEnum):
    """The outcomes of ``rooms.write`` for one room."""

    WRITTEN = 0
    CONFLICT = 1
    LOCKED = 2
    REPLAYED = 3
    EXISTS = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one `RoomWrite`.

    WRITTEN: ``position`` of its fact; ``redactions``' facts are published by the writer of the lane; ``room``
    is the number of the room. REPLAYED: event ``at`` of the chain (from 0) has a transaction id that made
    ``num`` before.
    """

    result: Result
    position: int = 0
    room: int = 0
    at: int = 0
    num: int = 0

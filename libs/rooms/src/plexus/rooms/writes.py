"""What one room brings to a group of writes, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import NamedTuple

from plexus.platform.telemetry import RequestContext
from plexus.protocol.events import Event
from plexus.rooms.head import Entry, StateKey
from plexus.rooms.snapshots import Row
from plexus.rooms.values import RoomRef, Txn

MEMBERSHIPS = {"join": 1, "invite": 2, "knock": 3, "leave": 4, "ban": 5}
"""Memberships as ``rooms.membership`` stores them; 0 is none."""

MEMBERSHIP_NAMES = {number: name for name, number in MEMBERSHIPS.items()}


class Flags(IntFlag):
    """What ``rooms.event.flags`` says of an event that is not like the others."""

    REJECTED = 1
    SOFT_FAILED = 2
    OUTLIER = 4
    GAP = 8


PLAIN = Flags(0)
NOWHERE = Flags.REJECTED | Flags.SOFT_FAILED | Flags.OUTLIER
"""Any of these: the event has no place in the timeline."""


class EventRow(NamedTuple):
    """A row of ``rooms.event``. ``prev`` and ``auth`` are numbers of events, ``replaces`` the state event
    that had its place before.

    ``room_before`` and ``room_after`` are snapshots of the room's current state around the event; None where
    that is the state before and after the event itself, as in a room that has not forked.
    """

    num: int
    event: Event
    snap_before: int
    snap_after: int
    prev: tuple[int, ...]
    auth: tuple[int, ...]
    txn: Txn | None
    replaces: Entry | None
    room_before: int | None = None
    room_after: int | None = None
    flags: Flags = PLAIN

    @property
    def is_live(self) -> bool:
        """Whether it is in the timeline."""
        return not self.flags & NOWHERE

    @property
    def is_beside(self) -> bool:
        """Whether the room's current state around the event is another than the event's own."""
        return self.room_before is not None or self.room_after is not None


class CurrentChange(NamedTuple):
    """From the event at index ``at`` of the chain on another one has a place in the current state: that event
    itself, or, if there is a ``key``, the event ``num`` (0: none).
    """

    at: int
    num: int | None = None
    key: StateKey | None = None


class MemberChange(NamedTuple):
    """The event at index ``at`` of the chain changes a membership from ``was`` (0: none) to ``membership``:
    its own, or, if there is a ``user_id``, that of this user, by the member event ``num`` of ``sender``.
    """

    at: int
    membership: int
    was: int
    server: str
    num: int | None = None
    user_id: str | None = None
    sender: str | None = None


class Redaction(NamedTuple):
    """The event at index ``at`` of the chain redacts the event ``num``, of which ``raw`` is left."""

    at: int
    num: int
    raw: bytes


class Relating(NamedTuple):
    """The event at index ``at`` of the chain relates to the event ``parent``. ``key`` stands for the key of
    an annotation; ``edit``: it has what a replacement must have.
    """

    at: int
    parent: str
    rel_type: str
    key: bytes | None
    edit: bool


class Notice(NamedTuple):
    """For this user (``""``: everybody) an event counts otherwise than by the default push rules: so much
    more or less. ``actions`` is JSON, None if the event does not notify the user.
    """

    user_id: str
    notify: int
    highlight: int
    highlighted: bool
    actions: str | None


class Before(NamedTuple):
    """What a write builds upon, as far as push rules ask: the current state, and two events in it."""

    snapshot: int = 0
    create: Event | None = None
    levels: Event | None = None


NOTHING = Before()


@dataclass(frozen=True, slots=True)
class NewRoom:
    """What the row of a new room has besides what its events tell."""

    salt: bytes
    published: bool


class Ends(NamedTuple):
    """The extremities of a room, by number, and the greatest of their depths."""

    extremities: tuple[int, ...]
    depth: int


@dataclass(slots=True)
class RoomWrite:
    """Events upon version ``seen`` of a room, with all that follows from them.

    Indexes (``at``) count from 0 within ``events``. ``new`` is there exactly if the room is to be made; then
    ``ref.room`` is 0. ``ends`` is None for a chain that begins at the room's one extremity and becomes its
    end; otherwise what is given is what the room has afterwards.
    """

    ref: RoomRef
    seen: int
    snapshot: int
    next_state_key: int
    next_snapshot: int
    next_page: int
    new: NewRoom | None = None
    ends: Ends | None = None
    events: list[EventRow] = field(default_factory=list)
    state_keys: list[tuple[int, int]] = field(default_factory=list)
    """(at, number)."""
    snapshots: list[tuple[int, Row]] = field(default_factory=list)
    current: list[CurrentChange] = field(default_factory=list)
    members: list[MemberChange] = field(default_factory=list)
    visibilities: list[tuple[int, str]] = field(default_factory=list)
    redactions: list[Redaction] = field(default_factory=list)
    relations: list[Relating] = field(default_factory=list)
    before: Before = NOTHING
    notify: list[int] = field(default_factory=list)
    """By event the number of the default push rule by which it notifies (0: none); empty if none does."""
    notices: list[tuple[int, Notice]] = field(default_factory=list)
    remote: bool = False
    """Whether the events are those of other servers: nobody here waits to see them."""
    traced: Sequence[RequestContext] = ()
    """The traced ones of the requests that want this written."""

    @property
    def changes_state(self) -> bool:
        """Whether more than rows of events is to be written."""
        return bool(self.snapshots or self.current or self.redactions)

    @property
    def live(self) -> Sequence[EventRow]:
        """The events that enter the timeline."""
        return self.events if self.ends is None else [row for row in self.events if row.is_live]

    @property
    def is_forked(self) -> bool:
        """Whether the current state changes otherwise than by each live event taking force in its turn."""
        return self.ends is not None and any(row.is_beside for row in self.live)

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

    WRITTEN: ``position`` of its fact, or of the room's head if it has none; ``redactions``' facts are
    published by the writer of the lane; ``room`` is the number of the room. REPLAYED: event ``at`` of the
    chain (from 0) has a transaction id that made ``num`` before.
    """

    result: Result
    position: int = 0
    room: int = 0
    at: int = 0
    num: int = 0

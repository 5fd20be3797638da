"""The words in which others speak to the room engine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from plexus.protocol.errors import InvalidParam, MatrixError
from plexus.protocol.identifiers import NO_DEVICE
from plexus.protocol.visibility import HistoryVisibility

if TYPE_CHECKING:
    from plexus.rooms.stored import StoredEvent
    from plexus.rooms.visibility import Viewer


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that a user of ours wants to send.

    ``redacts`` is the target of an m.room.redaction; the engine puts it where the room version keeps it. (A
    target in ``content.redacts`` is understood too where the room version keeps it there.)
    """

    type: str
    content: Mapping[str, Any]
    state_key: str | None = None
    redacts: str | None = None


MAX_TXN_ID_BYTES = 255

DELAY_ID: Final = "org.matrix.msc4140.delay_id"


@dataclass(frozen=True, slots=True)
class Txn:
    """A client's transaction id. Its scope is the device and the endpoint (a name such as ``send``).
    Making one raises `InvalidParam` if the id is empty or cannot be kept: the spec sets no limit, ours is
    that of other identifiers.

    Client-Server API, "Transaction identifiers".
    """

    user_id: str
    device_id: str
    endpoint: str
    txn_id: str

    def __post_init__(self) -> None:
        try:
            size = len(self.txn_id.encode())
        except UnicodeEncodeError:
            raise InvalidParam("The transaction ID is not valid Unicode") from None
        if not 0 < size <= MAX_TXN_ID_BYTES or "\0" in self.txn_id:
            raise InvalidParam(f"A transaction ID has 1 to {MAX_TXN_ID_BYTES} bytes and no U+0000")

    @classmethod
    def of_delayed_event(cls, user_id: str, delay_id: str) -> Txn:
        """Of an event that the server sends for a user: it is sent once, whoever sends it, and its
        ``unsigned`` tells the delay ID to all devices of the user.
        """
        return cls(user_id, NO_DEVICE, "delayed_event", delay_id)

    @staticmethod
    def shown_as(txn_device: str | None, device_id: str | None) -> str | None:
        """The name in ``unsigned`` of a transaction id of ``txn_device``, before the sender's ``device_id``:
        only the device that sent an event may see its transaction id. None if it is not shown.
        """
        if txn_device == NO_DEVICE:
            return DELAY_ID
        return "transaction_id" if txn_device == device_id else None


@dataclass(frozen=True, slots=True)
class Written:
    """What a write came to.

    ``position`` is the position of the fact in ``lane``. ``replayed`` says that nothing was written now: the
    transaction id was known already, or the state was already so; then ``position`` is that of the room's
    head, not less than that of the event.
    """

    room_id: str
    event_id: str
    position: int
    lane: int
    replayed: bool


class Fate(Enum):
    """What becomes of an event that comes from another server.

    Server-Server API, "Checks performed on receipt of a PDU".
    """

    LIVE = "live"
    """It is in the timeline."""
    SOFT_FAILED = "soft-failed"
    """It was allowed where it was sent, and is not any more: kept for those that build upon it."""
    REJECTED = "rejected"
    """The rules forbid it. State after it is as before it."""


@dataclass(frozen=True, slots=True)
class Received:
    """What became of an event from another server.

    ``position`` in ``lane`` is that of its fact if it is live, else that of the room's head. ``known``:
    nothing was written now, it was here before. ``reason`` says why it is not live, if that was judged now.
    """

    room_id: str
    event_id: str
    fate: Fate
    position: int
    lane: int
    known: bool = False
    reason: MatrixError | None = None


class RoomRef(NamedTuple):
    """A room by what never changes: where its rows are (its lane and its number in the lane), and its
    version.
    """

    room_id: str
    lane: int
    room: int
    room_version: str


class Place(NamedTuple):
    """The place of an event in its room: live events are (n, 0) in order of arrival; history fetched later
    into the gap before n is (n, -1), (n, -2), going back.
    """

    ordinal: int
    sub: int = 0

    @property
    def before(self) -> Place:
        """The last place before this one: as a boundary, everything after it begins here."""
        return Place(self.ordinal, self.sub - 1)


_TOKEN = re.compile(r"t(\d{1,18})_(0|-\d{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TimelineToken:
    """A boundary in one room's timeline, just after ``place``: as clients hold it, ``t<ordinal>_<sub>``."""

    place: Place

    def encode(self) -> str:
        return f"t{self.place.ordinal}_{self.place.sub}"

    @classmethod
    def decode(cls, token: str) -> TimelineToken:
        """`InvalidParam` for what is no such token."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise InvalidParam("Not a timeline token")
        return cls(Place(int(match[1]), int(match[2])))


@dataclass(frozen=True, slots=True)
class RoomInfo:
    """A room as it is now. ``creator`` is the sender of its create event; ``created`` is in milliseconds."""

    ref: RoomRef
    version: int
    creator: str
    created: int
    head_position: int
    head_ordinal: int
    snapshot: int
    joined_members: int
    invited_members: int
    published: bool
    partial: bool

    @property
    def room_id(self) -> str:
        return self.ref.room_id

    @property
    def lane(self) -> int:
        return self.ref.lane

    @property
    def room_version(self) -> str:
        return self.ref.room_version


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a room's timeline, now or at a cut: the last fact's position, the last live event's ordinal,
    and the snapshot of the state after it. Member counts are those of now.
    """

    position: int
    ordinal: int
    snapshot: int
    joined_members: int
    invited_members: int


@dataclass(frozen=True, slots=True)
class UserRoom:
    """A user's membership of a room.

    ``num`` is the number of the member event in force now (also when asked at a cut), ``from_ordinal`` and
    ``position`` say since when the membership has been this one (a join with another display name does not
    start it anew), ``sender`` who brought it about.
    """

    ref: RoomRef
    membership: str
    num: int
    position: int
    from_ordinal: int
    sender: str
    forgotten: bool

    @property
    def room_id(self) -> str:
        return self.ref.room_id

    @property
    def lane(self) -> int:
        return self.ref.lane

    @property
    def room(self) -> int:
        return self.ref.room


@dataclass(frozen=True, slots=True)
class Member:
    """A row of the member list: the membership and what the event says about the user."""

    user_id: str
    membership: str
    displayname: str | None
    avatar_url: str | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries of a state are wanted.

    ``types`` None means every type; ``members`` None means every m.room.member entry that ``types`` lets
    through, else only those of these users. ``not_types`` takes away. So lazy-loading is
    ``Wanted(members=senders)``.
    """

    types: frozenset[str] | None = None
    not_types: frozenset[str] = frozenset()
    members: frozenset[str] | None = None

    @property
    def is_everything(self) -> bool:
        return self.types is None and not self.not_types and self.members is None


EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True)
class TimelineRange:
    """The live events of one room with after < ordinal <= upto, of which at most ``limit``, the newest."""

    ref: RoomRef
    after: int
    upto: int
    limit: int


@dataclass(frozen=True, slots=True)
class TimelinePage:
    """Events in the order asked for. ``start`` and ``end`` are boundaries in that order: reading on goes from
    ``end``, which is None when there is nothing further. ``limited`` says that events were left out between
    the range asked for and those given. ``memberships`` are the viewer's at each event, if there was a
    viewer.
    """

    events: Sequence[StoredEvent]
    start: Place
    end: Place | None
    limited: bool = False
    memberships: Sequence[str | None] = ()


@dataclass(frozen=True, slots=True)
class View:
    """What a user may see of a room's state: that of now, or as it was when they left (``place``). ``newest``
    is the room's end, ``num`` the number of its last event; ``relates`` says whether any event of the room
    relates to another.
    """

    ref: RoomRef
    snapshot: int
    place: Place
    viewer: Viewer
    is_current: bool
    newest: Place
    num: int
    relates: bool

    @property
    def membership(self) -> str | None:
        """The user's membership now."""
        return self.viewer.membership


@dataclass(frozen=True, slots=True)
class Alias:
    """A room alias and who made it."""

    alias: str
    room_id: str
    creator: str


@dataclass(frozen=True, slots=True)
class PublishedRoom:
    """A room of the public directory, with what stands in its state (``PublishedRoomsChunk``)."""

    room_id: str
    joined_members: int
    name: str | None
    topic: str | None
    canonical_alias: str | None
    avatar_url: str | None
    join_rule: str
    room_type: str | None
    world_readable: bool
    guest_can_join: bool


class Visibility(NamedTuple):
    """What holds for one viewer at one place."""

    visible: bool
    membership: str | None
    history_visibility: HistoryVisibility
    joined: bool

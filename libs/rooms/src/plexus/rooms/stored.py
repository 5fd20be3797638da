"""An event as it is stored, and as a client gets it.

A `StoredEvent` keeps the bytes of the PDU; they are parsed when somebody first asks for ``event``. Its client
form is spliced: the part that is the same for everybody is printed once and kept, the ``unsigned`` of one
viewer is added per answer. It is never changed after it has been read, except that a reader attaches the
events that its ``unsigned`` speaks of (``decorate``).

Client-Server API, "Room event format", ``UnsignedData``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Flag, auto
from typing import Any, LiteralString, NamedTuple

import msgspec
import orjson
from plexus.protocol.events import Event, redact_raw
from plexus.protocol.format import client_event, client_event_prefix
from plexus.protocol.relations import relation_of
from plexus.protocol.room_versions import ROOM_VERSIONS, RoomVersion
from plexus.rooms.values import Place, RoomRef, Txn
from plexus.rooms.writes import MEMBERSHIPS, EventRow

MEMBER = "m.room.member"

COLUMNS: LiteralString = (
    "num, ordinal, sub, event_id, type, state_key, sender, origin_server_ts,"
    " snap_before, snap_after, room_before, room_after, replaces, redacted_by, txn_device, txn_id, raw"
)
"""The columns of ``rooms.event`` that make a `StoredEvent`, in the order of `StoredEvent.of_row`."""


def with_columns(sql: LiteralString) -> LiteralString:
    """A query with ``{columns}`` replaced by `COLUMNS`."""
    return sql.replace("{columns}", COLUMNS)


class _Content(msgspec.Struct):
    """Of a PDU the bytes of its content; all else is skipped."""

    content: msgspec.Raw


_content_of = msgspec.json.Decoder(_Content).decode

_MEMBERSHIP = {name: b',"membership":"%b"' % name.encode() for name in MEMBERSHIPS}

_BUT_RAW = tuple(name.strip() for name in COLUMNS.split(","))[:-1]


class Part(Flag):
    """What of an event somebody is not to see: what its sender says, the content that it replaced, what is
    said in the redaction that has redacted it.
    """

    WORDS = auto()
    BEFORE = auto()
    BECAUSE = auto()


class Saying(NamedTuple):
    """Who said something of which an event speaks, and where."""

    ref: RoomRef
    num: int
    ordinal: int | None
    sub: int
    type: str
    state_key: str | None
    sender: str


class Noted(NamedTuple):
    """Whom an event notifies: everybody or not, and for whom it counts otherwise (notifications, highlights;
    ``""``: everybody). ``thread`` is the root of its thread if it says so itself; ``relates``: it is in the
    thread of what it relates to.
    """

    notifies: bool
    thread: str | None
    relates: bool
    notices: Mapping[str, tuple[int, int]]


class StoredEvent:
    """One event of a room with its place and its snapshots.

    ``num`` names it within the room; ``ordinal`` is None for outliers and rejected events, which have no
    place; ``snap_before`` and ``snap_after`` are the snapshots of the state around it; ``room_before`` and
    ``room_after`` those of the room's current state around it, which is the same unless the room has forked;
    ``replaces`` is the num of the state event that had its place before; ``redacted_by`` is the num of the
    redaction that has taken effect: then ``raw`` holds the redacted form. ``withheld``: this is a copy as if
    it were redacted, for somebody who is not to see what its sender says.
    """

    __slots__ = (
        "_event",
        "_prefix",
        "_prefix_in_room",
        "_static",
        "event_id",
        "noted",
        "num",
        "ordinal",
        "origin_server_ts",
        "prev_content",
        "raw",
        "redacted_by",
        "redaction",
        "ref",
        "replaces",
        "replaces_state",
        "room_after",
        "room_before",
        "sender",
        "snap_after",
        "snap_before",
        "state_key",
        "sub",
        "txn_device",
        "txn_id",
        "type",
        "withheld",
    )

    def __init__(
        self,
        ref: RoomRef,
        num: int,
        ordinal: int | None,
        sub: int,
        event_id: str,
        type: str,
        state_key: str | None,
        sender: str,
        origin_server_ts: int,
        snap_before: int,
        snap_after: int,
        room_before: int | None,
        room_after: int | None,
        replaces: int | None,
        redacted_by: int | None,
        txn_device: str | None,
        txn_id: str | None,
        raw: bytes,
    ) -> None:
        self.ref = ref
        self.num = num
        self.ordinal = ordinal
        self.sub = sub
        self.event_id = event_id
        self.type = type
        self.state_key = state_key
        self.sender = sender
        self.origin_server_ts = origin_server_ts
        self.snap_before = snap_before
        self.snap_after = snap_after
        self.room_before = snap_before if room_before is None else room_before
        self.room_after = snap_after if room_after is None else room_after
        self.replaces = replaces
        self.redacted_by = redacted_by
        self.txn_device = txn_device
        self.txn_id = txn_id
        self.raw = raw
        self.replaces_state: str | None = None
        self.prev_content: bytes | None = None
        self.redaction: StoredEvent | None = None
        self.noted: Noted | None = None
        self.withheld = False
        self._event: Event | None = None
        self._prefix: bytes | None = None
        self._prefix_in_room: bytes | None = None
        self._static: bytes | None = None

    @classmethod
    def of_row(cls, ref: RoomRef, row: Sequence[Any]) -> StoredEvent:
        """From the columns `COLUMNS`."""
        return cls(ref, *row)

    @classmethod
    def of_write(cls, ref: RoomRef, row: EventRow) -> StoredEvent:
        """As `of_row` for a live event that has been written just now."""
        event, txn = row.event, row.txn
        return cls(
            ref,
            row.num,
            row.num,
            0,
            event.event_id,
            event.type,
            event.state_key,
            event.sender,
            event.origin_server_ts,
            row.snap_before,
            row.snap_after,
            row.room_before,
            row.room_after,
            None if row.replaces is None else row.replaces.num,
            None,
            None if txn is None else txn.device_id,
            None if txn is None else txn.txn_id,
            event.raw,
        )

    def __repr__(self) -> str:
        return f"StoredEvent({self.event_id} {self.type} num={self.num})"

    @property
    def version(self) -> RoomVersion:
        return ROOM_VERSIONS[self.ref.room_version]

    @property
    def room_id(self) -> str:
        return self.ref.room_id

    @property
    def event(self) -> Event:
        """The event, parsed at the first call."""
        if self._event is None:
            self._event = Event.from_raw(self.version, self.raw, self.event_id)
        return self._event

    @property
    def content(self) -> dict[str, Any]:
        return self.event.content

    @property
    def rel_type(self) -> str | None:
        """In what way it relates to another event, if it does."""
        if b'"m.relates_to"' not in self.raw:
            return None
        relation = relation_of(self.content)
        return None if relation is None else relation.rel_type

    @property
    def is_redacted(self) -> bool:
        return self.redacted_by is not None or self.withheld

    @property
    def place(self) -> Place:
        """Its place in the timeline; `ValueError` for an event that has none."""
        if self.ordinal is None:
            raise ValueError(f"{self.event_id} has no place in the timeline")
        return Place(self.ordinal, self.sub)

    @property
    def is_beside(self) -> bool:
        """Whether the room's current state around it was not that around the event itself: a fork."""
        return self.room_before != self.snap_before or self.room_after != self.snap_after

    @property
    def key(self) -> tuple[str, str]:
        """(type, state key) of a state event."""
        if self.state_key is None:
            raise ValueError(f"{self.event_id} is not a state event")
        return (self.type, self.state_key)

    def parsed(self, event: Event) -> None:
        """Keep what has been parsed already."""
        self._event = event

    def attach(
        self,
        *,
        replaces_state: str | None = None,
        prev_content: bytes | None = None,
        redaction: StoredEvent | None = None,
    ) -> None:
        """Give it what its ``unsigned`` speaks of: the state event that it replaced (id, content as JSON),
        the redaction that has redacted it.
        """
        if replaces_state is not None:
            self.replaces_state = replaces_state
            self.prev_content = prev_content
        if redaction is not None:
            self.redaction = redaction
        self._static = None

    @property
    def words_before(self) -> str | None:
        """Of a member event, decorated, the membership that it replaced, if more was said with that."""
        if self.type != MEMBER or self.prev_content is None or self.is_redacted:
            return None
        before = orjson.loads(self.prev_content)
        return before.get("membership") if before.keys() > {"membership"} else None

    @property
    def because(self) -> Saying | None:
        """Of a redacted event, decorated, what redacted it."""
        said = self.redaction
        if said is None:
            return None
        return Saying(said.ref, said.num, said.ordinal, said.sub, said.type, said.state_key, said.sender)

    def redacted(self) -> StoredEvent:
        """The same event without its content, as for somebody who is not to see what its sender says."""
        return self.without(Part.WORDS)

    def without(self, parts: Part) -> StoredEvent:
        """The same event for somebody from whom these parts are withheld."""
        columns = [getattr(self, name) for name in _BUT_RAW]
        raw = redact_raw(self.version, self.raw) if Part.WORDS in parts else self.raw
        redaction = self.redaction
        if redaction is not None and Part.BECAUSE in parts:
            redaction = redaction.redacted()
        copy = StoredEvent.of_row(self.ref, [*columns, raw])
        copy.attach(
            replaces_state=self.replaces_state,
            prev_content=None if parts & (Part.WORDS | Part.BEFORE) else self.prev_content,
            redaction=redaction,
        )
        copy.noted = self.noted
        copy.withheld = Part.WORDS in parts
        return copy

    def client_dict(
        self,
        *,
        now_ms: int,
        user_id: str | None = None,
        device_id: str | None = None,
        membership: str | None = None,
        with_room_id: bool = True,
    ) -> dict[str, Any]:
        """``ClientEvent``. ``membership`` is the viewer's at the time of the event, for ``unsigned``."""
        unsigned: dict[str, Any] = {"age": now_ms - self.origin_server_ts, **self._unsigned()}
        name = self._txn_name(user_id, device_id)
        if name is not None:
            unsigned[name] = self.txn_id
        if membership is not None:
            unsigned["membership"] = membership
        return client_event(self.event, unsigned=unsigned, with_room_id=with_room_id)

    def client_bytes(
        self,
        *,
        now_ms: int,
        user_id: str | None = None,
        device_id: str | None = None,
        membership: str | None = None,
        with_room_id: bool = True,
        relations: bytes | None = None,
    ) -> bytes:
        """The JSON of `client_dict`, spliced from parts that are kept; ``relations`` is ``m.relations``."""
        parts = [
            self.head(with_room_id),
            b"%d" % (now_ms - self.origin_server_ts),
            self.tail(user_id, device_id, membership, relations),
            b"}}",
        ]
        return b"".join(parts)

    def head(self, with_room_id: bool = True) -> bytes:
        """Of the JSON what comes before the event's age; the same for everybody."""
        head = self._prefix_in_room if with_room_id else self._prefix
        if head is None:
            head = self._client_prefix(with_room_id) + b',"unsigned":{"age":'
            if with_room_id:
                self._prefix_in_room = head
            else:
                self._prefix = head
        return head

    def tail(
        self,
        user_id: str | None = None,
        device_id: str | None = None,
        membership: str | None = None,
        relations: bytes | None = None,
    ) -> bytes:
        """Of the JSON what comes after the age, but for the two braces at its end."""
        tail = self._static
        if tail is None:
            static = self._unsigned()
            tail = self._static = b"," + orjson.dumps(static)[1:-1] if static else b""
        if self.txn_id is not None:
            name = self._txn_name(user_id, device_id)
            if name is not None:
                tail += b',"%b":%b' % (name.encode(), orjson.dumps(self.txn_id))
        if membership is not None:
            tail += _MEMBERSHIP[membership]
        if relations is not None:
            tail += b',"m.relations":' + relations
        return tail

    def _client_prefix(self, with_room_id: bool) -> bytes:
        """As `client_event_prefix`, by the bytes of the content: a page of history is read by nobody here."""
        if self.type == "m.room.redaction":
            return client_event_prefix(self.event, with_room_id)
        client: dict[str, Any] = {
            "content": orjson.Fragment(bytes(_content_of(self.raw).content)),
            "event_id": self.event_id,
            "origin_server_ts": self.origin_server_ts,
            "sender": self.sender,
            "type": self.type,
        }
        if with_room_id:
            client["room_id"] = self.ref.room_id
        if self.state_key is not None:
            client["state_key"] = self.state_key
        return orjson.dumps(client)[:-1]

    def _txn_name(self, user_id: str | None, device_id: str | None) -> str | None:
        if self.txn_id is None or user_id != self.sender:
            return None
        return Txn.shown_as(self.txn_device, device_id)

    def _unsigned(self) -> dict[str, Any]:
        """What of ``unsigned`` is the same for everybody."""
        unsigned: dict[str, Any] = {}
        if self.replaces_state is not None:
            unsigned["replaces_state"] = self.replaces_state
        # A redacted event has lost its ``unsigned`` too, as far as it was made of contents.
        if self.prev_content is not None and not self.is_redacted:
            unsigned["prev_content"] = orjson.loads(self.prev_content)
        if self.redaction is not None:
            unsigned["redacted_because"] = client_event(self.redaction.event)
        return unsigned

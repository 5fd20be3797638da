"""Building a chain of events upon a head. Pure: what is not at hand raises `Missing`, and the caller reads
it.

For each event wanted, in this order:

1. Its transaction id was used by an event before it in the chain, or it is a state event and says what the
   state says already: nothing is to be written (`Verdict` with the event in force).
2. The authorisation rules decide upon the state so far, the chain included.
3. A redaction finds its target and whether this user may take its content away.
4. The event is built, hashed and signed; nothing has been changed until here, so a refusal leaves no trace.
5. The head moves on: extremity, state, snapshot, membership and visibility changes.

A chain has one verdict per event wanted. None of them is told to anybody before the write has shown that the
head was true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from plexus.protocol.auth_rules import auth_types_for_event, check_auth, may_redact_locally
from plexus.protocol.canonical_json import encode
from plexus.protocol.errors import AuthRejected, Forbidden, InvalidParam, MatrixError
from plexus.protocol.events import Draft, Event, build, redact_raw
from plexus.protocol.identifiers import is_event_id, is_user_id, server_of
from plexus.protocol.power_levels import PowerLevels
from plexus.protocol.signatures import SigningKey
from plexus.protocol.validation import MAX_EVENT_DEPTH
from plexus.protocol.visibility import history_visibility_of
from plexus.rooms.head import Entry, RoomHead, StateKey
from plexus.rooms.values import NewEvent, RoomRef, Txn
from plexus.rooms.writes import MEMBERSHIPS, EventRow, MemberChange, NewRoom, Redaction, RoomWrite

MAX_TXN_ID_BYTES = 512
_CREATE: StateKey = ("m.room.create", "")
_POWER_LEVELS: StateKey = ("m.room.power_levels", "")


@dataclass(frozen=True, slots=True)
class Wish:
    """An event that a user wants to send. ``ts`` in milliseconds."""

    sender: str
    event: NewEvent
    txn: Txn | None
    ts: int


@dataclass(frozen=True, slots=True)
class Target:
    """The event that a redaction names. ``raw`` as it is now; ``is_redacted``: nothing is left to take
    away.
    """

    num: int
    type: str
    sender: str
    state_key: str | None
    raw: bytes
    is_redacted: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a wish: an event (``at`` its index in the chain, None if it is an older one), or an
    error.
    """

    event_id: str = ""
    at: int | None = None
    replayed: bool = False
    error: MatrixError | None = None


@dataclass(slots=True)
class Missing(Exception):  # noqa: N818 - a question, not an error
    """What must be read before the chain can be built."""

    entries: set[StateKey] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)
    pages: set[int] = field(default_factory=set)
    chain: bool = False

    def __bool__(self) -> bool:
        return bool(self.entries or self.targets or self.pages or self.chain)


@dataclass(frozen=True, slots=True)
class Signer:
    """With what events are signed."""

    server_name: str
    key: SigningKey


def needs(head: RoomHead, wishes: Sequence[Wish]) -> Missing:
    """What these wishes will need and the head does not have, as far as can be told before building."""
    wanted: set[StateKey] = {_CREATE, _POWER_LEVELS}
    targets: set[str] = set()
    states = 0
    for wish in wishes:
        event = wish.event
        wanted.update(
            auth_types_for_event(head.version, event.type, event.state_key, wish.sender, event.content)
        )
        if event.state_key is not None:
            states += 1
            wanted.add((event.type, event.state_key))
        if (target := target_of(head, event)) is not None:
            targets.add(target)
    missing = Missing(targets=targets)
    if not head.is_complete:
        missing.entries = {key for key in wanted if key not in head.entries}
    if states:
        if head.chain is None:
            missing.chain = True
        else:
            known = (head.key_nums.get((w.event.type, w.event.state_key or "")) for w in wishes)
            keys = [num for num in known if num is not None] + [head.next_state_key]
            missing.pages = head.chain.pages_to_advance(keys, states)
    return missing


def target_of(head: RoomHead, event: NewEvent) -> str | None:
    """The event that a redaction names, if it names one."""
    if event.type != "m.room.redaction":
        return None
    target: Any = event.redacts
    if target is None and head.version.redacts_in_content:
        target = event.content.get("redacts")
    return target if is_event_id(target) else None


class ChainBuilder:
    """A chain in the making upon ``head``.

    ``targets`` are the redaction targets that were read (None: there is no such event), ``pages`` pages of
    the state's checkpoint. For a new room ``head`` is that of an empty room and ``new`` says what it will be.
    """

    def __init__(
        self,
        head: RoomHead,
        signer: Signer,
        *,
        targets: Mapping[str, Target | None] | None = None,
        pages: Mapping[int, bytes] | None = None,
        new: NewRoom | None = None,
        lane_of: Callable[[str], int] | None = None,
    ) -> None:
        self._head = head
        self._signer = signer
        self._targets = targets or {}
        self._pages = pages or {}
        self._lane_of = lane_of
        self._ref = head.ref
        self._entries = head.entries.mutate()
        self._key_nums = head.key_nums.mutate()
        self._chain = head.chain
        self._depth = head.depth
        self._extremities = head.extremities
        self._next_state_key = head.next_state_key
        self._next_snapshot = head.next_snapshot
        self._next_page = head.next_page
        self._snapshot = head.snapshot
        self._txns: dict[Txn, str] = {}
        self._redacted: set[int] = set()
        self._events: dict[str, EventRow] = {}
        self.verdicts: list[Verdict] = []
        self.write = RoomWrite(head.ref, head.seen, 0, 0, 0, 0, new)

    @property
    def room_id(self) -> str:
        """The room's ID; empty before the create event that names it."""
        return self._ref.room_id

    def add(self, wish: Wish) -> None:
        """Judge a wish and, if it is granted, put its event at the end of the chain. Raises only
        `Missing`.
        """
        try:
            self.verdicts.append(self._judge(wish))
        except MatrixError as error:
            self.verdicts.append(Verdict(error=error))

    def finish(self) -> tuple[RoomWrite, RoomHead]:
        """The write, and the head as it will be after it (its positions are not known yet)."""
        write = self.write
        write.ref = self._ref
        write.snapshot = self._snapshot
        write.next_state_key = self._next_state_key
        write.next_snapshot = self._next_snapshot
        write.next_page = self._next_page
        head = replace(
            self._head,
            ref=self._ref,
            seen=self._head.seen + 1,
            head_num=self._head.head_num + len(write.events),
            depth=self._depth,
            extremities=self._extremities,
            snapshot=self._snapshot,
            next_state_key=self._next_state_key,
            next_snapshot=self._next_snapshot,
            next_page=self._next_page,
            entries=self._entries.finish(),
            key_nums=self._key_nums.finish(),
            chain=self._chain,
        )
        return write, head

    # --- one wish

    def _judge(self, wish: Wish) -> Verdict:
        new, txn = wish.event, wish.txn
        if txn is not None:
            _check_txn(txn)
            if txn in self._txns:
                return Verdict(self._txns[txn], replayed=True)
        _check_names(new)
        content: Mapping[str, Any] = new.content
        if new.state_key is not None:
            current = self._entry((new.type, new.state_key))
            if current is not None and _says_the_same(current.event, wish):
                return Verdict(current.event.event_id, replayed=True)

        version = self._head.version
        auth = [
            entry
            for key in auth_types_for_event(version, new.type, new.state_key, wish.sender, content)
            if (entry := self._entry(key)) is not None
        ]
        create = self._entry(_CREATE)
        if create is None and new.type != "m.room.create":
            raise AuthRejected("2", "The room has no create event")
        prev = tuple(event_id for _, event_id in self._extremities)
        names_room = version.room_id_is_create_event_hash and new.type == "m.room.create"
        room_id = None if names_room else self._ref.room_id
        check_auth(
            version,
            Draft(new.type, wish.sender, content, room_id, new.state_key, prev),
            self._lookup,
            create=None if create is None else create.event,
        )
        target = self._target_to_redact(wish)
        event = build(
            version,
            room_id=room_id,
            type=new.type,
            sender=wish.sender,
            content=content,
            state_key=new.state_key,
            redacts=target_of(self._head, new),
            prev_events=prev,
            auth_events=[entry.event.event_id for entry in auth],
            depth=min(self._depth + 1, MAX_EVENT_DEPTH),
            origin_server_ts=wish.ts,
            server_name=self._signer.server_name,
            key=self._signer.key,
        )
        self._append(event, tuple(entry.num for entry in auth), txn)
        if target is not None:
            self._redact(target, event)
        return Verdict(event.event_id, at=len(self.write.events) - 1)

    def _entry(self, key: StateKey) -> Entry | None:
        try:
            return self._entries[key]
        except KeyError:
            if self._head.is_complete:
                return None
            raise Missing(entries={key}) from None

    def _lookup(self, type: str, state_key: str) -> Event | None:
        entry = self._entry((type, state_key))
        return None if entry is None else entry.event

    # --- redactions

    def _target_to_redact(self, wish: Wish) -> Target | None:
        """The target, if something of it is to be taken away; `Forbidden` if this user may not.

        A target that is not here is nothing to us. Client-Server API, "Redactions"; room version 3, "Handling
        redactions".
        """
        event_id = target_of(self._head, wish.event)
        if event_id is None:
            if wish.event.redacts is not None:
                raise InvalidParam("What is to be redacted is not an event ID")
            return None
        target = self._find_target(event_id)
        if target is None:
            return None
        if target.type == "m.room.create":
            raise Forbidden("The create event of a room cannot be redacted")
        create = self._entry(_CREATE)
        power_event = self._lookup(*_POWER_LEVELS)
        if create is None:
            raise AuthRejected("2", "The room has no create event")
        power = PowerLevels.of(
            self._head.version, None if power_event is None else power_event.content, create.event
        )
        if not may_redact_locally(power, wish.sender, target.sender):
            raise Forbidden("You do not have the power to redact the events of others")
        return None if target.is_redacted or target.num in self._redacted else target

    def _find_target(self, event_id: str) -> Target | None:
        row = self._events.get(event_id)
        if row is not None:
            event = row.event
            return Target(row.num, event.type, event.sender, event.state_key, event.raw, False)
        if event_id not in self._targets:
            raise Missing(targets={event_id})
        return self._targets[event_id]

    def _redact(self, target: Target, by: Event) -> None:
        version = self._head.version
        raw = redact_raw(version, target.raw)
        self._redacted.add(target.num)
        self.write.redactions.append(Redaction(len(self.write.events) - 1, target.num, raw))
        if target.state_key is not None:
            key = (target.type, target.state_key)
            entry = self._entries.get(key)
            if entry is not None and entry.num == target.num:
                self._entries[key] = Entry(target.num, Event.from_raw(version, raw, entry.event.event_id))

    # --- the head moves on

    def _append(self, event: Event, auth: tuple[int, ...], txn: Txn | None) -> None:
        write = self.write
        at = len(write.events)
        num = self._head.head_num + at + 1
        if self._ref.room_id != event.room_id:
            # The create event has named the room.
            lane = self._ref.lane if self._lane_of is None else self._lane_of(event.room_id)
            self._ref = RoomRef(event.room_id, lane, self._ref.room, self._ref.room_version)
        before = self._snapshot
        replaces = None
        if event.state_key is not None:
            replaces = self._entry(event.key)
            self._set_state(at, num, event)
        prev = tuple(num for num, _ in self._extremities)
        row = EventRow(num, event, before, self._snapshot, prev, auth, txn, replaces)
        write.events.append(row)
        self._events[event.event_id] = row
        self._extremities = ((num, event.event_id),)
        self._depth = event.depth
        if txn is not None:
            self._txns[txn] = event.event_id

    def _set_state(self, at: int, num: int, event: Event) -> None:
        key = event.key
        old = self._entry(key)
        if self._chain is None:
            raise Missing(chain=True)
        key_num = self._key_nums.get(key)
        is_new = key_num is None
        if key_num is None:
            key_num = self._next_state_key
        pages = self._chain.pages_to_advance((key_num,), 1)
        if not pages <= self._pages.keys():
            raise Missing(pages=pages)
        if is_new:
            self._next_state_key += 1
            self._key_nums[key] = key_num
            self.write.state_keys.append((at, key_num))
        self._chain, row = self._chain.advance(
            snap=self._next_snapshot,
            salt=self._head.salt,
            key=key_num,
            old=None if old is None else old.num,
            new=num,
            next_page=self._next_page,
            pages=self._pages,
        )
        self._next_snapshot += 1
        self._next_page += len(row.new_pages)
        self._snapshot = row.snap
        self.write.snapshots.append((at, row))
        self._entries[key] = Entry(num, event)
        if event.type == "m.room.member":
            change = MemberChange(
                at, _membership(event), 0 if old is None else _membership(old.event), server_of(key[1])
            )
            self.write.members.append(change)
        elif key == ("m.room.history_visibility", ""):
            self.write.visibilities.append((at, history_visibility_of(event.content)))


def _membership(event: Event) -> int:
    membership = event.content.get("membership")
    return MEMBERSHIPS.get(membership, 0) if isinstance(membership, str) else 0


def _says_the_same(current: Event, wish: Wish) -> bool:
    return current.sender == wish.sender and encode(current.content) == encode(dict(wish.event.content))


def _check_names(new: NewEvent) -> None:
    if "\0" in new.type or (new.state_key is not None and "\0" in new.state_key):
        raise InvalidParam("An event's type and state key cannot hold U+0000")
    if new.type == "m.room.member" and new.state_key is not None and not is_user_id(new.state_key):
        raise InvalidParam("The state key of a membership is a user ID")


def _check_txn(txn: Txn) -> None:
    try:
        size = len(txn.txn_id.encode())
    except UnicodeEncodeError:
        raise InvalidParam("The transaction ID is not valid Unicode") from None
    if "\0" in txn.txn_id or size > MAX_TXN_ID_BYTES:
        raise InvalidParam(f"A transaction ID has at most {MAX_TXN_ID_BYTES} bytes and no U+0000")

"""Building a chain of events upon a head. Pure: what is not at hand raises `Missing`, and the caller reads
it.

For each event wanted, in this order:

1. Its transaction id was used by an event before it in the chain, or it is a state event and says what the
   state says already: nothing is to be written (`Verdict` with the event in force).
2. The authorisation rules decide upon the state so far, the chain included.
3. A redaction finds its target and whether this user may take its content away (``redactions``); what relates
   to another event finds that one (``relating``).
4. The event is built, hashed and signed; nothing has been changed until here, so a refusal leaves no trace.
5. The head moves on: extremity, state, snapshot, membership and visibility changes (``pending_state``).

A chain has one verdict per event wanted. None of them is told to anybody before the write has shown that the
head was true.
"""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from plexus.protocol.auth_rules import auth_types_for_event, check_auth
from plexus.protocol.building import build
from plexus.protocol.canonical_json import encode
from plexus.protocol.errors import MatrixError
from plexus.protocol.events import Draft, Event, reference_hash_of
from plexus.protocol.power_levels import check_own_levels
from plexus.protocol.relations import relation_of
from plexus.protocol.signatures import SigningKey
from plexus.rooms.head import Entry, Extremity, RoomHead, StateKey
from plexus.rooms.pending_state import PendingState
from plexus.rooms.redactions import Redactions, target_of
from plexus.rooms.relating import Relations, annotation_of, relating
from plexus.rooms.values import RoomRef, Txn
from plexus.rooms.wishes import Annotation, Found, Missing, Verdict, Wish, check_names
from plexus.rooms.writes import Before, EventRow, NewRoom, RoomWrite

_CREATE: StateKey = ("m.room.create", "")
_POWER_LEVELS: StateKey = ("m.room.power_levels", "")


def random_opaque_id() -> str:
    """What makes an event ID unique where it is not a hash."""
    return urlsafe_b64encode(os.urandom(18)).decode()


@dataclass(frozen=True, slots=True)
class Signer:
    """With what events are signed; and named, in the room versions in which servers give them their IDs."""

    server_name: str
    key: SigningKey
    opaque_id: Callable[[], str] = random_opaque_id

    def new_event_id(self) -> str:
        return f"${self.opaque_id()}:{self.server_name}"


def needs(head: RoomHead, wishes: Sequence[Wish]) -> Missing:
    """What these wishes will need and the head does not have, as far as can be told before building."""
    wanted: set[StateKey] = {_CREATE, _POWER_LEVELS}
    targets: set[str] = set()
    annotations: set[Annotation] = set()
    if head.version.references_with_hashes:
        targets.update(end.event_id for end in head.extremities)
    states = 0
    for wish in wishes:
        event = wish.event
        wanted.update(
            auth_types_for_event(head.version, event.type, event.state_key, wish.sender, event.content)
        )
        if event.state_key is not None:
            states += 1
            wanted.add((event.type, event.state_key))
        if (target := target_of(head.version, event)) is not None:
            targets.add(target)
        if event.state_key is None and (relation := relation_of(event.content)) is not None:
            targets.add(relation.parent)
            if (annotation := annotation_of(wish.sender, event.type, relation)) is not None:
                annotations.add(annotation)
    missing = Missing(targets=targets, annotations=annotations)
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


class ChainBuilder:
    """A chain in the making upon ``head``.

    Among the targets that were ``found`` are the extremities, where the room version wants their hashes. For
    a new room ``head`` is that of an empty room and ``new`` says what it will be.
    """

    def __init__(
        self,
        head: RoomHead,
        signer: Signer,
        *,
        found: Found | None = None,
        new: NewRoom | None = None,
        lane_of: Callable[[str], int] | None = None,
    ) -> None:
        self.write = RoomWrite(head.ref, head.seen, 0, 0, 0, 0, new)
        self.verdicts: list[Verdict] = []
        self._head = head
        self._signer = signer
        self._lane_of = lane_of
        self._ref = head.ref
        self._depth = head.depth
        self._extremities = head.extremities
        self._txns: dict[Txn, str] = {}
        self._events: dict[str, EventRow] = {}
        found = found or Found()
        self._state = PendingState(head, found.pages, self.write)
        self._redactions = Redactions(head.version, self._state, self._events, found.targets, self.write)
        self._relations = Relations(head.version, self._redactions, found.annotations)

    @property
    def room_id(self) -> str:
        """The room's ID; empty before the create event that names it."""
        return self._ref.room_id

    def add(self, wish: Wish) -> None:
        """Judge a wish and, if it is granted, put its event at the end of the chain. Raises only
        `Missing`.
        """
        self.verdicts.append(self._judge(wish))

    def finish(self) -> tuple[RoomWrite, RoomHead]:
        """The write, and the head as it will be after it (its positions are not known yet)."""
        self.write.ref = self._ref
        entries = self._head.entries
        create, levels = entries.get(_CREATE), entries.get(_POWER_LEVELS)
        self.write.before = Before(
            self._head.snapshot,
            None if create is None else create.event,
            None if levels is None else levels.event,
        )
        head = replace(
            self._head,
            ref=self._ref,
            seen=self._head.seen + 1,
            head_num=self._head.head_num + len(self.write.events),
            depth=self._depth,
            extremities=self._extremities,
        )
        return self.write, self._state.finish(head)

    def _judge(self, wish: Wish) -> Verdict:
        txn = wish.txn
        if txn is not None and (sent := self._txns.get(txn)) is not None:
            return Verdict(sent, replayed=True)
        try:
            check_names(wish.event)
            if wish.event.type == "m.room.power_levels":
                check_own_levels(self._head.version, wish.event.content)
            in_force = self._in_force(wish)
            if in_force is None:
                return Verdict(self._grant(wish).event_id, at=len(self.write.events) - 1)
        except MatrixError as error:
            return Verdict(error=error, unless_sent=txn is not None)
        return Verdict(in_force.event_id, replayed=True, unless_sent=txn is not None)

    def _in_force(self, wish: Wish) -> Event | None:
        """The state event in force, if it says what is wished and by the same sender."""
        new = wish.event
        if new.state_key is None:
            return None
        current = self._state.event(new.type, new.state_key)
        if current is None or current.sender != wish.sender:
            return None
        strict = self._head.version.strict_canonical_json
        wanted = encode(dict(new.content), strict=strict)
        return current if encode(current.content, strict=strict) == wanted else None

    def _grant(self, wish: Wish) -> Event:
        """Put the event at the end of the chain, or raise what stands against it."""
        new, version = wish.event, self._head.version
        auth = [
            entry
            for key in auth_types_for_event(version, new.type, new.state_key, wish.sender, new.content)
            if (entry := self._state.entry(key)) is not None
        ]
        create = self._state.event(*_CREATE)
        prev = tuple(end.event_id for end in self._extremities)
        names_room = version.room_id_is_create_event_hash and new.type == "m.room.create"
        room_id = None if names_room else self._ref.room_id
        event_id = self._signer.new_event_id() if version.event_ids == "given" else None
        redacts = target_of(version, new)
        check_auth(
            version,
            Draft(new.type, wish.sender, new.content, room_id, new.state_key, prev, event_id, redacts),
            self._state.event,
            create=create,
        )
        target = self._redactions.judge(wish.sender, new)
        annotation = self._relations.judge(wish.sender, new)
        event = build(
            version,
            room_id=room_id,
            type=new.type,
            sender=wish.sender,
            content=new.content,
            state_key=new.state_key,
            redacts=redacts,
            event_id=event_id,
            prev_events=prev,
            auth_events=[entry.event.event_id for entry in auth],
            reference_hashes=self._hashes(prev, auth) if version.references_with_hashes else {},
            depth=min(self._depth + 1, version.max_integer),
            origin_server_ts=wish.ts,
            server_name=self._signer.server_name,
            key=self._signer.key,
        )
        self._append(event, tuple(entry.num for entry in auth), wish.txn)
        if target is not None:
            self._redactions.apply(target)
        if annotation is not None:
            self._relations.apply(annotation, self.write.events[-1].num)
        return event

    def _hashes(self, prev: Iterable[str], auth: Iterable[Entry]) -> dict[str, str]:
        """The reference hashes of the events that are cited; raises `Missing`."""
        raws = {entry.event.event_id: entry.event.raw for entry in auth}
        for event_id in prev:
            if event_id not in raws and (cited := self._redactions.find(event_id)) is not None:
                raws[event_id] = cited.raw
        return {event_id: reference_hash_of(self._head.version, raw) for event_id, raw in raws.items()}

    def _append(self, event: Event, auth: tuple[int, ...], txn: Txn | None) -> None:
        """The head moves on."""
        at = len(self.write.events)
        num = self._head.head_num + at + 1
        if self._ref.room_id != event.room_id:
            # The create event has named the room.
            lane = self._ref.lane if self._lane_of is None else self._lane_of(event.room_id)
            self._ref = RoomRef(event.room_id, lane, self._ref.room, self._ref.room_version)
        before = self._state.snapshot
        replaces = None
        if event.state_key is not None:
            replaces = self._state.entry(event.key)
            self._state.put(at, num, event)
        prev = tuple(end.num for end in self._extremities)
        row = EventRow(num, event, before, self._state.snapshot, prev, auth, txn, replaces)
        self.write.events.append(row)
        if (relation := relating(at, event)) is not None:
            self.write.relations.append(relation)
        self._events[event.event_id] = row
        self._extremities = (Extremity(num, event.event_id, self._state.snapshot, event.depth),)
        self._depth = event.depth
        if txn is not None:
            self._txns[txn] = event.event_id

"""A fragment: one room's section of a sync response, as bytes that several users can share.

What all members get alike is printed once. The variants are few and are spliced from the same parts: the
transaction ids, for the device that sent an event of the timeline; the member events that a lazy-loading
device has not been sent yet; the heroes, for a user who is one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson
from plexus.protocol.filters import apply_event_fields
from plexus.protocol.identifiers import NO_DEVICE
from plexus.rooms import Bundle, RoomRef, RoomSummary, StoredEvent, TimelineToken
from plexus.sync.events import SyncEvent
from plexus.sync.fragments.bundled import with_bundles
from plexus.sync.fragments.federation_form import Pdus, in_federation_form
from plexus.sync.models import STATE

HEROES = 5
_VARIANTS = 4
"""Printed forms that are kept of a fragment, by the member events in them and the keys of the state."""

_MEMBER_BYTES = 500
_FRESH_MS = 1_000
"""For how long the ``age`` of a printed event may be passed on."""


def _summary_json(summary: RoomSummary, viewer: str) -> bytes:
    return b'"summary":{"m.heroes":%b,"m.joined_member_count":%d,"m.invited_member_count":%d}' % (
        orjson.dumps(summary.heroes(viewer, HEROES)),
        summary.joined,
        summary.invited,
    )


@dataclass(slots=True)
class Fragment:
    """A room's section between two ordinals of its timeline, the later one included.

    ``memberships`` are the viewer's at each event of the timeline if it was made for one viewer, None if it
    is for those who were joined throughout. ``state`` are the events of the state section, ``lazy`` the users
    whose member events belong to it unless the device has them, as of ``snapshot``, and ``members`` those
    loaded so far; of the users who are ``covered`` it has the right ones already. ``joined`` and ``left`` are
    the users who came and went, and ``encrypts`` says that the room has become encrypted. ``bundles`` are
    told with the events of these ordinals. ``last_words`` are the member events in it, by user, that are
    withheld from who came later if their senders are erased, or who redacted them; ``gone`` those who leave
    in its timeline. ``embedding`` are events of its state, if it is full, that tell what others have said,
    and ``embedded`` whose words are told so, with the ordinal since which a member must have been there to
    have heard them. ``pdus`` are there if they are to be shown instead.
    """

    ref: RoomRef
    events: Sequence[SyncEvent]
    limited: bool
    prev_batch: TimelineToken
    state: Sequence[bytes]
    snapshot: int
    memberships: Sequence[str] | None = None
    lazy: frozenset[str] = frozenset()
    covered: frozenset[str] = frozenset()
    is_full: bool = False
    summary: RoomSummary | None = None
    joined: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    encrypts: bool = False
    event_fields: tuple[str, ...] | None = None
    bundles: Mapping[int, Bundle] = field(default_factory=dict)
    pdus: Pdus | None = None
    members: dict[str, bytes | None] = field(default_factory=dict)
    last_words: dict[str, StoredEvent] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    embedding: Sequence[StoredEvent] = ()
    embedded: Mapping[str, int] = field(default_factory=dict)
    size: int = 0
    _owners: frozenset[tuple[str, str | None]] = frozenset()
    _talkers: frozenset[str] = frozenset()
    """Who takes part in threads of which it tells: they are told so."""
    _printed_ms: int = 0
    _printed: dict[tuple[frozenset[str], tuple[bytes, ...]], bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._owners = frozenset((e.sender, e.txn_device) for e in self.events if e.txn_id is not None)
        self.size = 1000 + 2 * sum(e.size for e in self.events) + 2 * sum(map(len, self.state))
        self.size += sum(len(event.raw) for event in self.last_words.values())
        # They are loaded later, for who needs them.
        self.size += _MEMBER_BYTES * len(self.lazy)
        if self.bundles:
            threads = [bundle.thread for bundle in self.bundles.values() if bundle.thread is not None]
            self._talkers = frozenset().union(*(thread.senders for thread in threads))
            self.size += sum(bundle.size for bundle in self.bundles.values())

    def with_memberships(self, memberships: Sequence[str]) -> Fragment:
        """The same for one viewer, with their membership at each event."""
        return replace(self, memberships=memberships, _printed={}, _printed_ms=0)

    def with_member(self, event: StoredEvent, now_ms: int) -> Fragment:
        """The same for one viewer, who is to see this member event instead of that which was loaded."""
        user, shown = event.state_key or "", None
        if self.members.get(user) is not None:
            shown = event.client_bytes(now_ms=now_ms, with_room_id=False)
        return replace(
            self,
            members=self.members | {user: shown},
            pdus=None if self.pdus is None else {**self.pdus, event.event_id: event.raw},
            _printed={},
            _printed_ms=0,
        )

    @property
    def first_ordinal(self) -> int | None:
        """The ordinal of the first event in the timeline, if there is one."""
        return self.events[0].ordinal if self.events else None

    def speaks_of(self, users: frozenset[str]) -> bool:
        """Whether it tells what any of these have said."""
        return any(event.state_key is None and event.sender in users for event in self.events) or any(
            not users.isdisjoint(bundle.senders) for bundle in self.bundles.values()
        )

    @property
    def told(self) -> Iterator[SyncEvent | StoredEvent]:
        """All events of the timeline, those told with them, and those of the state that tell of others."""
        yield from self.events
        yield from self.embedding
        for bundle in self.bundles.values():
            yield from bundle.events()

    @property
    def is_empty(self) -> bool:
        """Whether it tells nothing: then the room can be left out of an incremental sync."""
        return not (self.events or self.state or self.summary or self.limited or self.lazy)

    def render(
        self,
        viewer: str,
        device: str | None,
        lazy: frozenset[str],
        now_ms: int,
        state_keys: tuple[bytes, ...],
    ) -> bytes:
        """The section without its closing brace. ``lazy`` are the member events to add, loaded before;
        ``state_keys`` those of the section with the state, which is there once for each.
        """
        owners = self._owners
        own = (viewer, device) in owners or (viewer, NO_DEVICE) in owners
        in_summary = self.summary is not None and viewer in self.summary.heroes("", HEROES)
        if own or in_summary or viewer in self._talkers:
            return self._print(viewer, device, lazy, now_ms, state_keys)
        if now_ms - self._printed_ms > _FRESH_MS:
            self._printed.clear()
            self._printed_ms = now_ms
        variant = (lazy, state_keys)
        printed = self._printed.get(variant)
        if printed is None:
            printed = self._print("", None, lazy, now_ms, state_keys)
            if len(self._printed) < _VARIANTS:
                self._printed[variant] = printed
        return printed

    def _print(
        self,
        viewer: str,
        device: str | None,
        lazy: frozenset[str],
        now_ms: int,
        state_keys: tuple[bytes, ...],
    ) -> bytes:
        state = list(self.state)
        state += [event for event in map(self.members.get, lazy) if event is not None]
        events = [
            event.json(
                now_ms,
                b"join" if self.memberships is None else self.memberships[index].encode(),
                event.txn_name(viewer, device),
            )
            for index, event in enumerate(self.events)
        ]
        if self.bundles:
            events = with_bundles(events, self.events, self.bundles, viewer, device, now_ms)
        if self.pdus is not None:
            events = [in_federation_form(event, self.pdus) for event in events]
            state = [in_federation_form(event, self.pdus) for event in state]
        if self.event_fields is not None:
            events = [_only(self.event_fields, event) for event in events]
            state = [_only(self.event_fields, event) for event in state]
        parts = [
            b'{"timeline":{"events":[%b],"limited":%b,"prev_batch":"%b"}'
            % (b",".join(events), b"true" if self.limited else b"false", self.prev_batch.encode().encode())
        ]
        # One made for one viewer may be of a room they left: matrix-nio wants a state there, empty or not.
        if state or state_keys != STATE or self.memberships is not None:
            parts += [b'"%b":{"events":[%b]}' % (key, b",".join(state)) for key in state_keys]
        if self.summary is not None:
            parts.append(_summary_json(self.summary, viewer))
        return b",".join(parts)


def _only(fields: tuple[str, ...], event: bytes) -> bytes:
    return orjson.dumps(apply_event_fields(orjson.loads(event), fields))

"""The whole current state of a room, printed: for ``/members``, ``/joined_members`` and ``/state``.

Client-Server API, "Getting events for a room".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import orjson
from plexus.rooms.erasure import is_last_word
from plexus.rooms.membership import member_of
from plexus.rooms.printing import Run
from plexus.rooms.stored import StoredEvent
from plexus.rooms.values import Member, RoomRef

MEMBER = "m.room.member"

_MOST_RUNS = 4
"""Selections of one state that are kept in a row: all of it, and the members that clients ask for."""

_ENTRY_BYTES = 500
"""Of an entry beside what is printed of it, the places in runs included."""

Memberships = frozenset[str] | None
Selection = tuple[bool, Memberships]
"""Whether of member events only, and of which."""


class Eyes(Protocol):
    """Whose answer it is, and when."""

    @property
    def user_id(self) -> str: ...
    @property
    def device_id(self) -> str | None: ...
    @property
    def now_ms(self) -> int: ...


class Entry:
    """One event of a state. ``membership`` and ``joined`` (a member of the object that ``/joined_members``
    gives) are of member events only. ``event`` is kept where its sender sees more of it than others,
    ``last_word`` where it is one.
    """

    __slots__ = ("event", "head", "joined", "last_word", "membership", "stamp", "tail")

    def __init__(self, event: StoredEvent) -> None:
        self.head = event.head()
        self.tail = event.tail()
        self.stamp = event.origin_server_ts
        self.event = None if event.txn_id is None else event
        self.last_word = event if is_last_word(event) else None
        self.membership: str | None = None
        self.joined: bytes | None = None
        if event.type == MEMBER:
            member = member_of(event)
            self.membership = member.membership
            if member.membership == "join":
                self.joined = joined_json(member)

    @property
    def size(self) -> int:
        joined = 0 if self.joined is None else 2 * len(self.joined)
        word = 0 if self.last_word is None else _ENTRY_BYTES + len(self.last_word.raw)
        return _ENTRY_BYTES + len(self.head) + len(self.tail) + joined + word


class StateInForce:
    """The state of a room from its event ``since`` to its event ``num``, which moves on while nothing touches
    the state. What is printed of it is kept. ``last_words`` are the events of it that may not be for all.
    """

    def __init__(
        self,
        ref: RoomRef,
        num: int,
        since: int,
        entries: Mapping[tuple[str, str], Entry],
        size: int,
        senders: frozenset[str],
    ) -> None:
        self.ref = ref
        self.num = num
        self.since = since
        self.size = size
        self._entries = entries
        self._senders = senders
        self.last_words = [entry.last_word for entry in entries.values() if entry.last_word is not None]
        self._runs: dict[Selection, Run] = {}
        self._joined: bytes | None = None

    @classmethod
    def of(cls, ref: RoomRef, num: int, entries: Mapping[tuple[str, str], Entry]) -> StateInForce:
        """As it was read at ``num``."""
        return cls(ref, num, num, entries, _size(entries.values()), _senders(entries.values()))

    def later(self, num: int, since: int, changes: Mapping[tuple[str, str], Entry]) -> StateInForce:
        """The state after these entries have been set, the last of them by the event ``since``."""
        gone = [self._entries[key] for key in changes if key in self._entries]
        size = self.size + _size(changes.values()) - _size(gone)
        senders = self._senders | _senders(changes.values())
        return StateInForce(self.ref, num, since, {**self._entries, **changes}, size, senders)

    def events(self, eyes: Eyes, before: bytes, after: bytes) -> bytes:
        """All events, as one client gets them, between these two."""
        return self._print((False, None), eyes, before, after)

    def members(self, eyes: Eyes, before: bytes, after: bytes, memberships: Memberships = None) -> bytes:
        """The same of the member events, or of those with one of these memberships."""
        return self._print((True, memberships), eyes, before, after)

    def joined(self) -> bytes:
        """The JSON object of who is joined, by user ID."""
        if self._joined is None:
            shown = [entry.joined for entry in self._entries.values() if entry.joined is not None]
            self._joined = b"{" + b",".join(shown) + b"}"
        return self._joined

    def _print(self, selection: Selection, eyes: Eyes, before: bytes, after: bytes) -> bytes:
        if eyes.user_id in self._senders:
            return self._run(selection, eyes).print(eyes.now_ms, before, after)
        run = self._runs.get(selection)
        if run is None:
            run = self._runs[selection] = self._run(selection, None)
            if len(self._runs) > _MOST_RUNS:
                del self._runs[next(iter(self._runs))]
        return run.print(eyes.now_ms, before, after)

    def _run(self, selection: Selection, eyes: Eyes | None) -> Run:
        only_members, memberships = selection
        entries = [
            entry
            for entry in self._entries.values()
            if not only_members
            or (entry.membership is not None and (memberships is None or entry.membership in memberships))
        ]
        tails = [
            entry.tail
            if entry.event is None or eyes is None
            else entry.event.tail(eyes.user_id, eyes.device_id)
            for entry in entries
        ]
        return Run([entry.head for entry in entries], [entry.stamp for entry in entries], tails)


def _size(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries)


def _senders(entries: Iterable[Entry]) -> frozenset[str]:
    """Those who see more of an event of theirs than others do."""
    return frozenset(entry.event.sender for entry in entries if entry.event is not None)


def joined_json(member: Member) -> bytes:
    """One member of the ``joined`` object: the user ID with what is known of them."""
    shown = {"display_name": member.displayname, "avatar_url": member.avatar_url}
    known = {name: value for name, value in shown.items() if value is not None}
    return orjson.dumps(member.user_id) + b":" + orjson.dumps(known)

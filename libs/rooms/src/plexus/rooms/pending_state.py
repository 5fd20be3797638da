"""The state of a room while a chain is built upon it: what holds after each event, and the rows it takes to
say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from plexus.protocol.events import Event
from plexus.protocol.identifiers import server_of
from plexus.protocol.room_versions import RoomVersion
from plexus.protocol.visibility import history_visibility_of
from plexus.rooms.head import Entry, RoomHead, StateKey
from plexus.rooms.wishes import Missing, Target
from plexus.rooms.writes import MEMBERSHIPS, CurrentChange, MemberChange, RoomWrite


class PendingState:
    """Begins as the state of ``head``. What changes is noted in ``write``; ``pages`` are pages of the
    checkpoint that were read.
    """

    def __init__(self, head: RoomHead, pages: Mapping[int, bytes], write: RoomWrite) -> None:
        self._salt = head.salt
        self._is_complete = head.is_complete
        self._pages = pages
        self._write = write
        self._entries = head.entries.mutate()
        self._key_nums = head.key_nums.mutate()
        self._chain = head.chain
        self._next_state_key = head.next_state_key
        self._next_snapshot = head.next_snapshot
        self._next_page = head.next_page
        self.snapshot = head.snapshot

    def entry(self, key: StateKey) -> Entry | None:
        """The entry in force; raises `Missing` if it was not read."""
        try:
            return self._entries[key]
        except KeyError:
            if self._is_complete:
                return None
            raise Missing(entries={key}) from None

    def event(self, type: str, state_key: str) -> Event | None:
        """The event in force; raises `Missing`."""
        entry = self.entry((type, state_key))
        return None if entry is None else entry.event

    def put(self, at: int, num: int, event: Event) -> None:
        """The state event at index ``at`` of the chain takes force. Raises `Missing`, before anything has
        changed.
        """
        key = event.key
        old = self.entry(key)
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
            self._write.state_keys.append((at, key_num))
        self._chain, row = self._chain.advance(
            {key_num: (None if old is None else old.num, num)},
            snap=self._next_snapshot,
            salt=self._salt,
            next_page=self._next_page,
            pages=self._pages,
        )
        self._next_snapshot += 1
        self._next_page += len(row.new_pages)
        if row.new_pages:
            # The next checkpoint may rewrite them, and nobody can read them before this chain is written.
            self._pages = {**self._pages, **dict(row.new_pages)}
        self.snapshot = row.snap
        self._write.snapshots.append((at, row))
        self._write.current.append(CurrentChange(at))
        self._entries[key] = Entry(num, event)
        if event.type == "m.room.member":
            was = 0 if old is None else membership_of(old.event)
            self._write.members.append(MemberChange(at, membership_of(event), was, server_of(key[1])))
        elif key == ("m.room.history_visibility", ""):
            self._write.visibilities.append((at, history_visibility_of(event.content)))

    def redact(self, version: RoomVersion, target: Target, raw: bytes) -> None:
        """If the target of a redaction is in force, so is what is left of it from now on."""
        if target.state_key is None:
            return
        key = (target.type, target.state_key)
        entry = self._entries.get(key)
        if entry is not None and entry.num == target.num:
            self._entries[key] = Entry(target.num, Event.from_raw(version, raw, entry.event.event_id))

    def finish(self, head: RoomHead) -> RoomHead:
        """``head`` with the state as it is now, and the write likewise."""
        write = self._write
        write.snapshot = self.snapshot
        write.next_state_key = self._next_state_key
        write.next_snapshot = self._next_snapshot
        write.next_page = self._next_page
        return replace(
            head,
            snapshot=self.snapshot,
            next_state_key=self._next_state_key,
            next_snapshot=self._next_snapshot,
            next_page=self._next_page,
            entries=self._entries.finish(),
            key_nums=self._key_nums.finish(),
            chain=self._chain,
        )


def membership_of(event: Event) -> int:
    """The membership that a member event gives, as a number of `MEMBERSHIPS`."""
    membership = event.content.get("membership")
    return MEMBERSHIPS.get(membership, 0) if isinstance(membership, str) else 0

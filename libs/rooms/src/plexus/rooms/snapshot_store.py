"""Numbers for states: of the snapshot that has them, or of a new one that goes into the write."""

from __future__ import annotations

from plexus.platform.postgres import ReadSession
from plexus.rooms.head import RoomHead
from plexus.rooms.resolving import changes_of
from plexus.rooms.room_reads import RoomReads
from plexus.rooms.snapshots import Chain, hash_after
from plexus.rooms.variants import Variant
from plexus.rooms.writes import RoomWrite


class SnapshotStore:
    """The snapshots of one event, which is at index 0 of ``write`` and will have the number ``num``."""

    def __init__(
        self, session: ReadSession, reads: RoomReads, head: RoomHead, write: RoomWrite, num: int
    ) -> None:
        self._session = session
        self._reads = reads
        self._salt = head.salt
        self._write = write
        self._num = num
        self._made: dict[int, Chain] = {}

    def chain(self, snap: int) -> Chain | None:
        """The way to a snapshot, if it is at hand."""
        return next((chain for chain in self._made.values() if chain.snap == snap), None)

    async def number(self, state: Variant) -> int:
        """The number of the snapshot of a state. One row for each distinct state, so one that is there is
        taken.
        """
        reads, write = self._reads, self._write
        await reads.read_chains(self._session, [state.base])
        chain = reads.chain(state.base)
        holds_pending = self._prepare(state)
        changes = await changes_of(self._session, reads, state)
        value = hash_after(chain.hash, self._salt, changes)
        known = self._made.get(value)
        if known is None and not changes:
            known = chain
        if known is None and not holds_pending:
            # With the event that is being placed a state is new; without it somebody may have stored it.
            found = await reads.find_hash(self._session, value)
            if found is not None:
                await reads.read_chains(self._session, [found])
                known = reads.chain(found)
        if known is None:
            pages = chain.pages_to_advance(changes, 1)
            await reads.read_pages(self._session, pages)
            known, row = chain.advance(
                changes,
                snap=write.next_snapshot,
                salt=self._salt,
                next_page=write.next_page,
                pages=reads.pages,
            )
            write.snapshots.append((0, row))
            write.next_snapshot += 1
            write.next_page += len(row.new_pages)
        self._made[value] = known
        return known.snap

    def _prepare(self, state: Variant) -> bool:
        """If the event itself is in the state: give it its number, and its place one."""
        reads, write = self._reads, self._write
        pending = reads.pending
        if pending is None or pending.state_key is None or state.changes.get(pending.key) != pending.event_id:
            return False
        reads.nums[pending.event_id] = self._num
        if reads.key_nums[pending.key] is None:
            reads.key_nums[pending.key] = write.next_state_key
            write.state_keys.append((0, write.next_state_key))
            write.next_state_key += 1
        return True

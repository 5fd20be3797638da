"""What a change of the current state entails: rows of the state, memberships, history visibility.

In a room that has not forked the only thing that changes is the place of the event itself. A resolution may
change any place, and take an entry away altogether. Of a member whose event has lost its force nothing would
be left to tell anybody; so they stand as having left, which is what the specification makes of somebody
without a membership.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from plexus.protocol.events import Event
from plexus.protocol.identifiers import server_of
from plexus.protocol.visibility import DEFAULT_HISTORY_VISIBILITY, history_visibility_of
from plexus.rooms.head import StateKey
from plexus.rooms.pending_state import membership_of
from plexus.rooms.room_reads import RoomReads
from plexus.rooms.writes import MEMBERSHIPS, CurrentChange, MemberChange, RoomWrite

_HISTORY_VISIBILITY: StateKey = ("m.room.history_visibility", "")

TELLING = frozenset(("m.room.member", "m.room.history_visibility"))
"""Types of which the content must be at hand."""


def note_changes(
    write: RoomWrite,
    reads: RoomReads,
    event: Event,
    table: Mapping[StateKey, Sequence[str | None]],
) -> None:
    """Note in ``write``, at its first event, that the current state differs as ``table`` says: by place the
    event IDs before and after. ``reads`` has those of the `TELLING` types.
    """
    members: list[MemberChange] = []
    for key, (old_id, new_id) in table.items():
        if new_id == event.event_id and key == event.key:
            write.current.append(CurrentChange(0))
        else:
            write.current.append(CurrentChange(0, 0 if new_id is None else reads.nums[new_id], key))
        old = None if old_id is None else reads.events.get(old_id)
        new = None if new_id is None else reads.events.get(new_id)
        if key[0] == "m.room.member":
            change = _member_change(
                key[1], event, None if old is None else old.event, None if new is None else new.event, reads
            )
            if change is not None:
                members.append(change)
        elif key == _HISTORY_VISIBILITY:
            value = DEFAULT_HISTORY_VISIBILITY if new is None else history_visibility_of(new.event.content)
            write.visibilities.append((0, value))
    # Who comes before who goes, so that a server with both is not counted out in between.
    write.members += sorted(members, key=lambda change: change.membership != MEMBERSHIPS["join"])


def _member_change(
    user_id: str, event: Event, old: Event | None, new: Event | None, reads: RoomReads
) -> MemberChange | None:
    was = 0 if old is None else membership_of(old)
    server = server_of(user_id)
    if new is None:
        if old is None or was in (0, MEMBERSHIPS["leave"]):
            return None
        return MemberChange(
            0, MEMBERSHIPS["leave"], was, server, reads.nums[old.event_id], user_id, old.sender
        )
    if new.event_id == event.event_id:
        return MemberChange(0, membership_of(new), was, server)
    return MemberChange(0, membership_of(new), was, server, reads.nums[new.event_id], user_id, new.sender)

"""The call of ``rooms.write``: a group of room writes as parallel arrays, and its answer as outcomes.

The meaning of each array is told in ``migrations/0005-forks.sql`` and ``0011-relations.sql``; the order here
is that of the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from plexus.platform.postgres import PackedStatement
from plexus.protocol.relations import THREAD
from plexus.rooms.packing import INT2, NO_INT4, NO_TEXT, bytea, int4, int8, oid_of, text, unpack_integers
from plexus.rooms.writes import CurrentChange, EventRow, MemberChange, Outcome, Relating, Result, RoomWrite
from psycopg.pq.abc import PGresult


def arguments(lane: int, writes: Sequence[RoomWrite]) -> list[bytes]:
    """The parameters of `WRITE`, in binary, for writes of one lane, new rooms last."""
    events = [row for write in writes for row in write.events]
    drawn = [row.event for row in events]
    txns = [row.txn for row in events]
    new = [write for write in writes if write.new is not None]
    forked = any(write.ends is not None for write in writes)
    return [
        lane.to_bytes(2, "big"),
        int4([write.ref.room for write in writes]),
        int8([write.seen for write in writes]),
        int4([len(write.events) for write in writes]),
        int4([write.snapshot for write in writes]),
        int4([write.next_state_key for write in writes]),
        int4([write.next_snapshot for write in writes]),
        int4([write.next_page for write in writes]),
        *(_ends(writes) if forked else _NO_ENDS),
        text([write.ref.room_id for write in new]),
        text([write.ref.room_version for write in new]),
        bytea([write.new.salt for write in new if write.new]),
        int4([int(write.new.published) for write in new if write.new]),
        int8([row.num for row in events]),
        text([event.event_id for event in drawn]),
        text([event.type for event in drawn]),
        text([event.state_key for event in drawn]),
        text([event.sender for event in drawn]),
        int8([event.depth for event in drawn]),
        int8([event.origin_server_ts for event in drawn]),
        int4([row.snap_before for row in events]),
        int4([row.snap_after for row in events]),
        *(_places(events) if forked else _NO_PLACES),
        int4([len(row.prev) for row in events]),
        int4([len(row.auth) for row in events]),
        text([event.redacts for event in drawn]),
        int8([0 if row.replaces is None else row.replaces.num for row in events]),
        text([None if txn is None else txn.device_id for txn in txns]),
        text([None if txn is None else txn.endpoint for txn in txns]),
        text([None if txn is None else txn.txn_id for txn in txns]),
        bytea([event.raw for event in drawn]),
        int8([num for row in events for num in row.prev + row.auth]),
        *(_changes(writes, forked) if any(write.changes_state for write in writes) else _NO_CHANGES),
        *(_relations(writes) if any(write.relations for write in writes) else _NO_RELATIONS),
        int4([int(not write.remote) for write in writes]),
        int4([number for write in writes for number in write.notify or (0,) * len(write.events)])
        if any(write.notify for write in writes)
        else NO_INT4,
        *(_threads(writes) if any(write.relations for write in writes) else _NO_THREADS),
        *(_notices(writes) if any(write.notices for write in writes) else _NO_NOTICES),
    ]


def _ends(writes: Sequence[RoomWrite]) -> tuple[bytes, ...]:
    """Where the rooms end, as far as they have forked."""
    ends = [write.ends for write in writes]
    return (
        int8([None if end is None else end.depth for end in ends]),
        int4([None if end is None else len(end.extremities) for end in ends]),
        int8([num for end in ends if end is not None for num in end.extremities]),
    )


def _places(events: Sequence[EventRow]) -> tuple[bytes, ...]:
    """What is not the same for all events."""
    return (
        int4([row.room_before for row in events]),
        int4([row.room_after for row in events]),
        int4([row.flags for row in events]),
    )


def _threads(writes: Sequence[RoomWrite]) -> tuple[bytes, ...]:
    """Of events in threads the root, of others that relate what they relate to."""
    found: list[Relating | None] = []
    for write in writes:
        related = {relating.at: relating for relating in write.relations}
        found += [related.get(at) for at in range(len(write.events))]
    return (
        text([None if one is None or one.rel_type != THREAD else one.parent for one in found]),
        text([None if one is None or one.rel_type == THREAD else one.parent for one in found]),
    )


_NO_THREADS = (NO_TEXT, NO_TEXT)


def _notices(writes: Sequence[RoomWrite]) -> tuple[bytes, ...]:
    notices = []
    first = 1
    for write in writes:
        notices += [(first + at, notice) for at, notice in write.notices]
        first += len(write.events)
    return (
        int4([at for at, _ in notices]),
        text([notice.user_id for _, notice in notices]),
        int4([notice.notify for _, notice in notices]),
        int4([notice.highlight for _, notice in notices]),
        int4([int(notice.highlighted) for _, notice in notices]),
        text([notice.actions for _, notice in notices]),
    )


_NO_NOTICES = _notices(())
_NO_ENDS = _ends(())
_NO_PLACES = _places(())


def _changes(writes: Sequence[RoomWrite], forked: bool) -> tuple[bytes, ...]:
    """The arrays whose elements belong to an event by its index, which counts from 1 over all rooms."""
    pairs = _numbered(writes)
    keys = [(first + at, num) for first, write in pairs for at, num in write.state_keys]
    snapshots = [(first + at, row) for first, write in pairs for at, row in write.snapshots]
    pages = [(at, number, data) for at, row in snapshots for number, data in row.new_pages]
    current = [(first + change.at, change) for first, write in pairs for change in write.current]
    members = [(first + change.at, change) for first, write in pairs for change in write.members]
    visibilities = [(first + at, value) for first, write in pairs for at, value in write.visibilities]
    redactions = [
        (first + redaction.at, redaction) for first, write in pairs for redaction in write.redactions
    ]
    return (
        int4([at for at, _ in keys]),
        int4([num for _, num in keys]),
        int4([at for at, _ in snapshots]),
        int4([row.snap for _, row in snapshots] if forked else ()),
        int4([row.parent for _, row in snapshots]),
        int4([row.step for _, row in snapshots]),
        bytea([row.hash for _, row in snapshots]),
        bytea([row.delta for _, row in snapshots]),
        bytea([row.pages for _, row in snapshots]),
        int4([at for at, _ in current]),
        *(_resolved([change for _, change in current]) if forked else _NOT_RESOLVED),
        int4([at for at, _, _ in pages]),
        int4([number for _, number, _ in pages]),
        bytea([data for _, _, data in pages]),
        int4([at for at, _ in members]),
        *(_others([change for _, change in members]) if forked else _NO_OTHERS),
        int4([change.membership for _, change in members]),
        int4([change.was for _, change in members]),
        text([change.server for _, change in members]),
        int4([at for at, _ in visibilities]),
        text([value for _, value in visibilities]),
        int4([at for at, _ in redactions]),
        int8([redaction.num for _, redaction in redactions]),
        bytea([redaction.raw for _, redaction in redactions]),
    )


def _numbered(writes: Sequence[RoomWrite]) -> list[tuple[int, RoomWrite]]:
    """Each write with the index of its first event."""
    pairs = []
    count = 1
    for write in writes:
        pairs.append((count, write))
        count += len(write.events)
    return pairs


def _relations(writes: Sequence[RoomWrite]) -> tuple[bytes, ...]:
    """What relates to what."""
    found = [(first + each.at, each) for first, write in _numbered(writes) for each in write.relations]
    return (
        int4([at for at, _ in found]),
        text([each.parent for _, each in found]),
        text([each.rel_type for _, each in found]),
        bytea([each.key for _, each in found]),
        int4([int(each.edit) for _, each in found]),
    )


_NO_RELATIONS = _relations(())


def _resolved(changes: Sequence[CurrentChange]) -> tuple[bytes, ...]:
    """What has come into force otherwise than by its own event."""
    return (
        int8([change.num for change in changes]),
        text([change.key and change.key[0] for change in changes]),
        text([change.key and change.key[1] for change in changes]),
    )


def _others(changes: Sequence[MemberChange]) -> tuple[bytes, ...]:
    """The memberships that have changed otherwise than by their own event."""
    return (
        int8([change.num for change in changes]),
        text([change.user_id for change in changes]),
        text([change.sender for change in changes]),
    )


_NOT_RESOLVED = _resolved(())
_NO_OTHERS = _others(())
_NO_CHANGES = _changes((), forked=False)
"""A group of messages, which is what most groups are."""


def outcomes(result: PGresult) -> list[Outcome]:
    """The answer of the call: one row of four arrays, which have one element a room."""
    columns = [unpack_integers(result.get_value(0, column) or b"") for column in range(4)]
    return [
        Outcome(
            result=Result(outcome),
            position=position,
            room=number,
            at=number - 1 if outcome == Result.REPLAYED else 0,
            num=detail if outcome == Result.REPLAYED else 0,
        )
        for outcome, position, detail, number in zip(*columns, strict=True)
    ]


WRITE = PackedStatement(
    b"SELECT * FROM rooms.write(%b)" % b", ".join(b"$%d" % (number + 1) for number in range(79)),
    (INT2, *(oid_of(value) for value in arguments(0, ())[1:])),
)

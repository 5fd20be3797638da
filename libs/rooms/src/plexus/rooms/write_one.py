"""The call of ``rooms.write_one``: what is written most, one message, without the arrays of ``rooms.write``.

``migrations/0091-write-one.sql`` tells the parameters, in this order.
"""

from __future__ import annotations

from plexus.platform.postgres import PackedStatement
from plexus.rooms.packing import BYTEA, INT2, INT4, INT8, INT8_ARRAY, TEXT, int8
from plexus.rooms.writes import PLAIN, Outcome, Result, RoomWrite
from psycopg.pq.abc import PGresult

_TYPES = (
    *(INT2, INT4, INT8, INT8, TEXT, TEXT, TEXT, INT8, INT8, INT4, INT8_ARRAY, INT8_ARRAY),
    *(TEXT, TEXT, TEXT, BYTEA, INT2),
)

WRITE_ONE = PackedStatement(
    b"SELECT rooms.write_one(%b)" % b", ".join(b"$%d" % (number + 1) for number in range(len(_TYPES))), _TYPES
)


def is_one(write: RoomWrite) -> bool:
    """Whether `WRITE_ONE` can write this."""
    if len(write.events) != 1 or write.new is not None or write.ends is not None or write.remote:
        return False
    if write.changes_state or write.relations or write.notices:
        return False
    row = write.events[0]
    event = row.event
    return event.state_key is None and event.redacts is None and row.replaces is None and row.flags == PLAIN


def arguments_of_one(lane: int, write: RoomWrite) -> list[bytes | None]:
    """The parameters of `WRITE_ONE`, in binary."""
    row = write.events[0]
    event, txn = row.event, row.txn
    return [
        lane.to_bytes(2, "big"),
        write.ref.room.to_bytes(4, "big"),
        write.seen.to_bytes(8, "big"),
        row.num.to_bytes(8, "big"),
        event.event_id.encode(),
        event.type.encode(),
        event.sender.encode(),
        event.depth.to_bytes(8, "big"),
        event.origin_server_ts.to_bytes(8, "big", signed=True),
        row.snap_before.to_bytes(4, "big"),
        int8(row.prev),
        int8(row.auth),
        *(
            (None, None, None)
            if txn is None
            else (txn.device_id.encode(), txn.endpoint.encode(), txn.txn_id.encode())
        ),
        event.raw,
        (write.notify[0] if write.notify else 0).to_bytes(2, "big"),
    ]


def outcome_of_one(result: PGresult, write: RoomWrite) -> Outcome | None:
    """None if nothing is written."""
    position = result.get_value(0, 0)
    if position is None:
        return None
    return Outcome(Result.WRITTEN, position=int.from_bytes(position, "big"), room=write.ref.room)

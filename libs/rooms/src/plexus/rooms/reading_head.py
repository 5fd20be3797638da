"""Reading a room's head, or the parts of it that are missing. Each is one query, true at one version of the
room.
"""

from __future__ import annotations

from collections.abc import Collection

import immutables
from plexus.platform.postgres import ReadSession
from plexus.protocol.events import Event
from plexus.protocol.room_versions import ROOM_VERSIONS
from plexus.rooms.head import Entry, Extremity, RoomHead, StateKey
from plexus.rooms.snapshots import EMPTY, Chain, Node, unpack
from plexus.rooms.values import RoomRef
from plexus.rooms.wishes import Annotation, Found, Missing, Target

_HEAD = """
SELECT r.room, r.room_version, r.version, r.head_num, r.head_position, r.depth, r.snapshot, r.next_state_key,
       r.next_snapshot, r.next_page, r.salt, e.num, e.event_id, e.snap_after, e.depth
  FROM rooms.room r
  JOIN rooms.event e ON e.lane = r.lane AND e.room = r.room AND e.num = ANY (r.extremities)
 WHERE r.lane = %s::smallint AND r.room_id = %s
 ORDER BY e.num
"""

_ENTRIES = """
SELECT r.version, q.type, q.state_key, k.num, c.num, e.event_id, e.raw
  FROM rooms.room r
 CROSS JOIN unnest(%(types)s::text[], %(keys)s::text[]) AS q (type, state_key)
  LEFT JOIN rooms.state_key k
         ON k.lane = r.lane AND k.room = r.room AND k.type = q.type AND k.state_key = q.state_key
  LEFT JOIN rooms.current_state c
         ON c.lane = r.lane AND c.room = r.room AND c.type = q.type AND c.state_key = q.state_key
  LEFT JOIN rooms.event e ON e.lane = c.lane AND e.room = c.room AND e.num = c.num
 WHERE r.lane = %(lane)s::smallint AND r.room = %(room)s::integer
"""

_TARGETS = """
SELECT event_id, num, type, sender, state_key, raw, redacted_by IS NOT NULL
  FROM rooms.event
 WHERE lane = %s::smallint AND room = %s::integer AND event_id = ANY (%s::text[])
"""

_ANNOTATIONS = """
SELECT q.i - 1, r.num
  FROM unnest(%(parents)s::text[], %(types)s::text[], %(senders)s::text[], %(keys)s::bytea[])
       WITH ORDINALITY AS q (parent, type, sender, key, i)
  JOIN rooms.relation r
    ON r.lane = %(lane)s::smallint AND r.room = %(room)s::integer AND r.parent = q.parent
   AND r.sender = q.sender AND r.rel_type = 'm.annotation' AND r.type = q.type AND r.key = q.key
"""

_CHAIN = """
WITH RECURSIVE way AS (
    SELECT s.* FROM rooms.snapshot s
     WHERE s.lane = %(lane)s::smallint AND s.room = %(room)s::integer AND s.snap = %(snap)s::integer
    UNION ALL
    SELECT s.* FROM way w JOIN rooms.snapshot s ON s.lane = w.lane AND s.room = w.room AND s.snap = w.parent
)
SELECT snap, step, hash, delta, pages FROM way ORDER BY step
"""

_PAGES = """
SELECT page, entries FROM rooms.page
 WHERE lane = %s::smallint AND room = %s::integer AND page = ANY (%s::integer[])
"""


class Stale(Exception):  # noqa: N818 - an answer, not an error
    """The room has moved on since the head was read."""


async def read_head(session: ReadSession, lane: int, room_id: str) -> RoomHead | None:
    """The room's head, without entries; None if there is no such room."""
    rows = await session.fetch(_HEAD, (lane, room_id))
    if not rows:
        return None
    room, version, seen, num, position, depth, snapshot, next_key, next_snapshot, next_page, salt, *_ = rows[
        0
    ]
    return RoomHead(
        ref=RoomRef(room_id, lane, room, version),
        version=ROOM_VERSIONS[version],
        seen=seen,
        head_num=num,
        head_position=position,
        depth=depth,
        extremities=tuple(Extremity(*row[-4:]) for row in rows),
        snapshot=snapshot,
        next_state_key=next_key,
        next_snapshot=next_snapshot,
        next_page=next_page,
        salt=bytes(salt),
        entries=immutables.Map(),
        key_nums=immutables.Map(),
        chain=None,
        is_complete=False,
    )


async def read_missing(
    session: ReadSession,
    head: RoomHead,
    missing: Missing,
    found: Found,
) -> RoomHead:
    """The head with what was missing; what is not of the head is added to ``found``.

    Raises `Stale` if the room has moved on.
    """
    if missing.entries:
        head = await _read_entries(session, head, missing.entries)
    if missing.targets:
        found.targets.update(await read_targets(session, head.ref, missing.targets))
    if missing.annotations:
        found.annotations.update(await read_annotations(session, head.ref, missing.annotations))
    if missing.chain:
        head = head.with_read(chain=await read_chain(session, head.ref, head.snapshot))
    if missing.pages:
        found.pages.update(await read_pages(session, head.ref, missing.pages))
    return head


async def read_targets(
    session: ReadSession, ref: RoomRef, event_ids: Collection[str]
) -> dict[str, Target | None]:
    """What redactions and relations name; None for what is not there."""
    targets: dict[str, Target | None] = dict.fromkeys(event_ids)
    rows = await session.fetch(_TARGETS, (ref.lane, ref.room, list(event_ids)))
    for event_id, num, kind, sender, state_key, raw, is_redacted in rows:
        targets[event_id] = Target(num, kind, sender, state_key, bytes(raw), is_redacted)
    return targets


async def read_annotations(
    session: ReadSession, ref: RoomRef, wanted: Collection[Annotation]
) -> dict[Annotation, tuple[int, ...]]:
    """The numbers of the events that are such annotations and have not been redacted."""
    asked = [each for each in wanted if "\0" not in each.type]
    found: dict[Annotation, tuple[int, ...]] = dict.fromkeys(wanted, ())
    if not asked:
        return found
    rows = await session.fetch(
        _ANNOTATIONS,
        {
            "parents": [each.parent for each in asked],
            "types": [each.type for each in asked],
            "senders": [each.sender for each in asked],
            "keys": [each.key for each in asked],
            "lane": ref.lane,
            "room": ref.room,
        },
    )
    for i, num in rows:
        found[asked[i]] += (num,)
    return found


async def _read_entries(session: ReadSession, head: RoomHead, wanted: Collection[StateKey]) -> RoomHead:
    keys = [key for key in wanted if _may_be_stored(key)]
    # What PostgreSQL cannot hold is not there. Whoever wishes for it is refused when the event is judged,
    # and those who share his chain are not.
    entries: dict[StateKey, Entry | None] = dict.fromkeys(wanted)
    key_nums: dict[StateKey, int | None] = dict.fromkeys(wanted)
    if not keys:
        return head.with_read(entries, key_nums)
    rows = await session.fetch(
        _ENTRIES,
        {
            "types": [key[0] for key in keys],
            "keys": [key[1] for key in keys],
            "lane": head.ref.lane,
            "room": head.ref.room,
        },
    )
    if not rows or rows[0][0] != head.seen:
        raise Stale
    for _, kind, state_key, key_num, num, event_id, raw in rows:
        key = (kind, state_key)
        key_nums[key] = key_num
        entries[key] = None if num is None else Entry(num, Event.from_raw(head.version, bytes(raw), event_id))
    return head.with_read(entries, key_nums)


def _may_be_stored(key: StateKey) -> bool:
    try:
        return all(b"\0" not in part.encode() for part in key)
    except UnicodeEncodeError:
        return False


async def read_version(session: ReadSession, ref: RoomRef) -> int | None:
    """The version of the room's row now."""
    row = await session.one(
        "SELECT version FROM rooms.room WHERE lane = %s::smallint AND room = %s::integer",
        (ref.lane, ref.room),
    )
    return None if row is None else int(row[0])


async def read_chain(session: ReadSession, ref: RoomRef, snapshot: int) -> Chain:
    """The way to a snapshot from its checkpoint."""
    if snapshot == EMPTY:
        return Chain(EMPTY, b"", (), 0)
    rows = await session.fetch(_CHAIN, {"lane": ref.lane, "room": ref.room, "snap": snapshot})
    if not rows:
        raise LookupError(f"room {ref.room} of lane {ref.lane} has no snapshot {snapshot}")
    base, index = EMPTY, b""
    nodes = []
    for snap, step, _, delta, pages in rows:
        if step == 0:
            base, index = snap, bytes(pages)
        else:
            nodes.append(Node(snap, step, dict(unpack(bytes(delta)))))
    return Chain(base, index, tuple(nodes), int.from_bytes(bytes(rows[-1][2]), "big"))


async def read_pages(session: ReadSession, ref: RoomRef, pages: Collection[int]) -> dict[int, bytes]:
    """Pages by number."""
    rows = await session.fetch(_PAGES, (ref.lane, ref.room, list(pages)))
    return {page: bytes(entries) for page, entries in rows}

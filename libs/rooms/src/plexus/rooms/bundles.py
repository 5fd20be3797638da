"""Bundled aggregations: what is told with an event of those that relate to it.

1. One query over the relations of all events asked about, grouped in the database: how many are in its
   thread and the newest of them, which ones reference it, and the newest replacement by each sender.
2. One more for the events that are told as a whole: the newest of each thread, and the replacements that
   hold.
3. What is told with those newest of threads in turn. They relate to something, so nothing is a thread of
   theirs and this ends here.

An event without relations costs a look-up in an index; state events are not asked about.

Client-Server API, "Aggregations of child events".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import orjson
from plexus.protocol.relations import REFERENCE, REPLACE, THREAD
from plexus.rooms.events import EventKey, EventReader
from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4, int8
from plexus.rooms.stored import StoredEvent
from plexus.rooms.values import RoomRef
from plexus.rooms.visibility import NOW, Viewer, read_viewers

T = TypeVar("T")
Ranges = Sequence[tuple[int, int]]
"""Ordinals, from and to, both included."""

_BUNDLES = """
SELECT q.i - 1, r.*
  FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[], %(los)s::integer[], %(his)s::integer[],
              %(first)s::integer[], %(last)s::integer[])
       WITH ORDINALITY AS q (lane, room, lo, hi, first, last, i)
 CROSS JOIN LATERAL (
    SELECT parent, rel_type,
           count(*),
           (max(ARRAY[ordinal, sub, num]) FILTER (WHERE rel_type = 'm.thread'))[3],
           (array_agg(num ORDER BY ts DESC, event_id COLLATE "C" DESC)
                FILTER (WHERE rel_type = 'm.replace'))[1],
           array_agg(event_id ORDER BY ordinal, sub) FILTER (WHERE rel_type = 'm.reference'),
           array_agg(DISTINCT sender),
           min(type)
      FROM rooms.relation
     WHERE lane = q.lane AND room = q.room AND parent = ANY ((%(ids)s::text[])[q.lo : q.hi])
       AND rel_type IN ('m.thread', 'm.reference', 'm.replace') AND (edit OR rel_type <> 'm.replace')
       AND sender <> ALL (%(ignored)s::text[])
       AND (q.first > q.last
            OR EXISTS (SELECT FROM unnest((%(froms)s::bigint[])[q.first : q.last],
                                          (%(tos)s::bigint[])[q.first : q.last]) AS s (lo, hi)
                        WHERE ordinal BETWEEN s.lo AND s.hi))
     GROUP BY parent, rel_type, CASE rel_type WHEN 'm.replace' THEN sender END,
              CASE rel_type WHEN 'm.replace' THEN type END
 ) AS r
"""


class Parent(Protocol):
    """What must be known of an event to tell which relations to it hold: a `StoredEvent` knows it.
    ``rel_type`` is that of its own relation.
    """

    @property
    def ref(self) -> RoomRef: ...
    @property
    def num(self) -> int: ...
    @property
    def event_id(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def sender(self) -> str: ...
    @property
    def rel_type(self) -> str | None: ...
    @property
    def is_redacted(self) -> bool: ...


@dataclass(slots=True)
class Thread:
    """``senders`` are those of the thread's events and of its root; ``bundle`` is what is told with the
    latest one.
    """

    latest: StoredEvent
    count: int
    senders: frozenset[str]
    bundle: Bundle | None = None


@dataclass(slots=True)
class Bundle:
    """What is told with one event. ``senders`` are all those of whom it speaks."""

    replacement: StoredEvent | None = None
    references: Sequence[str] = ()
    thread: Thread | None = None
    senders: frozenset[str] = frozenset()

    def events(self) -> Iterator[StoredEvent]:
        """Those that are told as a whole."""
        if self.replacement is not None:
            yield self.replacement
        if self.thread is not None:
            yield self.thread.latest
            if self.thread.bundle is not None:
                yield from self.thread.bundle.events()

    @property
    def is_empty(self) -> bool:
        return self.replacement is None and not self.references and self.thread is None

    @property
    def size(self) -> int:
        """What it costs in memory, in bytes, roughly."""
        size = 500 + 100 * (len(self.references) + len(self.senders))
        if self.replacement is not None:
            size += 1000 + 2 * len(self.replacement.raw)
        if self.thread is not None:
            size += 1000 + 2 * len(self.thread.latest.raw)
            size += 0 if self.thread.bundle is None else self.thread.bundle.size
        return size

    def json(self, printed: Callable[[StoredEvent, bytes | None], bytes], user_id: str | None) -> bytes:
        """``m.relations`` for one user. ``printed`` gives an event of it with its own ``m.relations``."""
        parts = []
        if self.replacement is not None:
            parts.append(b'"m.replace":' + printed(self.replacement, None))
        if self.references:
            chunk = [{"event_id": event_id} for event_id in self.references]
            parts.append(b'"m.reference":' + orjson.dumps({"chunk": chunk}))
        if self.thread is not None:
            inner = self.thread.bundle
            parts.append(
                b'"m.thread":{"latest_event":%b,"count":%d,"current_user_participated":%b}'
                % (
                    printed(self.thread.latest, None if inner is None else inner.json(printed, user_id)),
                    self.thread.count,
                    b"true" if user_id in self.thread.senders else b"false",
                )
            )
        return b"{" + b",".join(parts) + b"}"


@dataclass(slots=True)
class _Draft:
    bundle: Bundle
    replacement: int | None = None
    latest: int | None = None
    count: int = 0
    senders: frozenset[str] = frozenset()


async def read_bundles(
    ground: Ground,
    reader: EventReader,
    parents: Sequence[Parent],
    *,
    viewer: str | None,
    ignored: Collection[str],
    upto: Mapping[RoomRef, int] | None,
) -> dict[EventKey, Bundle]:
    """As `Rooms.bundles`. What the viewer may not see is asked about only if there is something at all."""
    refs = list(dict.fromkeys(parent.ref for parent in parents))
    limits = upto or {}
    ranges = {ref: _ranges(None, limits.get(ref)) for ref in refs}
    drafts = await _drafts(ground, parents, ranges, ignored)
    eyes: Mapping[RoomRef, Viewer] | None = None
    if drafts and viewer is not None:
        eyes = await read_viewers(ground, list({ref for ref, _ in drafts}), viewer)
        seen = {ref: _ranges(eyes[ref], limits.get(ref)) for ref in eyes}
        if any(ranges[ref] != seen[ref] for ref in seen):
            ranges = seen
            asked = [parent for parent in parents if (parent.ref, parent.num) in drafts]
            drafts = await _drafts(ground, asked, ranges, ignored)
    bundles = await _filled(reader, drafts, eyes)
    newest = [bundle.thread.latest for bundle in bundles.values() if bundle.thread is not None]
    latest = [event for event in newest if event.state_key is None]
    inner = await _filled(reader, await _drafts(ground, latest, ranges, ignored), eyes)
    for bundle in bundles.values():
        if bundle.thread is not None:
            event = bundle.thread.latest
            bundle.thread.bundle = inner.get((event.ref, event.num))
            if bundle.thread.bundle is not None:
                bundle.senders |= bundle.thread.bundle.senders
    return bundles


def _ranges(eyes: Viewer | None, upto: int | None) -> Ranges:
    """What counts of a room; empty for all of it."""
    ranges: Ranges = [(0, NOW)] if eyes is None else eyes.ranges()
    if upto is not None:
        ranges = [(lo, min(hi, upto)) for lo, hi in ranges if lo <= upto]
    if ranges == [(0, NOW)]:
        return ()
    return ranges or [(1, 0)]


async def _filled(
    reader: EventReader, drafts: Mapping[EventKey, _Draft], eyes: Mapping[RoomRef, Viewer] | None
) -> dict[EventKey, Bundle]:
    """With the events that are told as a whole, as the viewer is to see them. A replacement without its
    content replaces nothing.
    """
    wanted = [
        (ref, [num for num in (draft.replacement, draft.latest) if num is not None])
        for (ref, _), draft in drafts.items()
    ]
    events = await reader.by_nums(wanted)
    if eyes is not None:
        events = {(event.ref, event.num): event for event in await reader.shown([*events.values()], eyes)}
    for (ref, _), draft in drafts.items():
        if draft.replacement is not None:
            edit = events.get((ref, draft.replacement))
            draft.bundle.replacement = None if edit is None or edit.withheld else edit
        latest = None if draft.latest is None else events.get((ref, draft.latest))
        if latest is not None:
            draft.bundle.thread = Thread(latest, draft.count, draft.senders)
    return {key: draft.bundle for key, draft in drafts.items() if not draft.bundle.is_empty}


async def _drafts(
    ground: Ground, parents: Sequence[Parent], ranges: Mapping[RoomRef, Ranges], ignored: Collection[str]
) -> dict[EventKey, _Draft]:
    by_id = {(parent.ref, parent.event_id): parent for parent in parents}
    by_room: dict[RoomRef, list[str]] = {}
    for ref, event_id in by_id:
        by_room.setdefault(ref, []).append(event_id)
    if not by_room:
        return {}
    refs = list(by_room)
    slices, ids = _sliced([by_room[ref] for ref in refs])
    range_slices, flat = _sliced([ranges.get(ref, ()) for ref in refs])
    async with ground.db.read() as session:
        rows = await session.fetch(
            _BUNDLES,
            {
                "lanes": int4([ref.lane for ref in refs]),
                "rooms": int4([ref.room for ref in refs]),
                "los": int4([lo for lo, _ in slices]),
                "his": int4([hi for _, hi in slices]),
                "first": int4([lo for lo, _ in range_slices]),
                "last": int4([hi for _, hi in range_slices]),
                "froms": int8([lo for lo, _ in flat]),
                "tos": int8([hi for _, hi in flat]),
                "ids": ids,
                "ignored": list(ignored),
            },
        )
    drafts: dict[EventKey, _Draft] = {}
    for i, parent_id, rel_type, count, latest, edit, references, senders, kind in rows:
        parent = by_id[refs[i], parent_id]
        if rel_type == THREAD and parent.rel_type is not None:
            continue
        if rel_type == REPLACE and not _may_be_replaced(parent, senders[0], kind):
            continue
        draft = drafts.setdefault((parent.ref, parent.num), _Draft(Bundle()))
        draft.bundle.senders |= frozenset(senders)
        if rel_type == THREAD:
            draft.latest, draft.count = latest, count
            draft.senders = frozenset((*senders, parent.sender))
        elif rel_type == REFERENCE:
            draft.bundle.references = references
        else:
            draft.replacement = edit
    return drafts


def _may_be_replaced(parent: Parent, sender: str, type: str) -> bool:
    """Client-Server API, "Validity of replacement events"; a redacted event is told without one."""
    return (
        not parent.is_redacted
        and parent.sender == sender
        and parent.type == type
        and parent.rel_type != REPLACE
    )


def _sliced(lists: Sequence[Sequence[T]]) -> tuple[list[tuple[int, int]], list[T]]:
    """All of these in one list, and where in it each stands (from 1, both ends included)."""
    slices: list[tuple[int, int]] = []
    flat: list[T] = []
    for each in lists:
        slices.append((len(flat) + 1, len(flat) + len(each)))
        flat += each
    return slices, flat

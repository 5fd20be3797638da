"""The tables ``client_api.search_document`` and ``client_api.search_bucket``, and nobody else's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from plexus.platform.lanes.cursors import Step, moves
from plexus.platform.postgres import Database
from plexus.rooms import RoomRef, StoredEvent, Viewer, viewer_of

BUCKET = 1000
"""Documents of a full bucket. Of a word that stands in every message a search reads a few buckets, and of
each bucket asked for it looks once into the index: so neither few large nor many small ones."""

_INDEX = """
SELECT client_api.search_take(
    %s::bigint, %s::integer, %s::text[], %s::smallint[], %s::bigint[], %s::bigint[],
    %s::smallint[], %s::integer[], %s::bigint[], %s::smallint[], %s::integer[], %s::bigint[],
    %s::smallint[], %s::integer[], %s::bigint[], %s::bigint[], %s::text[], %s::integer[], %s::integer[],
    %s::text[])
"""

_KNOWN = """
SELECT room, num FROM client_api.search_document
 WHERE lane = %s::smallint AND (room, num) > (%s::integer, %s) ORDER BY room, num LIMIT %s
"""

_FIND = """
SELECT ready, cut, reached, matched, looked, documents, h_ts, h_lane, h_room, h_num, h_sender, h_rank,
       r_lane, r_room, r_id, r_version, v_at, v_from, v_to, v_membership, v_visibility, v_forgotten
  FROM client_api.search_find(
    %s, %s::smallint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s, %s::smallint[], %s::text[], %s::text[], %s::boolean,
    %s::bigint, %s::smallint, %s::integer, %s::bigint,
    %s::integer, %s::integer, %s::integer, %s::integer, %s::integer)
"""


class Key(NamedTuple):
    """Where a document stands among all, the newest last."""

    ts: int
    lane: int
    room: int
    num: int


END = Key(2**62, 0, 0, 0)
"""After everything."""


@dataclass(frozen=True, slots=True)
class Document:
    lane: int
    room: int
    num: int
    ts: int
    sender: str
    kind: int
    has_url: bool
    words: str


@dataclass(slots=True)
class Changes:
    """What steps do to documents. ``gone`` are (lane, room, num), ``purged`` (lane, room, up to this num)."""

    gone: list[tuple[int, int, int]] = field(default_factory=list)
    purged: list[tuple[int, int, int]] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)

    def takes_away(self, event: StoredEvent) -> bool:
        """Whether the event's document would go in the step in which it comes."""
        lane, room, num = event.ref.lane, event.ref.room, event.num
        return (lane, room, num) in self.gone or any(
            of_lane == lane and of_room == room and num <= upto for of_lane, of_room, upto in self.purged
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for. ``rooms`` None: in all that the user has been in."""

    query: str
    kinds: tuple[int, ...]
    senders: frozenset[str] | None = None
    not_senders: frozenset[str] = frozenset()
    has_url: bool | None = None
    rooms: tuple[RoomRef, ...] | None = None
    not_rooms: tuple[RoomRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one pass. ``enough`` hits end it, ``most`` are read. The first round looks at ``first`` documents,
    each next one at four times as many, at most in ``buckets``; there are at most ``rounds``.
    """

    enough: int
    most: int
    first: int
    buckets: int
    rounds: int


class Match(NamedTuple):
    key: Key
    sender: str
    rank: float


@dataclass(frozen=True, slots=True)
class Pass:
    """What `find` has found. ``reached``: everything newer than this time was looked at (None: all was), but
    where the last round was ``cut`` not everything was read. ``views`` are the user's eyes in the rooms of
    the matches. Of all ``documents`` it has ``looked`` at some, of which ``matched`` match.
    """

    matches: list[Match]
    reached: int | None
    cut: bool
    matched: int
    looked: int
    documents: int
    views: dict[tuple[int, int], tuple[RoomRef, Viewer]]


async def index(db: Database, steps: Sequence[Step], changes: Changes) -> bool:
    """Make the changes and move the cursors; False, and nothing done, if one is not where its step begins."""
    documents = sorted(changes.documents, key=lambda document: (document.lane, document.room, document.num))
    generation, *cursors = moves(steps)
    rows = await db.call(
        _INDEX,
        (
            generation,
            BUCKET,
            *cursors,
            *_columns(changes.gone),
            *_columns(changes.purged),
            [document.lane for document in documents],
            [document.room for document in documents],
            [document.num for document in documents],
            [document.ts for document in documents],
            [document.sender for document in documents],
            [document.kind for document in documents],
            [int(document.has_url) for document in documents],
            [document.words for document in documents],
        ),
    )
    return bool(rows[0][0])


async def known(db: Database, lane: int, after: tuple[int, int], limit: int) -> list[tuple[int, int]]:
    """(room, num) of the documents of a lane, in this order, after one."""
    async with db.read(primary=True) as session:
        return [(row[0], row[1]) for row in await session.fetch(_KNOWN, (lane, *after, limit))]


async def find(
    db: Database, user_id: str, marks: Mapping[int, int], wanted: Wanted, before: Key, bounds: Bounds
) -> Pass | None:
    """The newest that match before a key, in the rooms that the user has been in and that are not encrypted;
    None while the index has not reached ``marks`` (positions by room lane).
    """
    params = (
        user_id,
        list(marks),
        list(marks.values()),
        None if wanted.rooms is None else _numbers(wanted.rooms),
        _numbers(wanted.not_rooms),
        wanted.query,
        list(wanted.kinds),
        None if wanted.senders is None else list(wanted.senders),
        list(wanted.not_senders),
        wanted.has_url,
        *before,
        bounds.enough,
        bounds.most,
        bounds.first,
        bounds.buckets,
        bounds.rounds,
    )
    async with db.read() as session:
        row = await session.one(_FIND, params)
    assert row is not None
    ready, cut, reached, matched, looked, documents, ts, lanes, rooms, nums, senders, ranks, *views = row
    if not ready:
        return None
    if ts is None:
        return Pass([], reached, cut, matched, looked, documents or 0, {})
    keys = map(Key, ts, lanes, rooms, nums)
    matches = list(map(Match, keys, senders, ranks))
    return Pass(matches, reached, cut, matched, looked, documents, _views(user_id, *views))


def _views(
    user_id: str,
    lanes: Sequence[int],
    rooms: Sequence[int],
    ids: Sequence[str],
    versions: Sequence[str],
    at: Sequence[int],
    *intervals: Sequence[Any],
) -> dict[tuple[int, int], tuple[RoomRef, Viewer]]:
    of_room: list[list[tuple[Any, ...]]] = [[] for _ in rooms]
    for i, interval in zip(at, zip(*intervals, strict=True), strict=True):
        of_room[i - 1].append(interval)
    refs = map(RoomRef, ids, lanes, rooms, versions)
    return {(ref.lane, ref.room): (ref, viewer_of(user_id, of_room[i])) for i, ref in enumerate(refs)}


def _columns(rows: Sequence[tuple[int, int, int]]) -> list[list[int]]:
    return [[row[column] for row in rows] for column in range(3)]


def _numbers(refs: Sequence[RoomRef]) -> list[int]:
    return [(ref.lane << 32) + ref.room for ref in refs]

"""The tables ``client_api.search_document`` and ``client_api.search_bucket``, and nobody else's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from plexus.platform.lanes.cursors import Step
from plexus.platform.postgres import Database

BUCKET = 1000
"""Documents of a full bucket. Of a word that stands in every message a search reads a few buckets, and of
each bucket asked for it looks once into the index: so neither few large nor many small ones."""

_INDEX = """
SELECT client_api.search_index(
    %s::smallint, %s, %s, %s, %s::integer, %s::integer[], %s::bigint[], %s::integer[], %s::bigint[],
    %s::integer[], %s::bigint[], %s::bigint[], %s::text[], %s::integer[], %s::integer[], %s::text[])
"""

_KNOWN = """
SELECT room, num FROM client_api.search_document
 WHERE lane = %s::smallint AND (room, num) > (%s::integer, %s) ORDER BY room, num LIMIT %s
"""

_BUCKETS = """
SELECT q.i - 1, client_api.search_bucket_id(b.lane, b.room, b.bucket), b.documents, b.newest
  FROM unnest(%s::smallint[], %s::integer[]) WITH ORDINALITY AS q (lane, room, i)
  JOIN client_api.search_bucket AS b ON b.lane = q.lane AND b.room = q.room
 WHERE b.oldest <= %s
 ORDER BY b.newest DESC
"""

_MATCHES = """
SELECT ts, lane, room, num, sender, rank, total
  FROM client_api.search_match(%s, %s::smallint[], %s::bigint[], %s::smallint[], %s::text[], %s::text[],
                               %s::boolean, %s::bigint, %s::smallint, %s::integer, %s::bigint, %s::integer)
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
    room: int
    num: int
    ts: int
    sender: str
    kind: int
    has_url: bool
    words: str


@dataclass(slots=True)
class Changes:
    """What a step does to the documents of its lane. ``purged`` are (room, up to this number)."""

    gone: list[tuple[int, int]] = field(default_factory=list)
    purged: list[tuple[int, int]] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bucket:
    """``room`` is its room's place among those asked for."""

    room: int
    id: int
    documents: int
    newest: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for, apart from the rooms."""

    query: str
    kinds: tuple[int, ...]
    senders: frozenset[str] | None = None
    not_senders: frozenset[str] = frozenset()
    has_url: bool | None = None


class Match(NamedTuple):
    key: Key
    sender: str
    rank: float


async def index(db: Database, step: Step, end: int, changes: Changes) -> bool:
    """Make the changes and move the cursor from the step's start to ``end``; False if it is not there."""
    documents = sorted(changes.documents, key=lambda document: (document.room, document.num))
    rows = await db.call(
        _INDEX,
        (
            step.lane,
            step.generation,
            step.start,
            end,
            BUCKET,
            [room for room, _ in changes.gone],
            [num for _, num in changes.gone],
            [room for room, _ in changes.purged],
            [upto for _, upto in changes.purged],
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


async def buckets(db: Database, rooms: Sequence[tuple[int, int]], before: Key) -> list[Bucket]:
    """Those of these rooms (lane, number) that may hold something before a key, the newest first."""
    async with db.read() as session:
        rows = await session.fetch(_BUCKETS, ([r[0] for r in rooms], [r[1] for r in rooms], before.ts))
    return [Bucket(*row) for row in rows]


async def matches(
    db: Database,
    wanted: Wanted,
    lanes: Sequence[int],
    bucket_ids: Sequence[int],
    before: Key,
    limit: int,
) -> tuple[list[Match], int]:
    """Of what matches in these buckets before a key the newest, and how many there are."""
    params = (
        wanted.query,
        list(lanes),
        list(bucket_ids),
        list(wanted.kinds),
        None if wanted.senders is None else list(wanted.senders),
        list(wanted.not_senders),
        wanted.has_url,
        *before,
        limit,
    )
    async with db.read() as session:
        rows = await session.fetch(_MATCHES, params)
    total = rows[0][6] if rows else 0
    return [Match(Key(*row[:4]), row[4], row[5]) for row in rows], total

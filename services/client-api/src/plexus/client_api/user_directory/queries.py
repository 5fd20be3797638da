"""The tables ``client_api.directory_user`` and ``client_api.directory_room``, and nobody else's."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from plexus.platform.lanes.cursors import Step
from plexus.platform.postgres import Database

_INDEX = """
SELECT client_api.directory_index(
    %s, %s::smallint, %s, %s, %s::bigint, %s::integer[], %s::integer[], %s::smallint[], %s::text[],
    %s::smallint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::integer[])
"""

_OPEN = """
SELECT q.lane, q.room FROM unnest(%s::smallint[], %s::integer[]) AS q (lane, room)
  JOIN client_api.directory_room AS o ON o.lane = q.lane AND o.room = q.room
"""

_NAMES = """
SELECT u.user_id, u.display_name, u.avatar_url FROM unnest(%s::smallint[], %s::text[]) AS q (lane, user_id)
  JOIN client_api.directory_user AS u ON u.lane = q.lane AND u.user_id = q.user_id
"""

# Whole names before whole words before beginnings of words; those with a name before those without.
_FIND = """
SELECT user_id, display_name, avatar_url, is_public
  FROM client_api.directory_user
 WHERE (words @@ %(words)s::tsquery
        OR (%(id)s <> '' AND folded_id >= %(id)s COLLATE "C"
            AND folded_id < %(id)s || chr(1114111) COLLATE "C"))
   AND user_id <> %(but)s
   AND (%(among)s::text[] IS NULL OR is_public OR user_id = ANY (%(among)s::text[]))
 ORDER BY (folded_name = %(term)s OR folded_id = %(term)s OR starts_with(folded_id, %(local)s)) IS TRUE DESC,
          words @@ %(whole)s::tsquery DESC, display_name IS NULL, folded_name, folded_id
 LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A user as they are to be found."""

    lane: int
    user_id: str
    display_name: str | None
    avatar_url: str | None
    folded_id: str
    folded_name: str | None
    words: str
    is_public: bool


@dataclass(slots=True)
class Changes:
    """``rooms`` are (number, whether open) in the lane of the step; ``gone`` (lane, user ID)."""

    rooms: list[tuple[int, bool]] = field(default_factory=list)
    gone: list[tuple[int, str]] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Term:
    """What is looked for: ``words`` and ``whole`` as a ``tsquery``, of beginnings and of words; ``id`` the
    beginning of a user ID or empty; ``term`` all of it, folded.
    """

    words: str
    whole: str
    id: str
    term: str


@dataclass(frozen=True, slots=True)
class FoundUser:
    user_id: str
    display_name: str | None
    avatar_url: str | None
    is_public: bool


async def index(db: Database, step: Step, end: int | None, changes: Changes) -> bool:
    """Make the changes; move the cursor from the step's start to ``end`` if it is given. False if it is not
    there.
    """
    entries = changes.entries
    rows = await db.call(
        _INDEX,
        (
            step.family,
            step.lane,
            step.generation,
            step.start,
            end,
            [room for room, _ in changes.rooms],
            [int(is_open) for _, is_open in changes.rooms],
            [lane for lane, _ in changes.gone],
            [user_id for _, user_id in changes.gone],
            [entry.lane for entry in entries],
            [entry.user_id for entry in entries],
            [entry.display_name for entry in entries],
            [entry.avatar_url for entry in entries],
            [entry.folded_id for entry in entries],
            [entry.folded_name for entry in entries],
            [entry.words for entry in entries],
            [int(entry.is_public) for entry in entries],
        ),
    )
    return bool(rows[0][0])


async def open_rooms(db: Database, rooms: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of these rooms (lane, number) that are open."""
    if not rooms:
        return set()
    async with db.read(primary=True) as session:
        rows = await session.fetch(_OPEN, ([lane for lane, _ in rooms], [room for _, room in rooms]))
    return {(row[0], row[1]) for row in rows}


async def names(
    db: Database, lanes: Sequence[int], user_ids: Sequence[str]
) -> dict[str, tuple[str | None, str | None]]:
    """What names and avatars these users have in the directory."""
    async with db.read(primary=True) as session:
        rows = await session.fetch(_NAMES, (list(lanes), list(user_ids)))
    return {row[0]: (row[1], row[2]) for row in rows}


async def find(
    db: Database, term: Term, *, but: str, among: Collection[str] | None, limit: int
) -> list[FoundUser]:
    """The best that match, without one user; ``among``: only public users and these."""
    params = {
        "words": term.words,
        "whole": term.whole,
        "id": term.id,
        "term": term.term,
        "local": f"@{term.term.removeprefix('@')}:",
        "but": but,
        "among": None if among is None else list(among),
        "most": limit,
    }
    async with db.read() as session:
        return [FoundUser(*row) for row in await session.fetch(_FIND, params)]

"""A search from the request to a page of hits; what the answer shows of them is in ``showing``.

It looks into the rooms that the user has been in, without those that are encrypted. The best are found among
the newest `RANKED` hits: those are ranked and paged through before older ones are. So a page costs the same
however much matches, and everything can be reached.

Client-Server API, "Server Side Search".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from plexus.client_api.deps import ClientApi
from plexus.client_api.search import words
from plexus.client_api.search.documents import KINDS, TYPES
from plexus.client_api.search.finding import Finder, Found
from plexus.client_api.search.models import DEFAULT_PAGE, MAX_PAGE, RoomEvents
from plexus.client_api.search.queries import END, Key, Match, Wanted
from plexus.client_api.search.tokens import Position
from plexus.platform.lanes import ROOM
from plexus.platform.lanes.cursors import marks_to_wait_for
from plexus.protocol.filters import EventFilter
from plexus.rooms import RoomRef, Viewer

RANKED = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Hits in the order asked for, and where the page ended, for the next one; None after the last.
    ``unfinished`` are the groups (key, value) of which the next pages may have more.
    """

    hits: list[tuple[Viewer, RoomRef, Match]]
    end: Position | None
    count: int
    unfinished: frozenset[tuple[str, str]]


async def find(api: ClientApi, user_id: str, asked: RoomEvents, token: str | None) -> Page:
    """`InvalidParam` and `BadJson` for a filter or token that is none."""
    position = Position() if token is None else Position.decode(token)
    event_filter = EventFilter.parse(asked.filter, of_room=True)
    query = words.query(asked.search_term)
    wanted = None if query is None else await _wanted(api, query, asked, event_filter, position)
    if wanted is None:
        return Page([], None, 0, frozenset())
    # What the user has written or seen written is in the index when this is answered, unless it is ill.
    marks = await marks_to_wait_for(api.platform, user_id, (ROOM,))
    finder = Finder(api, user_id, wanted, {lane: at for (_, lane), at in marks.items()})
    limit = DEFAULT_PAGE if event_filter.limit is None else event_filter.limit
    # A page of nothing has no end from which to go on.
    limit = min(max(limit, 1), MAX_PAGE)
    if asked.order_by == "recent":
        return await _recent(finder, position, limit)
    return await _ranked(finder, position, limit)


async def _wanted(
    api: ClientApi, query: str, asked: RoomEvents, event_filter: EventFilter, position: Position
) -> Wanted | None:
    """None if nothing can match."""
    keys = KINDS if asked.keys is None else asked.keys
    kinds = [
        kind
        for (key, kind), event_type in zip(KINDS.items(), TYPES, strict=True)
        if key in keys and event_filter.matches_type(event_type)
    ]
    if not kinds or event_filter.is_nothing:
        return None
    senders, room_ids = event_filter.senders, event_filter.rooms
    if position.group is not None:
        key, value = position.group
        of_group = frozenset({value})
        if key == "sender":
            senders = of_group if senders is None else senders & of_group
        else:
            room_ids = of_group if room_ids is None else room_ids & of_group
    rooms = None if room_ids is None else tuple((await api.rooms.refs(room_ids)).values())
    not_rooms = tuple((await api.rooms.refs(event_filter.not_rooms)).values())
    return Wanted(
        query, tuple(kinds), senders, event_filter.not_senders, event_filter.contains_url, rooms, not_rooms
    )


async def _recent(finder: Finder, position: Position, limit: int) -> Page:
    found = await finder.newest(position.before, limit + 1, 4 * (limit + 1))
    page, rest = found.hits[:limit], found.hits[limit:]
    end = page[-1].key if rest else found.reached
    return _page(finder, position, found, page, rest, None if end is None else Position(end))


async def _ranked(finder: Finder, position: Position, limit: int) -> Page:
    found = await finder.newest(position.before, RANKED, RANKED)
    together, older = found.hits[:RANKED], found.hits[RANKED:]
    ranked = sorted(together, key=_by_rank)
    if position.after is not None:
        after = (-position.after[0], *_older_last(position.after[1]))
        ranked = [hit for hit in ranked if _by_rank(hit) > after]
    page, rest = ranked[:limit], ranked[limit:]
    end: Position | None = None
    if rest:
        # What is said meanwhile is not ranked among these: they end where they ended first.
        before = position.before
        if before == END:
            newest = together[0].key
            before = newest._replace(num=newest.num + 1)
        end = Position(before, (page[-1].rank, page[-1].key))
    elif older:
        end = Position(together[-1].key)
    elif found.reached is not None:
        end = Position(found.reached)
    return _page(finder, position, found, page, rest + older, end)


def _page(
    finder: Finder,
    position: Position,
    found: Found,
    page: list[Match],
    rest: list[Match],
    end: Position | None,
) -> Page:
    count = found.count if position.count is None else position.count
    if end is not None:
        end = replace(end, group=position.group, count=count)
    hits = [(finder.viewer_of(hit.key), finder.ref_of(hit.key), hit) for hit in page]
    # Of what was not read nobody knows whose it is.
    open_end = found.reached is not None
    further = [(finder.ref_of(hit.key), hit) for hit in (page if open_end else rest)]
    groups = {("room_id", ref.room_id) for ref, _ in further} | {("sender", hit.sender) for _, hit in further}
    return Page(hits, end, count, frozenset(groups))


def _by_rank(hit: Match) -> tuple[float, ...]:
    return (-hit.rank, *_older_last(hit.key))


def _older_last(key: Key) -> tuple[int, ...]:
    return tuple(-value for value in key)

"""Walking a space, depth first, as one requester may see it.

A room that hangs in several places is met once, where the walk comes to it first; so loops end. Each page
walks from the root again: what a room is hidden from, and what it has been met before, follows from the tree
alone. The tree may have changed since the page before. The walk goes on behind the last room that was given,
wherever it is now; if it is gone, behind as many rooms as were given.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import islice

from plexus.client_api.deps import ClientApi
from plexus.client_api.summaries.describing import children_of
from plexus.client_api.summaries.gathering import Eyes, Room, gather
from plexus.client_api.summaries.models import LOOK_AHEAD, MOST_ROOMS
from plexus.client_api.summaries.tokens import PageEnd, Walk
from plexus.rooms import StoredEvent

Met = tuple[Room, Sequence[StoredEvent]]
"""A room with its children, in order."""


async def page(
    api: ClientApi, eyes: Eyes, walk: Walk, *, limit: int, after: PageEnd | None
) -> tuple[list[Met], PageEnd | None]:
    """Rooms of the walk, and where to go on if there are more. None on the first page: the root is hidden."""
    met: list[Met] = []
    start = 0 if after is None else None
    async for found in _visible(api, eyes, walk):
        met.append(found)
        if start is None and after is not None and found[0].room_id == after.last:
            start = len(met)
        if start is not None and len(met) > start + limit:
            break
    if start is None:
        start = 0 if after is None else after.given
    rooms = met[start : start + limit]
    end = start + len(rooms)
    if not rooms or end >= len(met):
        return rooms, None
    return rooms, PageEnd(walk, end, rooms[-1][0].room_id)


async def _visible(api: ClientApi, eyes: Eyes, walk: Walk) -> AsyncIterator[Met]:
    known: dict[str, Room | None] = {}
    seen: set[str] = set()
    stack: list[tuple[str, int]] = [(walk.root, 0)]
    while stack and len(seen) < MOST_ROOMS:
        room_id, depth = stack.pop()
        if room_id in seen:
            continue
        seen.add(room_id)
        if room_id not in known:
            coming = (each for each, _ in reversed(stack) if each not in known)
            batch = list(dict.fromkeys([room_id, *islice(coming, LOOK_AHEAD - 1)]))
            here = await gather(api, batch, with_children=True)
            known.update((each, here.get(each)) for each in batch)
        room = known.pop(room_id)
        if room is None or not eyes.may_know(room):
            continue
        children = children_of(room, suggested_only=walk.suggested_only)
        yield room, children
        if depth < walk.max_depth:
            stack += [(child.state_key or "", depth + 1) for child in reversed(children)]

"""Pages of a room's timeline, as one user may see it.

Reads on in both directions until there are enough visible, wanted events, the end is reached, or a bound on
the work is: then the page is short but ``end`` says where to go on, as the specification allows.

Client-Server API, ``GET /rooms/{roomId}/messages``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

from plexus.protocol.errors import Forbidden
from plexus.rooms.events import EventReader
from plexus.rooms.ground import Ground
from plexus.rooms.stored import StoredEvent
from plexus.rooms.values import Place, RoomRef, TimelinePage, Visibility
from plexus.rooms.visibility import Viewer, read_viewers

MOST_ROUNDS = 10
MOST_READ = 500

FIRST = Place(0, 0)
"""The boundary before everything."""

LAST = Place(2**62, 0)
"""The boundary after everything."""

EventTest = Callable[[StoredEvent], bool]


class PageOf(Protocol):
    async def __call__(
        self, start: Place, end: Place, *, backwards: bool, limit: int
    ) -> list[StoredEvent]: ...


async def read_timeline(
    ground: Ground,
    reader: EventReader,
    ref: RoomRef,
    *,
    start: Place | None,
    end: Place | None,
    backwards: bool,
    limit: int,
    viewer: str | Viewer | None,
    event_filter: EventTest | None,
    given: list[StoredEvent] | None = None,
    page_of: PageOf | None = None,
) -> TimelinePage:
    """A page; `Forbidden` if the viewer may see nothing of this room. ``given``: the first ``limit`` events,
    if they have been read already. ``page_of`` reads elsewhere than in the database.
    """
    eyes = (await read_viewers(ground, [ref], viewer))[ref] if isinstance(viewer, str) else viewer
    if eyes is not None and not eyes.may_read:
        raise Forbidden("You are not in this room")
    at = start if start is not None else (LAST if backwards else FIRST)
    stop = end if end is not None else (FIRST if backwards else LAST)
    if backwards:
        at = _not_after_leaving(eyes, at)
    first = at
    read = page_of or partial(reader.page, ref)
    events: list[StoredEvent] = []
    memberships: list[str | None] = []
    all_joined = True
    for number in range(MOST_ROUNDS):
        # Mostly all of a page is for its reader.
        spare = 20 if event_filter or number else 0
        wanted = min(MOST_READ, max(limit - len(events), 1) + spare)
        if given is not None and number == 0:
            page = given
        else:
            page = await read(at, stop, backwards=backwards, limit=wanted)
        last: StoredEvent | None = None
        for event, held in zip(page, _held(eyes, page), strict=True):
            last = event
            if (held is None or held.visible) and (event_filter is None or event_filter(event)):
                events.append(event)
                if held is not None:
                    memberships.append(held.membership)
                    all_joined = all_joined and held.joined
                if len(events) == limit:
                    break
        if last is not None:
            at = last.place.before if backwards else last.place
        if len(events) >= limit or len(page) < wanted:
            break
    is_end = len(events) < limit and len(page) < wanted
    if eyes is None:
        await reader.decorate(events)
    else:
        events = await reader.shown(events, {ref: eyes}, joined=all_joined)
    if eyes is None:
        memberships = [None] * len(events)
    return TimelinePage(events, first, None if is_end else at, memberships=memberships)


async def read_around(
    ground: Ground, reader: EventReader, asked: Sequence[tuple[StoredEvent, Viewer]], before: int, after: int
) -> list[tuple[TimelinePage, TimelinePage]]:
    """What was said before and after each of these events: pages of the timeline backwards and forwards from
    it, all read in one query.
    """
    read = await reader.around([event for event, _ in asked], before, after)
    await reader.decorate(event for sides in read for side in sides for event in side)

    async def side(
        event: StoredEvent,
        viewer: Viewer,
        given: list[StoredEvent],
        start: Place,
        limit: int,
        *,
        backwards: bool,
    ) -> TimelinePage:
        if limit == 0:
            return TimelinePage([], start, start)
        return await read_timeline(
            ground,
            reader,
            event.ref,
            start=start,
            end=None,
            backwards=backwards,
            limit=limit,
            viewer=viewer,
            event_filter=None,
            given=given,
        )

    return [
        (
            await side(event, viewer, earlier, event.place.before, before, backwards=True),
            await side(event, viewer, later, event.place, after, backwards=False),
        )
        for (event, viewer), (earlier, later) in zip(asked, read, strict=True)
    ]


def _held(eyes: Viewer | None, page: Sequence[StoredEvent]) -> Iterable[Visibility | None]:
    """What holds for the viewer at each of these live events; nothing without a viewer."""
    if eyes is None:
        return [None] * len(page)
    if page:
        # Mostly nothing has changed from one end to the other.
        same = eyes.between(page[0].place, page[-1].place)
        if same is not None:
            return [same] * len(page)
    return (eyes.at(event.place) for event in page)


def _not_after_leaving(eyes: Viewer | None, at: Place) -> Place:
    """Where to begin: who has left a room need not be led through all that came after."""
    if eyes is None or eyes.membership == "join" or eyes.left_at is None:
        return at
    if any(value == "world_readable" for _, value in eyes.visibilities):
        return at
    # What came after is not theirs to see, but for what invitees may, so from the newest membership.
    last = max(eyes.left_at, eyes.memberships[-1].start)
    return min(at, Place(last, 0))

"""Reading a room as one user sees it.

Who is in the room sees it as it is; who has left sees it as it was then (`Rooms.view`); events are shown by
history visibility at the event. Events go out as bytes: parsed by nobody but the client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import orjson
from plexus.client_api.deps import ClientApi
from plexus.client_api.reading.models import MEMBERSHIPS
from plexus.client_api.reading.places import place_of, token_of
from plexus.platform.http import Requester
from plexus.protocol.errors import Forbidden, NotFound
from plexus.protocol.filters import EventFilter
from plexus.rooms import (
    EVERYTHING,
    Bundle,
    Place,
    RoomRef,
    Run,
    StoredEvent,
    TimelinePage,
    Viewer,
    Wanted,
    joined_json,
    member_of,
)
from plexus.users import NO_RULES

MEMBER = "m.room.member"


@dataclass(frozen=True, slots=True)
class Reader:
    """One requester's view of events: whose ``unsigned`` it is. ``bundles`` are told with the events of the
    timeline that have any.
    """

    user_id: str
    device_id: str | None
    now_ms: int
    bundles: Mapping[tuple[RoomRef, int], Bundle] = field(default_factory=dict)

    def event(self, event: StoredEvent, membership: str | None = None) -> bytes:
        """The event as this client gets it; ``membership`` is the reader's own at the event."""
        bundle = self.bundles.get((event.ref, event.num)) if self.bundles else None
        relations = None if bundle is None else bundle.json(self._bare, self.user_id)
        return self._bare(event, relations, membership)

    def _bare(
        self, event: StoredEvent, relations: bytes | None = None, membership: str | None = None
    ) -> bytes:
        return event.client_bytes(
            now_ms=self.now_ms,
            user_id=self.user_id,
            device_id=self.device_id,
            membership=membership,
            relations=relations,
        )

    def events(self, events: Iterable[StoredEvent]) -> bytes:
        """A JSON list of them."""
        return b"[" + b",".join(self.event(event) for event in events) + b"]"

    def page(self, page: TimelinePage) -> bytes:
        """A JSON list of a page's events, each with the reader's membership at it."""
        if self.bundles:
            parts = map(self.event, page.events, page.memberships)
            return b"[" + b",".join(parts) + b"]"
        user_id, device_id = self.user_id, self.device_id
        events = page.events
        tails = [
            event.tail(user_id, device_id, membership)
            for event, membership in zip(events, page.memberships, strict=True)
        ]
        run = Run([event.head() for event in events], [event.origin_server_ts for event in events], tails)
        return run.print(self.now_ms, b"[", b"]")


def reader_of(api: ClientApi, requester: Requester) -> Reader:
    return Reader(requester.user_id, requester.device_id, api.platform.clock.now_ms())


async def bundling_reader(api: ClientApi, requester: Requester, events: Iterable[StoredEvent]) -> Reader:
    """A reader who knows what is to be told with these events of those that relate to them: nothing by users
    whom the requester ignores, and nothing that they may not see. Of any number of rooms; one query more if
    there is nothing.

    Client-Server API, "Aggregations of child events".
    """
    parents = [event for event in events if event.state_key is None]
    reader = reader_of(api, requester)
    if not parents:
        return reader
    user_id = requester.user_id
    bundles = await api.rooms.bundles(parents, viewer=user_id)
    if bundles:
        ignored = (await api.users.contact_rules([user_id])).get(user_id, NO_RULES).ignored
        if any(not ignored.isdisjoint(bundle.senders) for bundle in bundles.values()):
            bundles = await api.rooms.bundles(parents, viewer=user_id, ignored=ignored)
    return replace(reader, bundles=bundles)


async def one_event(api: ClientApi, requester: Requester, room_id: str, event_id: str) -> bytes:
    """``getOneRoomEvent``: `NotFound` also for what the requester may not see."""
    found = await api.rooms.event(room_id, event_id, viewer=requester.user_id)
    reader = await bundling_reader(api, requester, [found])
    return reader.event(found, _membership_at(await _viewer(api, requester, found), found))


async def room_state(api: ClientApi, requester: Requester, room_id: str) -> bytes:
    """``getRoomState``: the state now, or when the requester left."""
    return await state_of(api, reader_of(api, requester), room_id)


async def state_of(api: ClientApi, reader: Reader, room_id: str) -> bytes:
    """What a reader may see of a room's state, as a JSON list."""
    view = await api.rooms.view(room_id, reader.user_id)
    in_force = await api.rooms.state_in_force(view)
    if in_force is not None:
        return in_force.events(reader, b"[", b"]")
    return reader.events(await api.rooms.state_seen(view))


async def state_entry(
    api: ClientApi,
    requester: Requester,
    room_id: str,
    event_type: str,
    state_key: str,
    *,
    whole: bool = False,
) -> StoredEvent:
    """``getRoomStateWithKey``: `NotFound` if there is no such entry. ``whole``: with what it replaced."""
    view = await api.rooms.view(room_id, requester.user_id)
    if view.is_current:
        found = await api.rooms.state_event(room_id, event_type, state_key)
    else:
        members = frozenset({state_key}) if event_type == MEMBER else None
        wanted = Wanted(types=frozenset({event_type}), members=members)
        state = await api.rooms.state_at(view.ref, view.snapshot, wanted)
        found = state.get((event_type, state_key))
    if found is None:
        raise NotFound("The room has no such state")
    if whole:
        await api.rooms.decorate([found])
    return (await _as_seen(api, view.viewer, view.ref, [found]))[0]


async def whole_state_entry(
    api: ClientApi, requester: Requester, room_id: str, event_type: str, state_key: str
) -> bytes:
    """The same as an event, with what it replaced."""
    found = await state_entry(api, requester, room_id, event_type, state_key, whole=True)
    return reader_of(api, requester).event(found)


async def members(
    api: ClientApi,
    requester: Requester,
    room_id: str,
    *,
    at: str | None,
    membership: str | None,
    not_membership: str | None,
) -> bytes:
    """``getMembersByRoom``: the member events now, when the requester left, or ``at`` a token."""
    view = await api.rooms.view(room_id, requester.user_id)
    if at is not None:
        place = await place_of(api, view.ref, at)
        if place is not None and place < view.place:
            if not view.viewer.at(place).visible:
                raise Forbidden("You could not see the room at that point")
            earlier = await api.rooms.snapshot_at(view.ref, place)
            if earlier is not None:
                view = replace(view, snapshot=earlier, is_current=False)
    reader = reader_of(api, requester)
    wanted: frozenset[str] | None = None
    if membership is not None or not_membership is not None:
        # "the two parameters create an 'or' condition"
        others = set(MEMBERSHIPS) - {not_membership} if not_membership is not None else set()
        wanted = frozenset(others if membership is None else {membership, *others})
    in_force = await api.rooms.state_in_force(view)
    if in_force is not None:
        return in_force.members(reader, b'{"chunk":[', b"]}", wanted)
    found = await api.rooms.state_seen(view, Wanted(types=frozenset({MEMBER})))
    if wanted is not None:
        found = [event for event in found if member_of(event).membership in wanted]
    return b'{"chunk":' + reader.events(found) + b"}"


async def joined_members(api: ClientApi, requester: Requester, room_id: str) -> bytes:
    """``getJoinedMembersByRoom``: `Forbidden` for who is not in the room."""
    view = await api.rooms.view(room_id, requester.user_id)
    if view.viewer.membership != "join":
        raise Forbidden("You are not in the room")
    in_force = await api.rooms.state_in_force(view)
    if in_force is not None:
        return b'{"joined":' + in_force.joined() + b"}"
    joined = map(joined_json, await api.rooms.joined_members(view))
    return b'{"joined":{' + b",".join(joined) + b"}}"


async def messages(
    api: ClientApi,
    requester: Requester,
    room_id: str,
    *,
    direction: Literal["b", "f"],
    start: str | None,
    end: str | None,
    limit: int,
    event_filter: EventFilter,
) -> bytes:
    """``getRoomEvents``: a page of the timeline, with lazily loaded members if the filter asks for them."""
    view = await api.rooms.view(room_id, requester.user_id)
    begin = None if start is None else await place_of(api, view.ref, start)
    if begin is None and direction == "b":
        # "the last visible event": a boundary that stays where it is while the room goes on.
        # Who has left may still see their own later memberships, such as a ban.
        begin = view.newest
    stop = None if end is None else await place_of(api, view.ref, end)
    page = await api.rooms.timeline(
        room_id,
        start=begin,
        end=stop,
        backwards=direction == "b",
        limit=max(limit, 1),
        viewer=view,
        event_filter=predicate(event_filter, room_id),
    )
    if limit == 0 and page.events:
        page = TimelinePage([], page.start, page.start)
    reader = await bundling_reader(api, requester, page.events if view.relates else ())
    parts = [
        b'{"start":' + orjson.dumps(start if start is not None else token_of(page.start)),
        b'"chunk":' + reader.page(page),
    ]
    if page.end is not None:
        parts.append(b'"end":' + orjson.dumps(token_of(page.end)))
    if event_filter.lazy_load_members and page.events:
        senders = await senders_of(api, view.viewer, view.ref, page.events)
        parts.append(b'"state":' + reader.events(senders))
    return b",".join(parts) + b"}"


async def context(
    api: ClientApi,
    requester: Requester,
    room_id: str,
    event_id: str,
    *,
    limit: int,
    event_filter: EventFilter,
) -> bytes:
    """``getEventContext``: what was said around an event."""
    found = await api.rooms.event(room_id, event_id, viewer=requester.user_id)
    if found.ordinal is None:
        raise NotFound("Event not found")
    passes = predicate(event_filter, room_id)

    async def page(start: Place, *, backwards: bool, size: int) -> TimelinePage:
        if size == 0:
            return TimelinePage([], start, start)
        return await api.rooms.timeline(
            room_id,
            start=start,
            backwards=backwards,
            limit=size,
            viewer=requester.user_id,
            event_filter=passes,
        )

    before = await page(found.place.before, backwards=True, size=limit // 2)
    after = await page(found.place, backwards=False, size=limit - limit // 2)
    shown = [*before.events, found, *after.events]
    last = after.events[-1] if after.events else found
    wanted = EVERYTHING
    if event_filter.lazy_load_members:
        wanted = Wanted(members=frozenset(event.sender for event in shown))
    viewer = await _viewer(api, requester, found)
    state = await api.rooms.state_at(found.ref, last.room_after, wanted)
    states = await _as_seen(api, viewer, found.ref, state.values())
    reader = await bundling_reader(api, requester, shown)
    first_place = before.end or before.start
    last_place = after.end or last.place
    return b"".join(
        (
            b'{"start":' + orjson.dumps(token_of(first_place)),
            b',"end":' + orjson.dumps(token_of(last_place)),
            b',"event":' + reader.event(found, _membership_at(viewer, found)),
            b',"events_before":' + reader.page(before),
            b',"events_after":' + reader.page(after),
            b',"state":' + reader.events(event for event in states if passes is None or passes(event)),
            b"}",
        )
    )


async def senders_of(
    api: ClientApi, viewer: Viewer, ref: RoomRef, events: Sequence[StoredEvent]
) -> list[StoredEvent]:
    """The member events of the senders, as of the newest event. "Lazy-loading room members"."""
    newest = max(events, key=lambda event: event.place)
    senders = {event.sender for event in events}
    members = await api.rooms.members_at(ref, newest.room_after, senders)
    return await _as_seen(api, viewer, ref, members)


def predicate(event_filter: EventFilter, room_id: str) -> Callable[[StoredEvent], bool] | None:
    """The filter as a test of one event; None if it lets everything through."""
    if event_filter.is_everything:
        return None
    with_content = event_filter.contains_url is not None

    def passes(event: StoredEvent) -> bool:
        content = event.content if with_content else None
        return event_filter.matches(event.type, event.sender, room_id, content)

    return passes


async def _as_seen(
    api: ClientApi, viewer: Viewer, ref: RoomRef, state: Iterable[StoredEvent]
) -> list[StoredEvent]:
    """Events of an earlier state, redacted where their senders are erased and the viewer came later."""
    events = list(state)
    withheld = await api.rooms.withheld({ref: viewer}, events)
    return [withheld.shown(event) for event in events]


async def _viewer(api: ClientApi, requester: Requester, event: StoredEvent) -> Viewer:
    return (await api.rooms.viewers([event.ref], requester.user_id))[event.ref]


def _membership_at(viewer: Viewer, event: StoredEvent) -> str | None:
    return None if event.ordinal is None else viewer.at(event.place).membership

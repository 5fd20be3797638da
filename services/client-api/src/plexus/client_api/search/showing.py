"""A page of hits as the client gets it: events, what was said around them, state, groups.

An event that has been redacted since it was indexed is left out. Events are spliced as bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
from plexus.client_api.deps import ClientApi
from plexus.client_api.reading.places import token_of
from plexus.client_api.reading.service import MEMBER, Reader, bundling_reader, state_of
from plexus.client_api.search import words
from plexus.client_api.search.documents import text_of
from plexus.client_api.search.models import MAX_CONTEXT, RoomEvents
from plexus.client_api.search.queries import Match
from plexus.client_api.search.service import Page
from plexus.platform.http import Requester
from plexus.rooms import StoredEvent, TimelinePage, Viewer, Wanted

Hit = tuple[StoredEvent, Match]
Around = tuple[TimelinePage, TimelinePage]


async def show(api: ClientApi, requester: Requester, asked: RoomEvents, page: Page) -> bytes:
    """``ResultRoomEvents`` in its category."""
    shown = await _events(api, page)
    hits = [(event, match) for _, event, match in shown]
    around: list[Around] = []
    if asked.event_context is not None:
        limits = asked.event_context
        around = await api.rooms.around(
            [(event, viewer) for viewer, event, _ in shown],
            min(limits.before_limit, MAX_CONTEXT),
            min(limits.after_limit, MAX_CONTEXT),
        )
    sides = [event for pair in around for side in pair for event in side.events]
    reader = await bundling_reader(api, requester, [*(event for event, _ in hits), *sides])
    results: list[dict[str, Any]] = [
        {"rank": match.rank, "result": orjson.Fragment(reader.event(event))} for event, match in hits
    ]
    if asked.event_context is not None:
        for result, (event, _), pair in zip(results, hits, around, strict=True):
            result["context"] = _context(reader, event, pair)
        if asked.event_context.include_profile:
            profiles = await _profiles(api, [event for event, _ in hits], around)
            for result, of_senders in zip(results, profiles, strict=True):
                result["context"]["profile_info"] = of_senders
    answer: dict[str, Any] = {
        "count": page.count,
        "highlights": words.highlights(asked.search_term, [text_of(event) for event, _ in hits]),
        "results": results,
    }
    if asked.include_state:
        answer["state"] = await _states(api, reader, [event for event, _ in hits])
    if asked.groupings.group_by:
        answer["groups"] = _groups({group.key for group in asked.groupings.group_by}, hits, page)
    if page.end is not None:
        answer["next_batch"] = page.end.encode()
    return orjson.dumps({"search_categories": {"room_events": answer}})


async def _events(api: ClientApi, page: Page) -> list[tuple[Viewer, StoredEvent, Match]]:
    found = await api.rooms.events([(ref, [match.key.num]) for _, ref, match in page.hits])
    hits = [(viewer, found.get((ref, match.key.num)), match) for viewer, ref, match in page.hits]
    there = [
        (viewer, event, match)
        for viewer, event, match in hits
        if event is not None and event.redacted_by is None
    ]
    await api.rooms.decorate([event for _, event, _ in there])
    return there


def _context(reader: Reader, event: StoredEvent, around: Around) -> dict[str, Any]:
    before, after = around
    return {
        "start": token_of(before.end or before.start),
        "end": token_of(after.end or (after.events[-1].place if after.events else event.place)),
        "events_before": orjson.Fragment(reader.page(before)),
        "events_after": orjson.Fragment(reader.page(after)),
    }


async def _profiles(
    api: ClientApi, events: Sequence[StoredEvent], around: Sequence[Around]
) -> list[dict[str, dict[str, str]]]:
    """Those of the senders, as of the event that matched: "historic profile information"."""
    requests = []
    for event, sides in zip(events, around, strict=True):
        shown = [event, *(each for side in sides for each in side.events)]
        senders = frozenset(each.sender for each in shown if not each.withheld)
        wanted = Wanted(types=frozenset({MEMBER}), members=senders)
        requests.append((event.ref, event.room_after, wanted))
    return [
        {user_id: _profile(member) for (_, user_id), member in members.items()}
        for members in await api.rooms.states(requests)
    ]


def _profile(member: StoredEvent) -> dict[str, str]:
    shown = {field: member.content.get(field) for field in ("displayname", "avatar_url")}
    return {field: value for field, value in shown.items() if isinstance(value, str)}


async def _states(api: ClientApi, reader: Reader, events: Sequence[StoredEvent]) -> dict[str, Any]:
    """The state of each room now, or as it was when the reader left."""
    states = {}
    for room_id in dict.fromkeys(event.room_id for event in events):
        states[room_id] = orjson.Fragment(await state_of(api, reader, room_id))
    return states


def _groups(keys: set[str], hits: Sequence[Hit], page: Page) -> dict[str, Any]:
    groups: dict[str, dict[str, Any]] = {key: {} for key in sorted(keys)}
    for event, _ in hits:
        for key, group in groups.items():
            value = event.room_id if key == "room_id" else event.sender
            entry = group.setdefault(value, {"order": len(group) + 1, "results": []})
            entry["results"].append(event.event_id)
    for key, group in groups.items():
        for value, entry in group.items():
            if page.end is not None and (key, value) in page.unfinished:
                # Within one group already, there is no other to go on in.
                position = page.end if page.end.group else replace(page.end, group=(key, value))
                entry["next_batch"] = position.encode()
    return groups

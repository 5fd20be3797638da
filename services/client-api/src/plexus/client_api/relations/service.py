"""The events that relate to one, and the threads of a room, as one user may see them.

Of users whom the requester ignores nothing counts and nothing is told. The root of a thread is there all the
same, without what its sender says in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import orjson
from plexus.client_api.deps import ClientApi
from plexus.client_api.reading.places import place_of, token_of
from plexus.client_api.reading.service import bundling_reader
from plexus.client_api.relations.models import DEFAULT_PAGE, MAX_PAGE, ThreadsToken
from plexus.platform.http import Requester
from plexus.rooms import RECURSION_DEPTH, Asked, Place, RoomRef, TimelinePage
from plexus.users import NO_RULES


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of the related events is wanted: the parameters of the request."""

    start: str | None
    to: str | None
    limit: int | None
    direction: Literal["b", "f"]
    recurse: bool | None


async def relating_events(
    api: ClientApi,
    requester: Requester,
    room_id: str,
    event_id: str,
    rel_type: str | None,
    event_type: str | None,
    page: Page,
) -> bytes:
    """``getRelatingEvents`` in its three forms. `NotFound` if the requester may not see the parent."""
    parent = await api.rooms.event(room_id, event_id, viewer=requester.user_id)
    ref = parent.ref
    limit = min(DEFAULT_PAGE if page.limit is None else page.limit, MAX_PAGE)
    begin = None if page.start is None else await place_of(api, ref, page.start)
    end = None if page.to is None else await place_of(api, ref, page.to)
    backwards = page.direction == "b"
    if limit == 0:
        here = begin or Place(await _newest(api, ref) if backwards else 0)
        found = TimelinePage([], here, here)
    else:
        asked = Asked(event_id, rel_type, event_type, bool(page.recurse), await _ignored(api, requester))
        found = await api.rooms.related(
            ref,
            asked,
            viewer=requester.user_id,
            start=begin,
            end=end,
            backwards=backwards,
            limit=limit,
        )
    reader = await bundling_reader(api, requester, found.events)
    parts = [b'{"chunk":' + reader.page(found)]
    if found.end is not None:
        parts.append(b'"next_batch":' + orjson.dumps(token_of(found.end)))
    if page.start is not None:
        parts.append(b'"prev_batch":' + orjson.dumps(page.start))
    if page.recurse is not None:
        parts.append(b'"recursion_depth":%d' % (RECURSION_DEPTH if page.recurse else 1))
    return b",".join(parts) + b"}"


async def thread_roots(
    api: ClientApi,
    requester: Requester,
    room_id: str,
    *,
    only_participated: bool,
    limit: int,
    start: str | None,
) -> bytes:
    """``getThreadRoots``. `Forbidden` if the requester may not view the room."""
    view = await api.rooms.view(room_id, requester.user_id)
    token = ThreadsToken(view.place.ordinal, view.place) if start is None else ThreadsToken.decode(start)
    ignored = await _ignored(api, requester)
    page = await api.rooms.threads(
        view.ref,
        viewer=requester.user_id,
        upto=token.upto,
        start=token.place,
        limit=min(limit, MAX_PAGE),
        only_participated=only_participated,
        ignored=ignored,
    )
    roots = [root.redacted() if root.sender in ignored else root for root in page.roots]
    reader = await bundling_reader(api, requester, roots)
    body = b'{"chunk":' + reader.events(roots)
    if page.end is not None:
        body += b',"next_batch":' + orjson.dumps(ThreadsToken(token.upto, page.end).encode())
    return body + b"}"


async def _newest(api: ClientApi, ref: RoomRef) -> int:
    heads = await api.rooms.heads([ref])
    return heads[ref].ordinal


async def _ignored(api: ClientApi, requester: Requester) -> frozenset[str]:
    user_id = requester.user_id
    return (await api.users.contact_rules([user_id])).get(user_id, NO_RULES).ignored

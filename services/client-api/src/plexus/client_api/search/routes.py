"""Server-side search. Client-Server API, "Server Side Search"."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.search import service, showing
from plexus.client_api.search.models import SearchRequest
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Search"])

NextBatch = Annotated[str | None, Query(description="The ``next_batch`` of an answer, or of a group.")]


@router.post("/search", operation_id="search")
async def search(
    api: Deps, requester: FullUser, body: SearchRequest, next_batch: NextBatch = None
) -> Response:
    """Client-Server API, "Server Side Search"."""
    await api.platform.limits.check("query", requester.user_id)
    asked = body.search_categories.room_events
    if asked is None:
        return Response(b'{"search_categories":{}}', media_type="application/json")
    page = await service.find(api, requester.user_id, asked, next_batch)
    shown = await showing.show(api, requester, asked, page)
    return Response(shown, media_type="application/json")

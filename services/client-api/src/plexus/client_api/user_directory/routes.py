"""The user directory. Client-Server API, "User Directory"."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.user_directory import service
from plexus.client_api.user_directory.models import UserSearch
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/v3", tags=["User directory"])


@router.post("/user_directory/search", operation_id="searchUserDirectory")
async def search_user_directory(api: Deps, requester: FullUser, body: UserSearch) -> dict[str, Any]:
    """Client-Server API, "User Directory"."""
    await api.platform.limits.check("query", requester.user_id)
    return await service.search(api, requester.user_id, body.search_term, body.limit)

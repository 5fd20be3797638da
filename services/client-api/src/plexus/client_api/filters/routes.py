"""Filters. Client-Server API, "Filtering"."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from plexus.client_api.deps import Deps
from plexus.client_api.filters import service
from plexus.client_api.filters.models import Definition
from plexus.client_api.own_user import OwnUser
from plexus.platform.http import make_router
from starlette.responses import Response

router = make_router(prefix="/_matrix/client/v3/user/{userId}/filter", tags=["Room participation"])


@router.post("", operation_id="defineFilter")
async def define_filter(api: Deps, requester: OwnUser, body: Definition) -> dict[str, str]:
    """Store a filter. The same filter has the same ID."""
    return {"filter_id": await api.users.put_filter(requester.user_id, body)}


@router.get("/{filterId}", operation_id="getFilter", response_model=None)
async def get_filter(
    api: Deps,
    requester: OwnUser,
    filter_id: Annotated[str, Path(alias="filterId", description="The filter's ID.")],
) -> Response:
    """The filter as it was sent."""
    return await service.get(api, requester.user_id, filter_id)

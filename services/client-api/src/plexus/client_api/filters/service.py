"""Stored filters."""

from __future__ import annotations

from plexus.client_api.deps import ClientApi
from plexus.platform.http import MatrixResponse
from plexus.protocol.errors import NotFound
from starlette.responses import Response


async def get(api: ClientApi, user_id: str, filter_id: str) -> Response:
    """The filter as it was sent; `NotFound`."""
    definition = await api.users.filter(user_id, filter_id)
    if definition is None:
        raise NotFound("There is no such filter")
    return Response(definition, media_type=MatrixResponse.media_type)

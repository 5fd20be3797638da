"""Server keys. Server-Server API, "Publishing Keys"."""

from __future__ import annotations

from plexus.keys.deps import Deps
from plexus.platform.http import MatrixResponse, make_router
from starlette.responses import Response

router = make_router(prefix="/_matrix/key/v2", tags=["Server keys"])


@router.get("/server", operation_id="getServerKey", response_model=None)
async def get_server_key(keys: Deps) -> Response:
    """The signing keys of this server."""
    return Response(keys.document.json(), media_type=MatrixResponse.media_type)

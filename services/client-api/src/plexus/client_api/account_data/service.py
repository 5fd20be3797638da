"""Which account data a client may set, and how it is given back."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.platform.http import MatrixResponse
from plexus.protocol.errors import MatrixError, NotFound
from starlette.responses import Response

SERVER_MANAGED = frozenset(("m.fully_read", "m.push_rules"))
"""Client-Server API, "Client Config": these have endpoints of their own; they can be read as any other."""


async def put(api: ClientApi, user_id: str, type_: str, content: dict[str, Any], room_id: str = "") -> None:
    """405 ``M_BAD_JSON`` for what the server manages."""
    if type_ in SERVER_MANAGED:
        raise MatrixError(405, "M_BAD_JSON", f"Cannot set {type_} through this API")
    await api.users.set_account_data(user_id, type_, content, room_id)


async def get(api: ClientApi, user_id: str, type_: str, room_id: str = "") -> Response:
    """The content as it is stored; `NotFound`."""
    content = await api.users.account_data(user_id, type_, room_id)
    if content is None:
        raise NotFound("There is no account data of this type")
    return Response(content, media_type=MatrixResponse.media_type)

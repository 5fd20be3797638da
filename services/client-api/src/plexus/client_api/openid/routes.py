"""Client-Server API, "OpenID"."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import Deps
from plexus.client_api.own_user import OwnUser
from plexus.platform.http import Body, make_router
from plexus.users.short_tokens import OPENID_LIFE_MS

router = make_router(tags=["OpenID"])


@router.post(
    "/_matrix/client/v3/user/{userId}/openid/request_token",
    operation_id="requestOpenIdToken",
)
async def request_open_id_token(api: Deps, requester: OwnUser, _: Body) -> dict[str, Any]:
    """A token that proves to others who one is, and nothing else."""
    await api.platform.limits.check("account", requester.user_id)
    return {
        "access_token": await api.users.make_openid_token(requester.user_id),
        "token_type": "Bearer",
        "matrix_server_name": api.server_name,
        "expires_in": OPENID_LIFE_MS // 1000,
    }

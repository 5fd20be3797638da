"""Sending a notice, for administrators. Client-Server API, "Server Notices"."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from plexus.client_api.deps import Admin, Deps
from plexus.client_api.own_user import UserId
from plexus.client_api.params import check_name
from plexus.client_api.server_notices import service
from plexus.client_api.server_notices.models import Notice
from plexus.platform.http import make_router
from pydantic import AfterValidator

router = make_router(prefix="/_plexus/admin/v1", tags=["Server notices"])

Key = Annotated[
    str, Path(description="Names the notice: sent again, it is not sent twice."), AfterValidator(check_name)
]


@router.put("/notices/{userId}/{key}", operation_id="sendServerNotice")
async def send_server_notice(
    api: Deps, requester: Admin, user_id: UserId, key: Key, body: Notice
) -> dict[str, str]:
    """Send a user a notice."""
    return await service.send(api, user_id, key, body.body)

"""The endpoints of the content repository that are JSON, or nothing at all."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from plexus.media import uploads
from plexus.platform.context import Platform
from plexus.platform.http import User, make_router
from plexus.protocol.errors import GuestAccessForbidden, NotFound

router = make_router(tags=["Media"])


def _platform(request: Request) -> Platform:
    found: Platform = request.app.state.platform
    return found


@router.post("/_matrix/media/v1/create", operation_id="createContent")
async def create_content(request: Request, requester: User) -> dict[str, Any]:
    """Client-Server API, "Content repository": a media ID now, its content later."""
    platform = _platform(request)
    if requester.is_guest:
        raise GuestAccessForbidden
    await platform.limits.check("media", requester.user_id)
    media_id, expires_ts = await uploads.create(platform, requester.user_id)
    uri = f"mxc://{platform.settings.server_name}/{media_id}"
    return {"content_uri": uri, "unused_expires_at": expires_ts}


@router.get("/_matrix/client/v1/media/config", operation_id="getConfigAuthed")
async def get_config_authed(request: Request, _: User) -> dict[str, int]:
    """Client-Server API, "Content repository"."""
    return {"m.upload.size": _platform(request).settings.media.max_upload_bytes}


@router.get("/_matrix/media/v3/config", operation_id="getConfig", deprecated=True)
async def get_config(request: Request, _: User) -> dict[str, int]:
    """The same under its deprecated path."""
    return {"m.upload.size": _platform(request).settings.media.max_upload_bytes}


@router.get("/_matrix/media/v3/download/{serverName}/{mediaId}", operation_id="getContent", deprecated=True)
async def get_content() -> None:
    """Without a token nothing is given out: all our media are newer than the freeze of these endpoints."""
    raise NotFound("Media are given out only by the authenticated endpoints")


@router.get(
    "/_matrix/media/v3/download/{serverName}/{mediaId}/{fileName}",
    operation_id="getContentOverrideName",
    deprecated=True,
)
async def get_content_override_name() -> None:
    """See `get_content`."""
    await get_content()

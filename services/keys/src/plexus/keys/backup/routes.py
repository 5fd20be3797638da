"""Backups of room keys. Client-Server API, "Server-side key backups"."""

from __future__ import annotations

from plexus.platform.http import User, make_router
from plexus.protocol.errors import NotFound

router = make_router(prefix="/_matrix/client/v3/room_keys", tags=["End-to-end encryption"])


@router.get("/version", operation_id="getRoomKeysVersionCurrent")
async def get_room_keys_version_current(_: User) -> dict[str, str]:
    """The user's latest backup, of which there is none: none can be made yet. Clients ask at each start."""
    raise NotFound("No backup")

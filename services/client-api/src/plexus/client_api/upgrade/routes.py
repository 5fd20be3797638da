"""POST /rooms/{roomId}/upgrade."""

from __future__ import annotations

from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.params import RoomId
from plexus.client_api.upgrade import service
from plexus.client_api.upgrade.models import UpgradeRoom
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Room upgrades"])


@router.post("/rooms/{roomId}/upgrade", operation_id="upgradeRoom")
async def upgrade_room(api: Deps, requester: FullUser, room_id: RoomId, body: UpgradeRoom) -> dict[str, str]:
    """Client-Server API, "Room Upgrades"."""
    await api.platform.limits.check("room_creation", requester.user_id)
    return {"replacement_room": await service.upgrade_room(api, requester.user_id, room_id, body)}

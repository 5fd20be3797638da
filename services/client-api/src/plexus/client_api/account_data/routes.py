"""Account data. Client-Server API, "Client Config"."""

from __future__ import annotations

from plexus.client_api.account_data import service
from plexus.client_api.account_data.models import Content, DataType
from plexus.client_api.deps import Deps
from plexus.client_api.own_user import OwnUser
from plexus.client_api.params import RoomId
from plexus.platform.http import make_router
from starlette.responses import Response

router = make_router(prefix="/_matrix/client/v3/user/{userId}", tags=["User data"])


@router.put("/account_data/{type}", operation_id="setAccountData")
async def set_account_data(
    api: Deps, requester: OwnUser, data_type: DataType, body: Content
) -> dict[str, str]:
    """Set global account data."""
    await service.put(api, requester.user_id, data_type, body)
    return {}


@router.get("/account_data/{type}", operation_id="getAccountData", response_model=None)
async def get_account_data(api: Deps, requester: OwnUser, data_type: DataType) -> Response:
    """Get global account data."""
    return await service.get(api, requester.user_id, data_type)


@router.put("/rooms/{roomId}/account_data/{type}", operation_id="setAccountDataPerRoom")
async def set_account_data_per_room(
    api: Deps, requester: OwnUser, room_id: RoomId, data_type: DataType, body: Content
) -> dict[str, str]:
    """Set account data of a room."""
    await service.put(api, requester.user_id, data_type, body, room_id)
    return {}


@router.get("/rooms/{roomId}/account_data/{type}", operation_id="getAccountDataPerRoom", response_model=None)
async def get_account_data_per_room(
    api: Deps, requester: OwnUser, room_id: RoomId, data_type: DataType
) -> Response:
    """Get account data of a room."""
    return await service.get(api, requester.user_id, data_type, room_id)

"""Devices. Client-Server API, "Device management"."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.devices import service
from plexus.client_api.devices.models import DeviceDeletion, DevicesDeletion, DeviceUpdate
from plexus.client_api.own_user import Address
from plexus.platform.http import User, make_router
from plexus.protocol.errors import NotFound

router = make_router(prefix="/_matrix/client/v3", tags=["Device management"])

DeviceId = Annotated[str, Path(alias="deviceId", description="The device.")]


@router.get("/devices", operation_id="getDevices")
async def get_devices(api: Deps, requester: User) -> dict[str, Any]:
    """All devices of the user."""
    return {"devices": [service.device_json(each) for each in await api.users.devices(requester.user_id)]}


@router.get("/devices/{deviceId}", operation_id="getDevice")
async def get_device(api: Deps, requester: User, device_id: DeviceId) -> dict[str, Any]:
    """One device."""
    return service.device_json(await service.get_device(api, requester.user_id, device_id))


@router.put("/devices/{deviceId}", operation_id="updateDevice")
async def update_device(
    api: Deps, requester: User, device_id: DeviceId, body: DeviceUpdate
) -> dict[str, Any]:
    """Give it another name; without one nothing changes."""
    await service.get_device(api, requester.user_id, device_id)
    if body.display_name is not None and not await api.users.rename_device(
        requester.user_id, device_id, body.display_name
    ):
        raise NotFound("You have no such device")
    return {}


@router.delete("/devices/{deviceId}", operation_id="deleteDevice")
async def delete_device(
    api: Deps, requester: FullUser, address: Address, device_id: DeviceId, body: DeviceDeletion
) -> dict[str, Any]:
    """Delete it, with its tokens and keys, after user-interactive authentication."""
    await service.delete_device(api, requester, device_id, body, address)
    return {}


@router.post("/delete_devices", operation_id="deleteDevices")
async def delete_devices(
    api: Deps, requester: FullUser, address: Address, body: DevicesDeletion
) -> dict[str, Any]:
    """Delete several."""
    await service.delete_devices(api, requester, body, address)
    return {}

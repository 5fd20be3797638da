"""Devices as clients see them."""

from __future__ import annotations

from typing import Any

from plexus.client_api.accounts.service import authenticate_by_password
from plexus.client_api.deps import ClientApi
from plexus.client_api.devices.models import DeviceDeletion, DevicesDeletion
from plexus.platform.http import Requester
from plexus.protocol.errors import NotFound
from plexus.users import Device


def device_json(device: Device) -> dict[str, Any]:
    """Client-Server API, "Device management": what is unknown is left out."""
    answer: dict[str, Any] = {"device_id": device.device_id}
    if device.display_name is not None:
        answer["display_name"] = device.display_name
    if device.last_seen_ts is not None:
        answer["last_seen_ts"] = device.last_seen_ts
    if device.last_seen_ip is not None:
        answer["last_seen_ip"] = device.last_seen_ip
    return answer


async def get_device(api: ClientApi, user_id: str, device_id: str) -> Device:
    device = await api.users.device(user_id, device_id)
    if device is None:
        raise NotFound("You have no such device")
    return device


async def delete_device(
    api: ClientApi, requester: Requester, device_id: str, body: DeviceDeletion, address: str
) -> None:
    """Deleting one that does not exist (any more) succeeds."""
    raw = body.model_dump(exclude_unset=True)
    await authenticate_by_password(api, "deleteDevice", raw, requester, address, target=device_id)
    await api.users.delete_devices(requester.user_id, [device_id])


async def delete_devices(api: ClientApi, requester: Requester, body: DevicesDeletion, address: str) -> None:
    raw = body.model_dump(exclude_unset=True)
    await authenticate_by_password(api, "deleteDevices", raw, requester, address)
    await api.users.delete_devices(
        requester.user_id, [device_id for device_id in body.devices if "\0" not in device_id]
    )

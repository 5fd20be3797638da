"""Whose account an administrator may look at and lock, and what is told of devices."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import ClientApi, require_admin
from plexus.platform.http import Requester
from plexus.protocol.errors import Forbidden, InvalidParam, NotFound
from plexus.users import Account, Device


async def moderated(api: ClientApi, requester: Requester, user_id: str) -> Account:
    """The account, by an administrator, which is checked before this; `InvalidParam` if it is not local,
    `NotFound` if there is none that is open, `Forbidden` if it is another administrator's.
    """
    account = await _open_account(api, user_id)
    if account.is_admin and user_id != requester.user_id:
        raise Forbidden("This is the account of another administrator")
    return account


async def moderate(
    api: ClientApi,
    requester: Requester,
    user_id: str,
    *,
    locked: bool | None = None,
    suspended: bool | None = None,
) -> None:
    """Lock or suspend, or end it; with the errors of `moderated`, and `Forbidden` for one's own account."""
    await moderated(api, requester, user_id)
    if user_id == requester.user_id:
        raise Forbidden("You cannot do this to your own account")
    if not await api.users.moderate(user_id, locked=locked, suspended=suspended):
        raise NotFound("There is no such user")


async def who_is(api: ClientApi, requester: Requester, user_id: str) -> dict[str, Any]:
    """``getWhoIs``: for the user, and for administrators."""
    if user_id != requester.user_id:
        await require_admin(api, requester)
        await _open_account(api, user_id)
    devices = await api.users.devices(user_id)
    return {"user_id": user_id, "devices": {each.device_id: _whereabouts(each) for each in devices}}


async def _open_account(api: ClientApi, user_id: str) -> Account:
    if not api.users.is_local(user_id):
        raise InvalidParam("The user does not belong to this server")
    account = await api.users.account(user_id)
    if account is None or account.deactivated:
        raise NotFound("There is no such user")
    return account


def _whereabouts(device: Device) -> dict[str, Any]:
    """A ``DeviceInfo``: a device has one session, of which the last connection is known, but not what
    client it was.
    """
    connection: dict[str, Any] = {}
    if device.last_seen_ip is not None:
        connection["ip"] = device.last_seen_ip
    if device.last_seen_ts is not None:
        connection["last_seen"] = device.last_seen_ts
    return {"sessions": [{"connections": [connection] if connection else []}]}

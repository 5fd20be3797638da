"""Administration. Client-Server API, "Server Administration" and "Account moderation"."""

from __future__ import annotations

from typing import Any

from plexus.client_api.administration import service
from plexus.client_api.administration.models import Lock, Suspension
from plexus.client_api.deps import Admin, Deps, FullUser
from plexus.client_api.own_user import UserId
from plexus.platform.http import make_router

router = make_router(prefix="/_matrix/client", tags=["Server administration"])


@router.get("/v3/admin/whois/{userId}", operation_id="getWhoIs")
async def get_who_is(api: Deps, requester: FullUser, user_id: UserId) -> dict[str, Any]:
    """Where a user's devices were last seen: for the user and for administrators."""
    return await service.who_is(api, requester, user_id)


@router.get("/v1/admin/lock/{userId}", operation_id="getAdminLockUser")
async def get_admin_lock_user(api: Deps, requester: Admin, user_id: UserId) -> dict[str, bool]:
    """Whether the account is locked."""
    return {"locked": (await service.moderated(api, requester, user_id)).locked}


@router.put("/v1/admin/lock/{userId}", operation_id="setAdminLockUser")
async def set_admin_lock_user(api: Deps, requester: Admin, user_id: UserId, body: Lock) -> dict[str, bool]:
    """Lock the account or unlock it."""
    await service.moderate(api, requester, user_id, locked=body.locked)
    return {"locked": body.locked}


@router.get("/v1/admin/suspend/{userId}", operation_id="getAdminSuspendUser")
async def get_admin_suspend_user(api: Deps, requester: Admin, user_id: UserId) -> dict[str, bool]:
    """Whether the account is suspended."""
    return {"suspended": (await service.moderated(api, requester, user_id)).suspended}


@router.put("/v1/admin/suspend/{userId}", operation_id="setAdminSuspendUser")
async def set_admin_suspend_user(
    api: Deps, requester: Admin, user_id: UserId, body: Suspension
) -> dict[str, bool]:
    """Suspend the account or end that."""
    await service.moderate(api, requester, user_id, suspended=body.suspended)
    return {"suspended": body.suspended}

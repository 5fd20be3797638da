"""Profiles. Client-Server API, "Profiles"."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import Deps
from plexus.client_api.own_user import UserId
from plexus.client_api.profiles import service
from plexus.client_api.profiles.models import FieldBody, FieldName, read_value
from plexus.platform.http import User, make_router
from plexus.protocol.errors import NotFound

router = make_router(prefix="/_matrix/client/v3/profile/{userId}", tags=["User data"])


@router.get("", operation_id="getUserProfile")
async def get_user_profile(api: Deps, user_id: UserId) -> dict[str, Any]:
    """The whole profile. Anybody may look."""
    return await service.get_profile(api, user_id)


@router.get("/{keyName}", operation_id="getProfileField")
async def get_profile_field(api: Deps, user_id: UserId, field: FieldName) -> dict[str, Any]:
    """One field."""
    profile = await service.get_profile(api, user_id)
    if field not in profile:
        raise NotFound("The profile has no such field")
    return {field: profile[field]}


@router.put("/{keyName}", operation_id="setProfileField")
async def set_profile_field(
    api: Deps, requester: User, user_id: UserId, field: FieldName, body: FieldBody
) -> dict[str, str]:
    """Set a field of one's own profile."""
    value = read_value(field, body)
    await service.check_may_change(api, requester, user_id, field)
    await service.set_field(api, user_id, field, value)
    return {}


@router.delete("/{keyName}", operation_id="deleteProfileField")
async def delete_profile_field(
    api: Deps, requester: User, user_id: UserId, field: FieldName
) -> dict[str, str]:
    """Delete a field of one's own profile; also if it is not there."""
    await service.check_may_change(api, requester, user_id, field)
    await service.delete_field(api, user_id, field)
    return {}

"""Profiles of local users; those of other servers come with federation."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.platform.http import Requester
from plexus.protocol.errors import Forbidden, GuestAccessForbidden, NotFound
from plexus.users import Profile


async def get_profile(api: ClientApi, user_id: str) -> Profile:
    profile = await api.users.profile(user_id) if api.users.is_local(user_id) else None
    if profile is None:
        raise NotFound("There is no profile of this user")
    return profile


async def check_may_change(api: ClientApi, requester: Requester, user_id: str, field: str) -> None:
    """Everybody their own; guests only their name."""
    if user_id != requester.user_id:
        raise Forbidden("You may change your own profile only")
    if requester.is_guest and field != "displayname":
        raise GuestAccessForbidden
    await api.platform.limits.check("profile", user_id)


async def set_field(api: ClientApi, user_id: str, field: str, value: Any) -> None:
    """Store it, and bring the user's memberships up to date."""
    if await api.users.set_profile_field(user_id, field, value):
        await api.room_tasks.begin(user_id)


async def delete_field(api: ClientApi, user_id: str, field: str) -> None:
    if await api.users.delete_profile_field(user_id, field):
        await api.room_tasks.begin(user_id)

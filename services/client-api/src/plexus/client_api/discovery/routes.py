"""Versions, well-known files, capabilities."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import Deps
from plexus.client_api.discovery import service
from plexus.platform.http import OptionalUser, User, make_router

router = make_router(tags=["Server administration"])


@router.get("/_matrix/client/versions", operation_id="getVersions")
async def get_versions(api: Deps, _: OptionalUser) -> dict[str, Any]:
    """Client-Server API, "API Versions": the same for everybody, with or without a token."""
    return {
        "versions": list(service.SPEC_VERSIONS),
        "unstable_features": service.unstable_features(api.platform.settings),
    }


@router.get("/.well-known/matrix/client", operation_id="getWellknown")
async def get_wellknown(api: Deps) -> dict[str, Any]:
    """Client-Server API, "Server discovery"."""
    return service.well_known_client(api.platform.settings)


@router.get("/.well-known/matrix/support", operation_id="getWellknownSupport")
async def get_wellknown_support(api: Deps) -> dict[str, Any]:
    """Client-Server API, "Server discovery": 404 if the operator says nothing."""
    return service.well_known_support(api.platform.settings.discovery)


@router.get("/.well-known/matrix/policy_server", operation_id="getWellknownPolicy")
async def get_wellknown_policy(api: Deps) -> dict[str, Any]:
    """Client-Server API, "Policy Servers": 404 if none has this server's name."""
    return service.well_known_policy_server(api.platform.settings.discovery)


@router.get("/_matrix/client/v3/capabilities", operation_id="getCapabilities")
async def get_capabilities(api: Deps, requester: User) -> dict[str, Any]:
    """Client-Server API, "Capabilities negotiation"."""
    account = await api.users.account(requester.user_id)
    is_admin = account is not None and account.is_admin
    return {
        "capabilities": service.capabilities(
            api.platform.settings.rooms.default_version,
            api.platform.settings.delayed_events,
            is_admin=is_admin,
            has_email=api.platform.settings.email.enabled,
        )
    }

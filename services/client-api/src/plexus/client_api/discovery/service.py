"""What is told about this server."""

from __future__ import annotations

from typing import Any

from plexus.platform.settings import DelayedEventSettings, DiscoverySettings, Settings
from plexus.protocol.errors import NotFound
from plexus.protocol.room_versions import ROOM_VERSIONS

SPEC_VERSIONS = (
    "v1.1",
    "v1.2",
    "v1.3",
    "v1.4",
    "v1.5",
    "v1.6",
    "v1.7",
    "v1.8",
    "v1.9",
    "v1.10",
    "v1.11",
    "v1.12",
    "v1.13",
    "v1.14",
    "v1.15",
    "v1.16",
    "v1.17",
)
"""Versions whose ways of doing things are these; an endpoint not built yet answers M_UNRECOGNIZED."""

UNSTABLE_FEATURES: dict[str, bool] = {
    # /rtc/transports, under its unstable name too.
    "org.matrix.msc4143": True,
    # Sliding sync, under its unstable name too.
    "org.matrix.simplified_msc3575": True,
    # Events that are sent later.
    "org.matrix.msc4140": True,
    # Of later versions, under their stable names.
    "org.matrix.msc4380.stable": True,
    "uk.half-shot.msc2666.query_mutual_rooms.stable": True,
}
"""What works here and is in none of these versions, by the name that its proposal gives it."""


def unstable_features(settings: Settings) -> dict[str, bool]:
    """These, and what the operator decides."""
    # A client that sees this flag relies on the push rules of thread subscriptions.
    threads = {"org.matrix.msc4306": True} if settings.push.thread_subscriptions else {}
    return {**UNSTABLE_FEATURES, **threads}


def well_known_client(settings: Settings) -> dict[str, Any]:
    """``getWellknown``: where the server is, and what the operator adds; `NotFound` if told elsewhere."""
    if not settings.discovery.serve_client:
        raise NotFound("This server does not say where it is")
    told: dict[str, Any] = {**settings.discovery.client}
    told["m.homeserver"] = {"base_url": settings.public_base_url + "/"}
    if settings.discovery.identity_server is not None:
        told["m.identity_server"] = {"base_url": settings.discovery.identity_server}
    return told


def well_known_support(discovery: DiscoverySettings) -> dict[str, Any]:
    """``getWellknownSupport``: contacts, a page, or both; `NotFound` if neither is set."""
    told: dict[str, Any] = {}
    if discovery.support_contacts:
        told["contacts"] = [contact.model_dump(exclude_none=True) for contact in discovery.support_contacts]
    if discovery.support_page is not None:
        told["support_page"] = discovery.support_page
    if not told:
        raise NotFound("This server says nothing of support")
    return told


def well_known_policy_server(discovery: DiscoverySettings) -> dict[str, Any]:
    """``getWellknownPolicy``; `NotFound` if no key is set."""
    if discovery.policy_server_key is None:
        raise NotFound("There is no policy server of this name")
    return {"public_keys": {"ed25519": discovery.policy_server_key}}


def capabilities(
    default_room_version: str,
    delayed_events: DelayedEventSettings,
    *,
    is_admin: bool = False,
    has_email: bool = False,
) -> dict[str, Any]:
    """The capabilities of a user. Those that would only repeat the spec's default are said all the same, but
    for those of administrators, which others should not see.
    """
    moderation = {"m.account_moderation": {"suspend": True, "lock": True}} if is_admin else {}
    return {
        **moderation,
        "m.change_password": {"enabled": True},
        "m.room_versions": {
            "default": default_room_version,
            "available": dict.fromkeys(ROOM_VERSIONS, "stable"),
        },
        "m.set_displayname": {"enabled": True},
        "m.set_avatar_url": {"enabled": True},
        "m.3pid_changes": {"enabled": has_email},
        "m.get_login_token": {"enabled": True},
        "m.profile_fields": {"enabled": True},
        "m.forget_forced_upon_leave": {"enabled": False},
        "org.matrix.msc4140.delayed_events": {
            "max_delay_ms": delayed_events.max_delay_seconds * 1000,
            "max_scheduled": delayed_events.max_scheduled,
        },
    }

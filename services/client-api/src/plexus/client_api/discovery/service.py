"""What is told about this server."""

from __future__ import annotations

from typing import Any

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
)
"""Versions whose ways of doing things are these; an endpoint not built yet answers M_UNRECOGNIZED."""

UNSTABLE_FEATURES: dict[str, bool] = {}


def capabilities(default_room_version: str) -> dict[str, Any]:
    """The capabilities of every user. Those that would only repeat the spec's default are said all the
    same.
    """
    return {
        "m.change_password": {"enabled": True},
        "m.room_versions": {
            "default": default_room_version,
            "available": dict.fromkeys(ROOM_VERSIONS, "stable"),
        },
        "m.set_displayname": {"enabled": True},
        "m.set_avatar_url": {"enabled": True},
        "m.3pid_changes": {"enabled": False},
        "m.get_login_token": {"enabled": False},
        "m.profile_fields": {"enabled": True},
        "m.forget_forced_upon_leave": {"enabled": False},
    }

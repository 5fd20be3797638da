"""Joining a restricted room: is a condition met, and who vouches for it?

Without an invite the join must name a member who could have invited (``join_authorised_via_users_server``).
The conditions are checked here, because the authorisation rules see only that somebody has vouched.

Client-Server API, "Restricted rooms"; Server-Server API, "Restricted rooms".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.protocol import room_versions
from plexus.protocol.errors import Forbidden
from plexus.protocol.identifiers import is_room_id, server_of
from plexus.protocol.power_levels import PowerLevels

VOUCHER = "join_authorised_via_users_server"
_RULES = ("restricted", "knock_restricted")


async def voucher_for(api: ClientApi, room_id: str, user_id: str, membership: str | None) -> str | None:
    """The member who vouches for this join, or None where nobody needs to.

    `Forbidden` when no condition is met, or when nobody of this server may invite.
    """
    if membership in ("invite", "join"):
        return None
    join_rules = await api.rooms.state_event(room_id, "m.room.join_rules", "")
    if join_rules is None or join_rules.content.get("join_rule") not in _RULES:
        return None
    if not await _meets_a_condition(api, user_id, join_rules.content):
        raise Forbidden("You do not meet the conditions of this room")
    voucher = await _who_may_invite(api, room_id)
    if voucher is None:
        raise Forbidden("Nobody on this server may let you into this room")
    return voucher


async def _meets_a_condition(api: ClientApi, user_id: str, content: Mapping[str, Any]) -> bool:
    allow = content.get("allow")
    for condition in allow if isinstance(allow, list) else ():
        if not isinstance(condition, dict) or condition.get("type") != "m.room_membership":
            continue
        other = condition.get("room_id")
        if is_room_id(other) and await api.rooms.membership(str(other), user_id) == "join":
            return True
    return False


async def _who_may_invite(api: ClientApi, room_id: str) -> str | None:
    """The most powerful member of this server, if they may invite."""
    info = await api.rooms.room(room_id)
    create = await api.rooms.state_event(room_id, "m.room.create", "")
    if info is None or create is None:
        return None
    levels = await api.rooms.state_event(room_id, "m.room.power_levels", "")
    version = room_versions.get(info.room_version)
    power = PowerLevels.of(version, None if levels is None else levels.content, create.event)
    local = [user for user in await api.rooms.member_ids(info.ref) if server_of(user) == api.server_name]
    best = max(local, key=power.user_level, default=None)
    return best if best is not None and power.user_level(best) >= power.invite else None

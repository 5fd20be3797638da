"""Joining a restricted room: who may, and who of ours answers for it.

The join rule lists rooms whose members may join. Somebody already in the room who may invite, and who belongs
to this server, is named in the join event; the rules then check that person instead of an invitation.

Client-Server API, "Restricted rooms"; room version 8, "Authorisation rules"
(``join_authorised_via_users_server``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plexus.protocol.errors import Forbidden
from plexus.protocol.power_levels import PowerLevels
from plexus.protocol.room_versions import ROOM_VERSIONS
from plexus.rooms.ground import Ground
from plexus.rooms.membership import MembershipReader
from plexus.rooms.refs import Refs
from plexus.rooms.state import StateReader
from plexus.rooms.values import RoomInfo, Wanted

MOST_ROOMS = 50
"""Allowed rooms that are looked at."""

_RULES = Wanted(types=frozenset(("m.room.create", "m.room.join_rules", "m.room.power_levels")))

_LOCAL_MEMBERS = """
SELECT user_id FROM rooms.membership
 WHERE lane = %s::smallint AND room = %s::integer AND to_ordinal = 9223372036854775807 AND membership <= 2
   AND membership = 1 AND right(user_id, %s::integer) = %s
 ORDER BY user_id = ANY (%s::text[]) DESC, from_ordinal LIMIT 1000
"""


async def authorise_join(
    ground: Ground,
    refs: Refs,
    states: StateReader,
    members: MembershipReader,
    room: RoomInfo,
    user_id: str,
) -> str:
    """The user of ours in whose name ``user_id`` may join; `Forbidden` if no rule lets them, or nobody
    can.
    """
    [state] = await states.states([(room.ref, room.snapshot, _RULES)])
    rules = state.get(("m.room.join_rules", ""))
    create = state.get(("m.room.create", ""))
    if rules is None or create is None or not await _is_allowed(refs, members, rules.content, user_id):
        raise Forbidden("You are not in any of the rooms whose members may join")
    version = ROOM_VERSIONS[room.room_version]
    levels = state.get(("m.room.power_levels", ""))
    power = PowerLevels.of(version, None if levels is None else levels.content, create.event)
    named = () if levels is None else levels.content.get("users", ())
    suffix = ":" + ground.settings.server_name
    async with ground.db.read() as session:
        rows: Sequence[Any] = await session.fetch(
            _LOCAL_MEMBERS,
            (room.ref.lane, room.ref.room, len(suffix), suffix, [*power.creators, *named]),
        )
    for (member,) in rows:
        if power.user_level(member) >= power.invite:
            return str(member)
    raise Forbidden("Nobody on this server can let you into this room")


async def _is_allowed(refs: Refs, members: MembershipReader, rules: dict[str, Any], user_id: str) -> bool:
    allow = rules.get("allow")
    for condition in allow[:MOST_ROOMS] if isinstance(allow, list) else ():
        if not isinstance(condition, dict) or condition.get("type") != "m.room_membership":
            continue
        room_id = condition.get("room_id")
        ref = await refs.get(room_id) if isinstance(room_id, str) else None
        if ref is not None and await members.membership(ref, user_id) == "join":
            return True
    return False

"""Joining a restricted room: who may, and who of ours answers for it.

The join rule lists rooms whose members may join. Somebody already in the room who may invite, and who belongs
to this server, is named in the join event; the rules then check that person instead of an invitation. That
the condition holds is nowhere in the event: the signature of this server is all the proof there is. So the
name is put in here and nowhere else. One that comes with a client's content (most copy what their membership
said before) is taken out before anything is judged.

Client-Server API, "Restricted rooms"; room version 8, "Authorisation rules"
(``join_authorised_via_users_server``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from plexus.protocol.errors import AuthRejected, Forbidden, NotFound
from plexus.protocol.power_levels import PowerLevels
from plexus.protocol.room_versions import ROOM_VERSIONS
from plexus.rooms.ground import Ground
from plexus.rooms.heads import HeadReader
from plexus.rooms.membership import MembershipReader
from plexus.rooms.refs import Refs
from plexus.rooms.state import StateReader
from plexus.rooms.values import NewEvent, RoomInfo, Wanted

_AUTHORISER = "join_authorised_via_users_server"
_NEEDS_AUTHORISER = "member.join.restricted.authoriser"
"""The authorisation rule that asks for it."""

MOST_ROOMS = 50
"""Allowed rooms that are looked at."""

_RULES = Wanted(types=frozenset(("m.room.create", "m.room.join_rules", "m.room.power_levels")))

_LOCAL_MEMBERS = """
SELECT user_id FROM rooms.membership
 WHERE lane = %s::smallint AND room = %s::integer AND to_ordinal = 9223372036854775807 AND membership <= 2
   AND membership = 1 AND right(user_id, %s::integer) = %s
 ORDER BY user_id = ANY (%s::text[]) DESC, from_ordinal LIMIT 1000
"""


def is_in_need(refusal: AuthRejected) -> bool:
    """Whether a join was refused because nobody is named in it."""
    return refusal.name == _NEEDS_AUTHORISER


def without_authoriser(event: NewEvent) -> NewEvent:
    """The event as its sender may wish for it."""
    if event.type != "m.room.member" or _AUTHORISER not in event.content:
        return event
    return replace(event, content={key: value for key, value in event.content.items() if key != _AUTHORISER})


class JoinAuthoriser:
    """Lets users into restricted rooms, in the name of somebody of this server."""

    def __init__(self, ground: Ground, refs: Refs, states: StateReader, members: MembershipReader) -> None:
        self._ground = ground
        self._refs = refs
        self._states = states
        self._members = members
        self._heads = HeadReader(ground)

    async def authorise(self, room_id: str, user_id: str, event: NewEvent) -> NewEvent:
        """The join of ``user_id`` with somebody's name in it; `Forbidden` if no rule lets them, or nobody
        can.
        """
        room = await self._heads.room(await self._refs.require(room_id))
        if room is None:
            raise NotFound("There is no such room")
        name = await self._find(room, user_id)
        return replace(event, content={**event.content, _AUTHORISER: name})

    async def _find(self, room: RoomInfo, user_id: str) -> str:
        [state] = await self._states.states([(room.ref, room.snapshot, _RULES)])
        rules = state.get(("m.room.join_rules", ""))
        create = state.get(("m.room.create", ""))
        if rules is None or create is None or not await self._is_allowed(rules.content, user_id):
            raise Forbidden("You are not in any of the rooms whose members may join")
        version = ROOM_VERSIONS[room.room_version]
        levels = state.get(("m.room.power_levels", ""))
        power = PowerLevels.of(version, None if levels is None else levels.content, create.event)
        named = () if levels is None else levels.content.get("users", ())
        suffix = ":" + self._ground.settings.server_name
        async with self._ground.db.read() as session:
            rows: Sequence[Any] = await session.fetch(
                _LOCAL_MEMBERS,
                (room.ref.lane, room.ref.room, len(suffix), suffix, [*power.creators, *named]),
            )
        for (member,) in rows:
            if power.user_level(member) >= power.invite:
                return str(member)
        raise Forbidden("Nobody on this server can let you into this room")

    async def _is_allowed(self, rules: dict[str, Any], user_id: str) -> bool:
        allow = rules.get("allow")
        for condition in allow[:MOST_ROOMS] if isinstance(allow, list) else ():
            if not isinstance(condition, dict) or condition.get("type") != "m.room_membership":
                continue
            room_id = condition.get("room_id")
            ref = await self._refs.get(room_id) if isinstance(room_id, str) else None
            if ref is not None and await self._members.membership(ref, user_id) == "join":
                return True
        return False

"""Whom the events of a room may notify: its joined members of this server, by the push rules they have.

It holds for one state of the room, so for as long as nothing but messages is sent it is read once. A change
of a membership is followed without reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import orjson
from plexus.platform.postgres import ReadSession
from plexus.protocol.push_evaluation import PushRules
from plexus.rooms.snapshots import EMPTY
from plexus.rooms.values import RoomRef
from plexus.rooms.writes import MEMBERSHIPS, MemberChange, RoomWrite

JOIN = MEMBERSHIPS["join"]

_AUDIENCE = """
SELECT r.snapshot, r.joined_members, ARRAY(
    SELECT m.user_id FROM rooms.membership m
     WHERE m.lane = r.lane AND m.room = r.room AND m.to_ordinal = 9223372036854775807 AND m.membership = 1
       AND right(m.user_id, length(%(suffix)s)) = %(suffix)s)
  FROM rooms.room r WHERE r.lane = %(lane)s::smallint AND r.room = %(room)s::integer
"""

_NAMES = """
SELECT m.user_id, e.raw FROM rooms.membership m
  JOIN rooms.event e ON e.lane = m.lane AND e.room = m.room AND e.num = m.num
 WHERE m.lane = %s::smallint AND m.room = %s::integer AND m.user_id = ANY (%s::text[])
   AND m.to_ordinal = 9223372036854775807
"""

Groups: TypeAlias = Mapping[PushRules, tuple[str, ...]]
Names: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is there after the state ``snapshot`` of a ``generation``: how many are joined in all, and who of
    them are of this server. ``groups`` are those who have not the default rules, by their rules, as of
    ``rules_version``; ``names`` the display names of those whose rules ask for them.
    """

    generation: int
    snapshot: int
    joined: int
    members: frozenset[str]
    groups: Groups = field(default_factory=dict)
    rules_version: int = -1
    names: Names = field(default_factory=dict)


async def read_audience(session: ReadSession, ref: RoomRef, generation: int, server_name: str) -> Audience:
    """The audience of the room as it is now, without rules."""
    row = await session.one(_AUDIENCE, {"lane": ref.lane, "room": ref.room, "suffix": ":" + server_name})
    if row is None:
        return Audience(generation, EMPTY, 0, frozenset())
    snapshot, joined, members = row
    return Audience(generation, snapshot, joined, frozenset(members))


def by_rules(found: Mapping[str, PushRules]) -> Groups:
    """The users by the rules they have."""
    groups: dict[PushRules, list[str]] = {}
    for user_id, rules in found.items():
        groups.setdefault(rules, []).append(user_id)
    return {rules: tuple(users) for rules, users in groups.items()}


def asking_for_names(groups: Groups) -> list[str]:
    """Those whose rules look at their display names."""
    return [user for rules, users in groups.items() if rules.is_personal for user in users]


async def read_names(session: ReadSession, ref: RoomRef, user_ids: Sequence[str]) -> Names:
    """The display names that these members have in the room."""
    rows = await session.fetch(_NAMES, (ref.lane, ref.room, list(user_ids)))
    names = {user: name_in(orjson.loads(raw).get("content")) for user, raw in rows}
    return {user: name for user, name in names.items() if name}


def name_in(content: object) -> str | None:
    """The display name that a member event gives."""
    name = content.get("displayname") if isinstance(content, dict) else None
    return name if isinstance(name, str) else None


def after(
    audience: Audience, write: RoomWrite, changed: Sequence[tuple[MemberChange, str, bool]]
) -> Audience:
    """The audience after a write, with the changes of membership in it: of whom, and whether they are of this
    server.
    """
    if not changed:
        return replace(audience, snapshot=write.snapshot)
    members = set(audience.members)
    for change, user_id, is_local in changed:
        if is_local and change.membership == JOIN:
            members.add(user_id)
        elif is_local:
            members.discard(user_id)
    return Audience(audience.generation, write.snapshot, audience.joined + joins(changed), frozenset(members))


def joins(changed: Sequence[tuple[MemberChange, str, bool]]) -> int:
    """How many more are joined."""
    return sum((change.membership == JOIN) - (change.was == JOIN) for change, _, _ in changed)

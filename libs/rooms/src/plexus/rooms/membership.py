"""Reading memberships: of a user, of a room, of users in common."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from plexus.protocol.errors import Forbidden, MatrixError
from plexus.protocol.identifiers import is_user_id
from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4, int8
from plexus.rooms.stored import StoredEvent
from plexus.rooms.values import Member, RoomRef, UserRoom
from plexus.rooms.writes import MEMBERSHIP_NAMES, MEMBERSHIPS

_MEMBERSHIP = """
SELECT membership FROM rooms.membership
 WHERE lane = %s::smallint AND room = %s::integer AND user_id = %s AND to_ordinal = 9223372036854775807
"""

_MINE = """
SELECT r.room_id, r.lane, r.room, r.room_version,
       m.membership, m.num, m.position, m.from_ordinal, m.sender, m.forgotten
  FROM rooms.membership m
  JOIN rooms.room r ON r.lane = m.lane AND r.room = m.room
 WHERE m.user_id = %s AND m.to_ordinal = 9223372036854775807
"""

_AT = """
SELECT q.i - 1, m.membership, m.num, m.position, m.from_ordinal, m.sender, m.forgotten
  FROM unnest(%s::smallint[], %s::integer[], %s::bigint[]) WITH ORDINALITY AS q (lane, room, cut, i)
 CROSS JOIN LATERAL (SELECT * FROM rooms.membership m
                      WHERE m.lane = q.lane AND m.room = q.room AND m.user_id = %s
                        AND m.position <= q.cut AND m.to_position > q.cut
                      ORDER BY m.from_ordinal DESC LIMIT 1) AS m
"""

_IDS = """
SELECT user_id FROM rooms.membership
 WHERE lane = %s::smallint AND room = %s::integer AND to_ordinal = 9223372036854775807
   AND membership = ANY (%s::smallint[])
"""

_JOINED_OF = """
SELECT r.room_id, m.user_id
  FROM rooms.membership m JOIN rooms.room r ON r.lane = m.lane AND r.room = m.room
 WHERE m.user_id = ANY (%s::text[]) AND m.to_ordinal = 9223372036854775807 AND m.membership = 1
"""

_IDS_AT = """
SELECT user_id FROM rooms.membership
 WHERE lane = %s::smallint AND room = %s::integer AND membership = ANY (%s::smallint[])
   AND from_ordinal <= %s AND to_ordinal > %s
"""

_NEIGHBOURS = """
SELECT DISTINCT o.user_id
  FROM (SELECT lane, room FROM rooms.membership
         WHERE user_id = %(user)s AND to_ordinal = 9223372036854775807 AND membership = 1) AS mine
 CROSS JOIN LATERAL (SELECT user_id FROM rooms.membership o
                      WHERE o.lane = mine.lane AND o.room = mine.room
                        AND o.to_ordinal = 9223372036854775807 AND o.membership <= 2 AND o.membership = 1) AS
                        o
 WHERE o.user_id <> %(user)s
"""

_SHARE = """
SELECT DISTINCT o.user_id
  FROM (SELECT lane, room, user_id FROM rooms.membership
         WHERE user_id = ANY (%(others)s::text[]) AND to_ordinal = 9223372036854775807 AND membership = 1) AS
         o
 WHERE EXISTS (SELECT FROM rooms.membership mine
                WHERE mine.lane = o.lane AND mine.room = o.room AND mine.user_id = %(user)s
                  AND mine.to_ordinal = 9223372036854775807 AND mine.membership = 1)
"""

_JOINED_BY = """
SELECT user_id, lane, room FROM rooms.membership
 WHERE user_id = ANY (%s::text[]) AND to_ordinal = 9223372036854775807 AND membership = 1
"""

_MUTUAL = """
WITH both_in AS MATERIALIZED (
    SELECT r.room_id FROM rooms.membership mine
      JOIN rooms.room r ON r.lane = mine.lane AND r.room = mine.room
     WHERE mine.user_id = %(user)s AND mine.to_ordinal = 9223372036854775807 AND mine.membership = 1
       AND EXISTS (SELECT FROM rooms.membership o
                    WHERE o.lane = mine.lane AND o.room = mine.room AND o.user_id = %(other)s
                      AND o.to_ordinal = 9223372036854775807 AND o.membership = 1)
)
SELECT (SELECT count(*) FROM both_in),
       ARRAY(SELECT room_id FROM both_in WHERE room_id COLLATE "C" > %(after)s
              ORDER BY room_id COLLATE "C" LIMIT %(most)s)
"""

_HOSTS = """
SELECT server FROM rooms.host
 WHERE lane = %s::smallint AND room = %s::integer AND from_ordinal <= %s AND to_ordinal > %s
 ORDER BY joined_members DESC, from_ordinal
"""

_FORGET = """
UPDATE rooms.membership SET forgotten = true
 WHERE lane = %s::smallint AND room = %s::integer AND user_id = %s AND to_ordinal = 9223372036854775807
   AND membership >= 4
RETURNING true
"""


class MembershipReader:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def membership(self, ref: RoomRef, user_id: str) -> str | None:
        if not is_user_id(user_id):
            return None
        async with self._ground.db.read() as session:
            row = await session.one(_MEMBERSHIP, (ref.lane, ref.room, user_id))
        return None if row is None else MEMBERSHIP_NAMES[row[0]]

    async def rooms_of(
        self, user_id: str, memberships: Collection[str], cut: Sequence[int] | None
    ) -> list[UserRoom]:
        """The user's rooms, now or at a cut; of memberships that began after it the one before."""
        async with self._ground.db.read() as session:
            rows = await session.fetch(_MINE, (user_id,))
        rooms = [_user_room(RoomRef(*row[:4]), row[4:]) for row in rows]
        if cut is not None:
            later = [room.ref for room in rooms if room.position > cut[room.lane]]
            rooms = [room for room in rooms if room.position <= cut[room.lane]]
            if later:
                async with self._ground.db.read() as session:
                    rows = await session.fetch(
                        _AT,
                        (
                            int4([ref.lane for ref in later]),
                            int4([ref.room for ref in later]),
                            int8([cut[ref.lane] for ref in later]),
                            user_id,
                        ),
                    )
                rooms += [_user_room(later[i], row) for i, *row in rows]
        return [room for room in rooms if room.membership in memberships]

    async def member_ids(self, ref: RoomRef, memberships: Collection[str], at: int | None) -> list[str]:
        numbers = [MEMBERSHIPS[name] for name in memberships]
        asked: tuple[object, ...] = (ref.lane, ref.room, numbers)
        async with self._ground.db.read() as session:
            if at is None:
                rows = await session.fetch(_IDS, asked)
            else:
                rows = await session.fetch(_IDS_AT, (*asked, at, at))
        return [row[0] for row in rows]

    async def joined_of(self, user_ids: Sequence[str]) -> list[tuple[str, str]]:
        async with self._ground.db.read() as session:
            rows = await session.fetch(_JOINED_OF, (list(user_ids),))
        return [(room_id, user_id) for room_id, user_id in rows]

    async def neighbours(self, user_id: str) -> set[str]:
        async with self._ground.db.read() as session:
            rows = await session.fetch(_NEIGHBOURS, {"user": user_id})
        return {row[0] for row in rows}

    async def share_room(self, user_id: str, others: Collection[str]) -> set[str]:
        async with self._ground.db.read() as session:
            rows = await session.fetch(_SHARE, {"user": user_id, "others": list(others)})
        return {row[0] for row in rows}

    async def joined_by(self, user_ids: Collection[str]) -> dict[str, set[tuple[int, int]]]:
        found: dict[str, set[tuple[int, int]]] = {user_id: set() for user_id in user_ids}
        async with self._ground.db.read(primary=True) as session:
            for user_id, lane, room in await session.fetch(_JOINED_BY, (list(user_ids),)):
                found[user_id].add((lane, room))
        return found

    async def mutual_rooms(self, user_id: str, other: str, after: str, limit: int) -> tuple[int, list[str]]:
        async with self._ground.db.read() as session:
            row = await session.one(_MUTUAL, {"user": user_id, "other": other, "after": after, "most": limit})
        assert row is not None
        return row[0], row[1]

    async def hosts(self, ref: RoomRef, at: int | None) -> list[str]:
        ordinal = 2**63 - 2 if at is None else at
        async with self._ground.db.read() as session:
            rows = await session.fetch(_HOSTS, (ref.lane, ref.room, ordinal, ordinal))
        return [row[0] for row in rows]

    async def forget(self, ref: RoomRef, user_id: str) -> None:
        """`M_UNKNOWN` while the user is in the room or invited, as the endpoint says."""
        if await self._ground.db.call(_FORGET, (ref.lane, ref.room, user_id)):
            return
        if await self.membership(ref, user_id) is None:
            raise Forbidden("You have never been in this room")
        raise MatrixError(400, "M_UNKNOWN", "You are still in this room")


def _user_room(ref: RoomRef, row: Sequence[Any]) -> UserRoom:
    membership, num, position, from_ordinal, sender, forgotten = row
    return UserRoom(ref, MEMBERSHIP_NAMES[membership], num, position, from_ordinal, sender, forgotten)


class _MemberContent(msgspec.Struct):
    """Of m.room.member what member lists show. Of any type, as far as the rules do not say."""

    membership: str
    displayname: Any = None
    avatar_url: Any = None


class _MemberPdu(msgspec.Struct):
    content: _MemberContent


_parse = msgspec.json.Decoder(_MemberPdu).decode


def member_of(event: StoredEvent) -> Member:
    """What an m.room.member event says, read without parsing the rest of it."""
    content = _parse(event.raw).content

    def text(value: object) -> str | None:
        return value if isinstance(value, str) else None

    return Member(
        event.state_key or "", content.membership, text(content.displayname), text(content.avatar_url)
    )

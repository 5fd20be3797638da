"""Profiles of local users.

Client-Server API, "Profiles".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import orjson
from plexus.platform.lanes import UserFact
from plexus.protocol.errors import Forbidden, MatrixError
from plexus.users.models import Profile
from plexus.users.store import UserStore

MAX_PROFILE_BYTES = 64 * 1024 - 1
"""The whole "MUST be under 64 KiB"; less one byte."""
IN_MEMBERSHIPS = frozenset(("displayname", "avatar_url"))
"""The fields that stand in m.room.member: a change of theirs goes to every room."""


class ProfileStore(UserStore):
    async def profile(self, user_id: str) -> Profile | None:
        """All fields; None if there is no such user."""
        return (await self.profiles([user_id])).get(user_id)

    async def profiles(self, user_ids: Iterable[str]) -> dict[str, Profile]:
        """Those of the users that have an account."""
        wanted = list(dict.fromkeys(user_ids))
        async with self.read() as session:
            rows = await session.fetch(
                "SELECT a.user_id, p.field, p.value"
                " FROM unnest(%s::smallint[], %s::text[]) AS w (lane, user_id)"
                " JOIN users.account a"
                " ON a.lane = w.lane AND a.user_id = w.user_id AND a.deactivated_ts IS NULL"
                " LEFT JOIN users.profile p ON p.lane = a.lane AND p.user_id = a.user_id",
                ([self.lane(user_id) for user_id in wanted], wanted),
            )
        found: dict[str, Profile] = defaultdict(dict)
        for user_id, field, value in rows:
            profile = found[user_id]
            if field is not None:
                profile[field] = orjson.loads(value)
        return dict(found)

    async def set_profile_field(self, user_id: str, field: str, value: Any) -> bool:
        """Store a JSON value; False if it stood there already. `Forbidden` without such an account, 400
        ``M_PROFILE_TOO_LARGE``. A name or avatar leaves a room task "profile".
        """
        return await self._set(user_id, field, orjson.dumps(value, option=orjson.OPT_SORT_KEYS))

    async def delete_profile_field(self, user_id: str, field: str) -> bool:
        """False if it was not there."""
        return await self._set(user_id, field, None)

    async def _set(self, user_id: str, field: str, value: bytes | None) -> bool:
        lane = self.lane(user_id)
        [(result, position)] = await self.db.call(
            "SELECT * FROM users.set_profile(%s::smallint, %s, %s, %s, %s::integer, %s)",
            (lane, user_id, field, value, MAX_PROFILE_BYTES, field in IN_MEMBERSHIPS),
        )
        if result == "gone":
            raise Forbidden("There is no such user here")
        if result == "too_large":
            raise MatrixError(400, "M_PROFILE_TOO_LARGE", "A profile must be under 64 KiB")
        if position is not None:
            await self.tell(user_id, lane, position, [(UserFact.PROFILE, field.encode())])
        return bool(result == "ok")

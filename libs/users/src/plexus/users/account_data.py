"""Account data, global and per room, and what of it an incremental sync needs.

Client-Server API, "Client Config".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from plexus.platform.lanes import UserFact
from plexus.protocol.errors import Forbidden, TooLarge, Unavailable
from plexus.users.models import AccountData, UserChanges
from plexus.users.push_rules import PUSH_RULES, PushRuleStore

_TRIES = 10


class AccountDataStore(PushRuleStore):
    async def account_data(self, user_id: str, type: str, room_id: str = "") -> bytes | None:
        """The content as JSON. Global ``m.push_rules`` is always there."""
        if type == PUSH_RULES and not room_id:
            return orjson.dumps(await self.push_rules(user_id))
        async with self.read() as session:
            row = await session.one(
                "SELECT content FROM users.account_data"
                " WHERE lane = %s::smallint AND user_id = %s AND room_id = %s AND type = %s",
                (self.lane(user_id), user_id, room_id, type),
            )
        return None if row is None else row[0]

    async def set_account_data(
        self, user_id: str, type: str, content: Mapping[str, Any], room_id: str = ""
    ) -> int:
        """Store it; the position of the change in the user's lane. Which types a client may set is for the
        endpoint to know. `TooLarge` beyond what a user may store, `Forbidden` without such an account.
        """
        position = await self._change(user_id, type, content, room_id, None)
        if position is None:
            raise AssertionError("a change without a condition met one")
        return position

    async def edit_account_data(
        self, user_id: str, type: str, edit: Callable[[dict[str, Any]], dict[str, Any]], room_id: str = ""
    ) -> None:
        """Store what ``edit`` makes of the content, of ``{}`` if there is none. Nothing is written if that is
        the very object; it is called again if somebody else was first.
        """
        for _ in range(_TRIES):
            async with self.read() as session:
                row = await session.one(
                    "SELECT content, position FROM users.account_data"
                    " WHERE lane = %s::smallint AND user_id = %s AND room_id = %s AND type = %s",
                    (self.lane(user_id), user_id, room_id, type),
                )
            content, position = ({}, 0) if row is None else (orjson.loads(row[0]), row[1])
            edited = edit(content)
            if edited is content or await self._change(user_id, type, edited, room_id, position) is not None:
                return
        raise Unavailable("This account data is being changed by somebody else")

    async def _change(
        self, user_id: str, type: str, content: Mapping[str, Any], room_id: str, expected: int | None
    ) -> int | None:
        """The position of the change; None if what is stored is not that of ``expected`` any more."""
        lane, limits = self.lane(user_id), self.settings.account_data
        [(result, position)] = await self.db.call(
            "SELECT * FROM users.change_account_data(%s::smallint, %s, %s, %s, %s, %s::bigint, %s::integer,"
            " %s::bigint)",
            (
                lane,
                user_id,
                room_id,
                type,
                orjson.dumps(content),
                expected,
                limits.max_entries,
                limits.max_bytes,
            ),
        )
        if result == "gone":
            raise Forbidden("There is no such user here")
        if result == "too_many":
            raise TooLarge(f"An account keeps at most {limits.max_entries} pieces of account data")
        if result == "too_large":
            raise TooLarge(f"The account data of an account has at most {limits.max_bytes} bytes")
        if result == "conflict":
            return None
        await self.tell(user_id, lane, position, [(UserFact.ACCOUNT_DATA, room_id.encode())])
        return int(position)

    async def set_fully_read(self, user_id: str, room_id: str, event_id: str, ordinal: int) -> int:
        """Move ``m.fully_read`` of a room to the event of this ordinal, unless it is there or ahead already;
        the position of the change in the user's lane, or of that which brought it where it is.
        """
        lane = self.lane(user_id)
        [(position,)] = await self.db.call(
            "SELECT users.put_fully_read(%s::smallint, %s, %s, %s, %s)",
            (lane, user_id, room_id, orjson.dumps({"event_id": event_id}), ordinal),
        )
        await self.tell(user_id, lane, position, [(UserFact.ACCOUNT_DATA, room_id.encode())])
        return int(position)

    async def account_data_all(self, user_id: str) -> list[AccountData]:
        """All of it, ``m.push_rules`` included: what an initial sync sends.

        Rows are as they are now. One that is newer than the caller's cut comes again with the next sync.
        """
        async with self.read() as session:
            rows = await session.fetch(_ALL, {"lane": self.lane(user_id), "user_id": user_id})
        found = [self._account_data(user_id, row) for row in rows]
        if not any(each.type == PUSH_RULES and not each.room_id for each in found):
            found.append(AccountData("", PUSH_RULES, self.push_rules_content(user_id, None), 0))
        return found

    async def sync_changes(self, user_id: str, after: int, upto: int) -> UserChanges:
        """The account data whose last change lies in ``after < position <= upto`` of the user's lane, in
        order of position; push rules too. One query.
        """
        async with self.read() as session:
            rows = await session.fetch(
                _CHANGED, {"lane": self.lane(user_id), "user_id": user_id, "after": after, "upto": upto}
            )
        return UserChanges([self._account_data(user_id, row) for row in rows])

    def _account_data(self, user_id: str, row: tuple[Any, ...]) -> AccountData:
        room_id, event_type, content, position = row
        if room_id is None:
            return AccountData("", PUSH_RULES, self.push_rules_content(user_id, content), position)
        return AccountData(room_id, event_type, content, position)


# Push rules stand in a table of their own; a row without a room is theirs.
_ALL = """
SELECT room_id, type, content, position FROM users.account_data
 WHERE lane = %(lane)s::smallint AND user_id = %(user_id)s
 UNION ALL
SELECT NULL, NULL, rules, position FROM users.push_rules
 WHERE lane = %(lane)s::smallint AND user_id = %(user_id)s
"""

_CHANGED = """
SELECT room_id, type, content, position FROM users.account_data
 WHERE lane = %(lane)s::smallint AND user_id = %(user_id)s AND position > %(after)s AND position <= %(upto)s
 UNION ALL
SELECT NULL, NULL, rules, position FROM users.push_rules
 WHERE lane = %(lane)s::smallint AND user_id = %(user_id)s AND position > %(after)s AND position <= %(upto)s
 ORDER BY position
"""

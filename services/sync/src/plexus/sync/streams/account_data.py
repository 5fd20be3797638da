"""``account_data``, global and of each room; push rules are among the global ones.

Client-Server API, "Client Config"; "Push Rules: Events".
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from plexus.platform.lanes import UserFact
from plexus.sync.replica import Cut
from plexus.sync.replica.views import holds_at
from plexus.sync.streams.context import Answer
from plexus.sync.streams.user_facts import UserFacts
from plexus.users import AccountData, Users

_KINDS = frozenset({int(UserFact.ACCOUNT_DATA), int(UserFact.PUSH_RULES)})


class AccountDataStream:
    def __init__(self, users: Users) -> None:
        self._users = users

    async def changes(self, answer: Answer, since: Cut, facts: UserFacts) -> None:
        """Add what was set since a cut, and all data of rooms newly joined; after the rooms, which say so.

        Within the tail nothing is read unless there is such a room, or a fact of such a change.
        """
        rows: list[AccountData] = []
        if facts.any_of(_KINDS):
            lane = answer.view.lane
            changes = await self._users.sync_changes(
                answer.user_id, since.users[lane], answer.cut.users[lane]
            )
            rows += changes.account_data
        if answer.newly_joined:
            new = {ref.room_id for ref in answer.newly_joined}
            rows = [row for row in rows if row.room_id not in new]
            rows += [row for row in await self._users.account_data_all(answer.user_id) if row.room_id in new]
        _take(answer, [row for row in rows if not row.room_id or _is_joined(answer, row.room_id)])
        _take(answer, [row for row in rows if row.room_id in answer.left])

    async def everything(self, answer: Answer, archived: bool) -> None:
        """Add all there is, also that of rooms that were left if these are told. A change beyond the cut may
        be among it; it is told once more then.
        """
        rows = await self._users.account_data_all(answer.user_id)
        _take(answer, [row for row in rows if not row.room_id or _is_joined(answer, row.room_id)])
        if archived:
            others = [row for row in rows if row.room_id and not _is_joined(answer, row.room_id)]
            _take(answer, others, answer.left_account_data)


def _is_joined(answer: Answer, room_id: str) -> bool:
    """Whether the user is in the room at the cut."""
    membership = answer.view.joined.get(room_id)
    return membership is not None and holds_at(answer.cut, membership)


def _take(
    answer: Answer, rows: Iterable[AccountData], of_rooms: dict[str, list[bytes]] | None = None
) -> None:
    wanted = answer.filter.filter
    of_rooms = answer.room_account_data if of_rooms is None else of_rooms
    for row in rows:
        event = b'{"type":%b,"content":%b}' % (orjson.dumps(row.type), row.content)
        if not row.room_id:
            if wanted.account_data.matches(row.type, None):
                answer.account_data.append(event)
        elif answer.filter.wants_room(row.room_id) and wanted.room.account_data.matches(
            row.type, None, row.room_id
        ):
            of_rooms.setdefault(row.room_id, []).append(event)

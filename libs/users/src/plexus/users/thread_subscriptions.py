"""Threads that a user follows: the subscriptions of MSC4306.

A row says how a thread stands now, and at which position of the user's lane that changed; so what is new for
a sync is a range of positions, and a subscription that was ended keeps its row. Whether an automatic
subscription comes too late is decided by the order of the room's events: the row notes how far the room was
when the user unsubscribed, and what is not newer subscribes no more.

MSC4306, "Server-side automatic subscription ordering"; MSC4308.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plexus.platform.lanes import UserFact
from plexus.protocol.errors import Forbidden, InvalidParam, TooLarge
from plexus.users.models import ThreadSubscription
from plexus.users.store import UserStore

_ONE = """
SELECT automatic FROM users.thread_subscription
 WHERE lane = %s::smallint AND user_id = %s AND room_id = %s AND event_id = %s AND subscribed
"""

_CHANGED = """
SELECT room_id, event_id, subscribed, automatic, position FROM users.thread_subscription
 WHERE lane = %s::smallint AND user_id = %s AND position > %s AND position <= %s
 ORDER BY position DESC LIMIT %s::integer
"""

_TOKEN = re.compile(r"u(\d{1,18})", re.ASCII)
_NEWEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ThreadSubscriptions:
    """The newest changes of some range, newest first. ``rest`` is a token for the others, None if there are
    none.
    """

    changes: Sequence[ThreadSubscription]
    rest: str | None

    def sections(self) -> dict[str, Any]:
        """``subscribed`` and ``unsubscribed``, as MSC4308 has them; one without entries is left out."""
        found: dict[str, Any] = {}
        for each in self.changes:
            told = {"bump_stamp": each.position}
            name = "subscribed" if each.subscribed else "unsubscribed"
            found.setdefault(name, {}).setdefault(each.room_id, {})[each.event_id] = (
                {"automatic": each.automatic, **told} if each.subscribed else told
            )
        return found


class ThreadSubscriptionStore(UserStore):
    async def thread_subscription(self, user_id: str, room_id: str, root: str) -> bool | None:
        """Whether the user follows this thread automatically; None if not at all."""
        async with self.read() as session:
            row = await session.one(_ONE, (self.lane(user_id), user_id, room_id, root))
        return None if row is None else row[0]

    async def subscribe_to_thread(self, user_id: str, room_id: str, root: str, cause: int | None) -> bool:
        """Follow a thread. ``cause`` is the ordinal of the event that makes the client do so by itself, None
        if the user wants it. False if they have unsubscribed since that event; `TooLarge` beyond what a user
        may follow.
        """
        lane, most = self.lane(user_id), self.settings.account_data.max_thread_subscriptions
        [(result, position)] = await self.db.call(
            "SELECT * FROM users.subscribe_to_thread(%s::smallint, %s, %s, %s, %s::bigint, %s::integer)",
            (lane, user_id, room_id, root, cause, most),
        )
        if result == "gone":
            raise Forbidden("There is no such user here")
        if result == "too_many":
            raise TooLarge(f"An account follows at most {most} threads")
        await self._tell_thread(user_id, lane, position, root)
        return bool(result != "conflict")

    async def unsubscribe_from_thread(self, user_id: str, room_id: str, root: str, newest: int) -> None:
        """Follow a thread no more. ``newest`` is the ordinal of the newest event of the room."""
        lane = self.lane(user_id)
        [(position,)] = await self.db.call(
            "SELECT users.unsubscribe_from_thread(%s::smallint, %s, %s, %s, %s::bigint)",
            (lane, user_id, room_id, root, newest),
        )
        await self._tell_thread(user_id, lane, position, root)

    async def thread_subscription_changes(
        self, user_id: str, after: int, upto: int, limit: int
    ) -> ThreadSubscriptions:
        """The newest of the changes with ``after < position <= upto`` of the user's lane. One query."""
        async with self.read() as session:
            rows = await session.fetch(_CHANGED, (self.lane(user_id), user_id, after, upto, limit + 1))
        changes = [ThreadSubscription(*row) for row in rows[:limit]]
        return ThreadSubscriptions(changes, f"u{changes[-1].position - 1}" if len(rows) > limit else None)

    async def thread_subscription_page(
        self, user_id: str, after: int, start: str | None, limit: int
    ) -> ThreadSubscriptions:
        """As `thread_subscription_changes`, from where a token for the rest says, or from the newest change.
        `InvalidParam` if it is none.
        """
        match = None if start is None else _TOKEN.fullmatch(start)
        if start is not None and match is None:
            raise InvalidParam("Unknown pagination token")
        upto = _NEWEST if match is None else int(match[1])
        return await self.thread_subscription_changes(user_id, after, upto, limit)

    async def _tell_thread(self, user_id: str, lane: int, position: int | None, root: str) -> None:
        if position is not None:
            await self.tell(user_id, lane, position, [(UserFact.THREAD_SUBSCRIPTION, root.encode())])

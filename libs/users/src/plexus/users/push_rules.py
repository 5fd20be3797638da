"""Push rules: what a user changed about the defaults, as one document.

Client-Server API, "Push Rules: API". The rules themselves are `plexus.protocol.push_rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson
from plexus.platform.lanes import UserFact
from plexus.protocol.canonical_json import encode
from plexus.protocol.errors import TooLarge, Unavailable
from plexus.protocol.push_rules import EMPTY, Overlay, merge
from plexus.users.store import UserStore

PUSH_RULES: Final = "m.push_rules"

MAX_BYTES = 256 * 1024
"""Of the stored changes. Each event sent to a room is matched with the rules of its members."""

_TRIES = 10


class PushRuleStore(UserStore):
    async def push_rules(self, user_id: str) -> dict[str, Any]:
        """``{"global": {"override": [...], ...}}``: the defaults with the user's changes."""
        overlay = await self.push_overlay(user_id)
        return {"global": merge(overlay, user_id, threads=self.settings.push.thread_subscriptions)}

    async def push_overlay(self, user_id: str) -> Overlay:
        return (await self._stored(user_id))[0]

    async def edit_push_rules(self, user_id: str, edit: Callable[[Overlay], Overlay]) -> None:
        """Store what ``edit`` makes of the user's changes. It is a method of `Overlay`, whose errors pass
        through; it may be called again if somebody else was first.
        """
        lane = self.lane(user_id)
        for _ in range(_TRIES):
            overlay, position = await self._stored(user_id)
            rules = encode(edit(overlay).to_json())
            if len(rules) > MAX_BYTES:
                raise TooLarge("There are too many push rules")
            [(written,)] = await self.db.call(
                "SELECT users.put_push_rules(%s::smallint, %s, %s, %s)", (lane, user_id, rules, position)
            )
            if written is not None:
                await self.tell(user_id, lane, written, [(UserFact.PUSH_RULES, b"")])
                return
        raise Unavailable("The push rules are being changed by somebody else")

    async def _stored(self, user_id: str) -> tuple[Overlay, int]:
        async with self.read() as session:
            row = await session.one(
                "SELECT rules, position FROM users.push_rules WHERE lane = %s::smallint AND user_id = %s",
                (self.lane(user_id), user_id),
            )
        return (EMPTY, 0) if row is None else (Overlay.from_json(orjson.loads(row[0])), row[1])

    def push_rules_content(self, user_id: str, stored: bytes | None) -> bytes:
        """The content of the ``m.push_rules`` event for a sync."""
        overlay = EMPTY if stored is None else Overlay.from_json(orjson.loads(stored))
        threads = self.settings.push.thread_subscriptions
        return orjson.dumps({"global": merge(overlay, user_id, threads=threads)})

"""Filters that clients have stored. They never change, so a process remembers them without being told of
anything.

Client-Server API, "Filtering".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson
from plexus.platform.context import Platform
from plexus.protocol.errors import InvalidParam, TooLarge
from plexus.protocol.filters import Filter
from plexus.users.store import UserStore

MAX_FILTERS = 1000
"""Of one user. Clients that make a new one at each start make the same one."""

MAX_FILTER_BYTES = 64 * 1024
_MOST_CACHED = 10_000


class FilterStore(UserStore):
    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        self._filters: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    async def put_filter(self, user_id: str, definition: Mapping[str, Any]) -> str:
        """Its ID; the same for the same filter. `InvalidParam` and `TooLarge`."""
        Filter.parse(definition)
        stored = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)
        if len(stored) > MAX_FILTER_BYTES:
            raise TooLarge("The filter is too large")
        [(number,)] = await self.db.call(
            "SELECT users.put_filter(%s::smallint, %s, %s, %s, %s::integer)",
            (self.lane(user_id), user_id, sha256(stored).digest(), stored, MAX_FILTERS),
        )
        if number is None:
            raise InvalidParam("There are too many filters")
        self._remember(user_id, str(number), stored)
        return str(number)

    async def filter(self, user_id: str, filter_id: str) -> bytes | None:
        """The stored filter as JSON."""
        known = self._filters.get((user_id, filter_id))
        if known is not None:
            self._filters.move_to_end((user_id, filter_id))
            return known
        # What `put_filter` gives is a plain number; "+1" or "01" name no filter.
        if not (filter_id.isascii() and filter_id.isdigit() and len(filter_id) < 10) or (
            filter_id != str(int(filter_id))
        ):
            return None
        async with self.read() as session:
            row = await session.one(
                "SELECT definition FROM users.filter"
                " WHERE lane = %s::smallint AND user_id = %s AND num = %s::integer",
                (self.lane(user_id), user_id, int(filter_id)),
            )
        if row is None:
            return None
        self._remember(user_id, filter_id, row[0])
        return bytes(row[0])

    def _remember(self, user_id: str, filter_id: str, definition: bytes) -> None:
        self._filters[user_id, filter_id] = definition
        if len(self._filters) > _MOST_CACHED:
            self._filters.popitem(last=False)

"""Where a page of a search ended. A token is self-contained, so any replica goes on from it."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

import orjson
from plexus.client_api.search.queries import END, Key
from plexus.protocol.errors import InvalidParam

GROUP_KEYS = ("room_id", "sender")
_MAX_CHARACTERS = 2048
_MOST = 2**62


@dataclass(frozen=True, slots=True)
class Position:
    """``before``: only what is older. ``after``: of what was ranked together, only what comes after this rank
    and key. ``group``: only what is in it. ``count``: what the first page has counted.
    """

    before: Key = END
    after: tuple[float, Key] | None = None
    group: tuple[str, str] | None = None
    count: int | None = None

    def encode(self) -> str:
        after = None if self.after is None else [self.after[0], *self.after[1]]
        parts = [[*self.before], after, self.group, self.count]
        return urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")

    @staticmethod
    def decode(token: str) -> Position:
        """`InvalidParam` for what is no such token."""
        try:
            if len(token) > _MAX_CHARACTERS:
                raise ValueError("too long")
            parts = orjson.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            before, after, group, count = parts
            position = Position(
                _key(before),
                None if after is None else (float(after[0]), _key(after[1:])),
                None if group is None else (group[0], group[1]),
                count,
            )
            if group is not None and (group[0] not in GROUP_KEYS or not isinstance(group[1], str)):
                raise ValueError("no such group")
            if count is not None and not (type(count) is int and 0 <= count < _MOST):
                raise ValueError("no count")
            if position.encode() != token:
                raise ValueError("spelt otherwise")
        except (ValueError, TypeError, IndexError, KeyError):
            raise InvalidParam("This is no next_batch of ours") from None
        return position


def _key(values: Any) -> Key:
    ts, lane, room, num = values
    key = Key(ts, lane, room, num)
    if any(type(value) is not int for value in key) or not all(0 <= value <= _MOST for value in key):
        raise ValueError("no key")
    if lane > 32_767 or room > 2**31 - 1:
        raise ValueError("no key")
    return key

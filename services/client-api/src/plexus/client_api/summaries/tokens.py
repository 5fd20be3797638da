"""Where a page of a space's tree ended, as clients hold it.

The token says which walk it is of, how many rooms have been given, and which was the last. Nothing is kept on
the server, so any replica takes it, and it never grows old.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

import orjson
from plexus.protocol.errors import InvalidParam
from plexus.protocol.identifiers import is_room_id


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk is of; it cannot change from page to page."""

    root: str
    max_depth: int
    suggested_only: bool


@dataclass(frozen=True, slots=True)
class PageEnd:
    """``given`` rooms of the walk were on the pages so far, the last of them ``last``."""

    walk: Walk
    given: int
    last: str

    def encode(self) -> str:
        parts = [self.walk.root, self.walk.max_depth, self.walk.suggested_only, self.given, self.last]
        return urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode()

    @classmethod
    def decode(cls, token: str, walk: Walk) -> PageEnd:
        """`InvalidParam` for what is no such token, or one of another walk."""
        try:
            parts = orjson.loads(urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4)))
        except ValueError:
            raise InvalidParam("Not a token of this server") from None
        match parts:
            case [str(root), int(max_depth), bool(suggested_only), int(given), str(last)] if (
                given >= 1 and is_room_id(last)
            ):
                end = cls(Walk(root, max_depth, suggested_only), given, last)
            case _:
                raise InvalidParam("Not a token of this server")
        if end.walk.root != walk.root:
            raise InvalidParam("This token is of another space")
        if end.walk != walk:
            raise InvalidParam("suggested_only and max_depth cannot change on paginated requests")
        return end

"""Parameters of the reading endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeVar

from fastapi import Query
from plexus.protocol.canonical_json import decode_request
from plexus.protocol.errors import InvalidParam
from plexus.protocol.filters import EVERYTHING, EventFilter

Direction = Literal["b", "f"]
Membership = Literal["join", "invite", "knock", "leave", "ban"]

DIRECTIONS: Final[dict[str, Direction]] = {"b": "b", "f": "f"}
MEMBERSHIPS: Final[dict[str, Membership]] = {
    "join": "join",
    "invite": "invite",
    "knock": "knock",
    "leave": "leave",
    "ban": "ban",
}

MAX_PAGE = 1000
DEFAULT_PAGE = 10
MAX_LIMIT = 2**53 - 1

T = TypeVar("T")

Limit = Annotated[
    int | None, Query(ge=0, le=MAX_LIMIT, description="At most so many events; 1,000 at the most.")
]
Token = Annotated[str | None, Query(description="A token of /sync or of /messages.")]
FilterJson = Annotated[str | None, Query(alias="filter", description="A RoomEventFilter as JSON.")]


def one_of(values: Mapping[str, T], name: str, text: str | None) -> T | None:
    """What a query parameter means of a few values: `InvalidParam` if it is none of them."""
    if text is None:
        return None
    if text not in values:
        raise InvalidParam(f"Bad query parameter: {name}: one of {', '.join(values)}")
    return values[text]


def read_limit(text: str | None) -> int | None:
    """The number of events asked for: `InvalidParam` if it is not a natural number."""
    if text is None:
        return None
    # Longer ones are too large, whatever they are.
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= MAX_LIMIT):
        raise InvalidParam(f"Bad query parameter: limit: a number from 0 to {MAX_LIMIT}")
    return int(text)


def read_filter(text: str | None) -> EventFilter:
    """The filter in a query parameter: `NotJson`, `BadJson` or `InvalidParam` if it is none."""
    if not text:
        return EVERYTHING
    return EventFilter.parse(decode_request(text.encode("utf-8", "surrogatepass")), of_room=True)


def page_size(limit: int | None, event_filter: EventFilter) -> int:
    """The parameter, else the filter's limit, else ten; never more than `MAX_PAGE`."""
    wanted = limit if limit is not None else event_filter.limit
    return min(DEFAULT_PAGE if wanted is None else wanted, MAX_PAGE)

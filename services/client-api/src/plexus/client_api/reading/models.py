"""Parameters of the reading endpoints."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from plexus.protocol.canonical_json import decode_request
from plexus.protocol.filters import EVERYTHING, EventFilter

Membership = Literal["join", "invite", "knock", "leave", "ban"]

MAX_PAGE = 1000
DEFAULT_PAGE = 10

Limit = Annotated[
    int | None, Query(ge=0, le=2**53 - 1, description="At most so many events; 1,000 at the most.")
]
FilterJson = Annotated[str | None, Query(alias="filter", description="A RoomEventFilter as JSON.")]
Token = Annotated[str | None, Query(description="A token of /sync or of /messages.")]


def read_filter(text: str | None) -> EventFilter:
    """The filter in a query parameter: `NotJson`, `BadJson` or `InvalidParam` if it is none."""
    if not text:
        return EVERYTHING
    return EventFilter.parse(decode_request(text.encode("utf-8", "surrogatepass")), of_room=True)


def page_size(limit: int | None, event_filter: EventFilter) -> int:
    """The parameter, else the filter's limit, else ten; never more than `MAX_PAGE`."""
    wanted = limit if limit is not None else event_filter.limit
    return min(DEFAULT_PAGE if wanted is None else wanted, MAX_PAGE)

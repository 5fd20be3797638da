"""What is asked of a search.

Client-Server API, ``POST /_matrix/client/v3/search``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from plexus.platform.http import Body
from pydantic import Field

MAX_PAGE = 100
DEFAULT_PAGE = 10
MAX_CONTEXT = 50
MAX_TERM = 1000
"""Characters. The specification sets no limit; nobody searches for more."""

Around = Annotated[int, Field(ge=0, le=2**53 - 1)]


class EventContext(Body):
    before_limit: Around = 5
    after_limit: Around = 5
    include_profile: bool = False


class Group(Body):
    key: Literal["room_id", "sender"]


class Groupings(Body):
    group_by: list[Group] = Field(default_factory=list)


class RoomEvents(Body):
    """``filter`` is a RoomEventFilter, read by `EventFilter.parse`."""

    search_term: Annotated[str, Field(max_length=MAX_TERM)]
    keys: list[Literal["content.body", "content.name", "content.topic"]] | None = None
    filter: dict[str, Any] = Field(default_factory=dict)
    order_by: Literal["recent", "rank"] = "rank"
    event_context: EventContext | None = None
    include_state: bool = False
    groupings: Groupings = Groupings()


class Categories(Body):
    room_events: RoomEvents | None = None


class SearchRequest(Body):
    search_categories: Categories

"""Bodies and parameters of thread subscriptions."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from plexus.platform.http import Body
from plexus.protocol.identifiers import check_event_id
from pydantic import AfterValidator

MAX_PAGE = 1000
DEFAULT_PAGE = 100


class NewSubscription(Body):
    """``automatic`` is the event for which the client subscribes by itself; absent if the user wants it."""

    automatic: Annotated[str, AfterValidator(check_event_id)] | None = None


Direction = Annotated[Literal["b"], Query(alias="dir", description="Always backwards.")]
Start = Annotated[str | None, Query(alias="from", description="Where to begin: a token; absent: at the end.")]
End = Annotated[str | None, Query(description="Where to end: a pos of sliding sync.")]
PageLimit = Annotated[
    int, Query(ge=1, le=2**53 - 1, description="At most so many subscriptions; 1,000 at the most.")
]

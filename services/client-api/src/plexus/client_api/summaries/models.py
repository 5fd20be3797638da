"""Bounds and parameters of summaries and of the tree of a space."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

MAX_PAGE = 100
DEFAULT_PAGE = 50

MAX_DEPTH = 50
"""As deep as anybody may go, and does who says nothing: a page is bounded by its rooms anyway."""

MOST_ROOMS = 5_000
"""Rooms of one tree that are looked at. What lies behind them is not shown."""

LOOK_AHEAD = 50
"""Rooms that are read together."""

Via = Annotated[list[str] | None, Query(description="Servers that may know the room.")]
SuggestedOnly = Annotated[bool, Query(description="Only what the spaces suggest.")]
PageLimit = Annotated[
    int | None,
    Query(alias="limit", ge=1, le=2**53 - 1, description="At most so many rooms; 100 at the most."),
]
Depth = Annotated[
    int | None,
    Query(alias="max_depth", ge=0, le=2**53 - 1, description="How far below the space; 50 at the most."),
]
From = Annotated[str | None, Query(alias="from", description="The next_batch of the page before.")]

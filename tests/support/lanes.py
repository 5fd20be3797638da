"""Writing facts without a room or a user behind them."""

from __future__ import annotations

from collections.abc import Sequence

from plexus.platform.lanes import Fact
from plexus.platform.postgres import Database

APPEND = """
SELECT lanes.append(%s::text::"char", %s::smallint, %s::smallint[], %s::text[],
                    %s::bigint[], %s::bigint[], %s::bytea[])
"""


async def append(db: Database, family: str, lane: int, facts: Sequence[Fact]) -> int:
    """Append facts (their positions are not looked at) and return the first position."""
    columns = (
        [fact.kind for fact in facts],
        [fact.subject for fact in facts],
        [fact.lo for fact in facts],
        [fact.hi for fact in facts],
        [fact.data for fact in facts],
    )
    [(first,)] = await db.call(APPEND, (family, lane, *columns))
    return int(first)

"""The table ``client_api.report``, and nobody else's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plexus.platform.postgres import Database

if TYPE_CHECKING:
    from plexus.client_api.reports.models import Subject

_ADD = """
INSERT INTO client_api.report (received_ts, reporter, kind, room_id, event_id, user_id, event, reason)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING report_id
"""

_LIST = """
SELECT report_id, received_ts, reporter, kind, room_id, event_id, user_id, event, reason
  FROM client_api.report WHERE report_id < %s ORDER BY report_id DESC LIMIT %s
"""

_REMOVE = "DELETE FROM client_api.report WHERE report_id = ANY (%s::bigint[]) RETURNING report_id"

NEWEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Report:
    """A report as it is kept. ``kind`` is event, room or user; ``event`` is its JSON when it was reported."""

    report_id: int
    received_ts: int
    reporter: str
    kind: str
    room_id: str | None
    event_id: str | None
    user_id: str | None
    event: str | None
    reason: str


async def add(db: Database, reporter: str, subject: Subject, reason: str, now_ms: int) -> int:
    """Keep a report; its number."""
    values = (subject.kind, subject.room_id, subject.event_id, subject.user_id, subject.event)
    rows = await db.call(_ADD, (now_ms, reporter, *values, reason))
    return int(rows[0][0])


async def newest(db: Database, *, limit: int, before: int = NEWEST) -> list[Report]:
    """Reports with a number below ``before``, the newest first."""
    async with db.read(primary=True) as session:
        return [Report(*row) for row in await session.fetch(_LIST, (before, limit))]


async def remove(db: Database, report_ids: Sequence[int]) -> set[int]:
    """Forget these reports; those that were there."""
    return {row[0] for row in await db.call(_REMOVE, (list(report_ids),))}

"""Whether the database has the form that this code wants.

A service does not migrate: many replicas start at once, and their role may not make tables. It looks, and
refuses to start on a database that lacks a migration. A database that is ahead is fine, because migrations
expand before they contract: in a rolling upgrade the version before runs on the new form.
"""

from __future__ import annotations

from collections.abc import Sequence

from plexus.platform.backup.schema import APPLIED, BOOK_EXISTS
from plexus.platform.migrate import OWNERS, migration_files
from plexus.platform.postgres import Database


class SchemaError(Exception):
    """The database must be migrated before this code can run on it."""


async def require_schema(db: Database, owners: Sequence[str] = OWNERS) -> None:
    """`SchemaError` if a migration that this code brings is not applied. The writer's rights suffice."""
    async with db.read(primary=True) as session:
        rows = await session.fetch(BOOK_EXISTS)
        applied = {row[0] for row in await session.fetch(APPLIED)} if rows[0][0] else set()
    missing = [name for name in migration_files(owners) if name not in applied]
    if missing:
        raise SchemaError(
            f"the database lacks {len(missing)} migrations that this Plexus needs, beginning with "
            f"{missing[0]}: run `plexus db migrate`"
        )

"""Leadership by a leased row in PostgreSQL.

The row holds who has the lease, until when, and the epoch, which grows with each change of holder. All times
are PostgreSQL's. Who acts under a lease and writes to PostgreSQL calls `fence` in that transaction: it locks
the row, so the lease cannot change hands until the transaction has ended.
"""

from __future__ import annotations

import asyncio

from plexus.platform.ports import Lease, LeaseLost
from plexus.platform.postgres import Database, WriteSession

_ACQUIRE = """
INSERT INTO platform.lease AS held (name, holder, epoch, expires)
VALUES (%s, %s, 1, clock_timestamp() + %s * interval '1 millisecond')
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder,
    expires = excluded.expires,
    epoch = held.epoch
          + CASE WHEN held.holder = excluded.holder AND held.expires > clock_timestamp() THEN 0 ELSE 1 END
WHERE held.expires <= clock_timestamp() OR held.holder = excluded.holder
RETURNING epoch
"""

_RENEW = """
UPDATE platform.lease SET expires = clock_timestamp() + %s * interval '1 millisecond'
WHERE name = %s AND holder = %s AND epoch = %s AND expires > clock_timestamp() RETURNING epoch
"""

_RELEASE = """
UPDATE platform.lease SET expires = '-infinity'
WHERE name = %s AND holder = %s AND epoch = %s RETURNING epoch
"""

_CHECK = "SELECT epoch = %s AND expires > clock_timestamp() FROM platform.lease WHERE name = %s"

_FENCE = "SELECT epoch = %s AND expires > clock_timestamp() FROM platform.lease WHERE name = %s FOR SHARE"


class LeasedRows:
    """The `Leadership` of both topologies, unless the settings ask for Leases of Kubernetes."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def acquire(self, name: str, holder: str, *, ttl_ms: int) -> Lease | None:
        rows = await self._db.call(_ACQUIRE, (name, holder, ttl_ms))
        return Lease(name, holder, int(rows[0][0])) if rows else None

    async def renew(self, lease: Lease, *, ttl_ms: int) -> None:
        if not await self._db.call(_RENEW, (ttl_ms, lease.name, lease.holder, lease.epoch)):
            raise LeaseLost(lease.name)

    async def release(self, lease: Lease) -> None:
        await self._db.call(_RELEASE, (lease.name, lease.holder, lease.epoch))

    async def idle(self, name: str, seconds: float) -> None:
        # Nobody tells when a row is given back.
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Nothing is open."""

    async def check(self, lease: Lease) -> None:
        rows = await self._db.call(_CHECK, (lease.epoch, lease.name))
        if not rows or not rows[0][0]:
            raise LeaseLost(lease.name)


async def fence(session: WriteSession, lease: Lease) -> None:
    """Hold the lease for the rest of this transaction, or `LeaseLost`."""
    row = await session.one(_FENCE, (lease.epoch, lease.name))
    if row is None or not row[0]:
        raise LeaseLost(lease.name)

"""Leadership by a leased row in PostgreSQL.

The row holds who has the lease, until when, and the epoch, which grows with each change of holder. All times
are PostgreSQL's. Who acts under a lease and writes to PostgreSQL calls `fence` in that transaction: it locks
the row, so the lease cannot change hands until the transaction has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from plexus.platform.ports import Lease, LeaseLost
from plexus.platform.postgres import Database, WriteSession

# In one order for all processes, so that two of them wait for one another and do not deadlock.
_ACQUIRE = """
INSERT INTO platform.lease AS held (name, holder, epoch, expires)
SELECT name, holder, 1, clock_timestamp() + ttl_ms * interval '1 millisecond'
  FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS asked (name, holder, ttl_ms) ORDER BY name
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder,
    expires = excluded.expires,
    epoch = held.epoch
          + CASE WHEN held.holder = excluded.holder AND held.expires > clock_timestamp() THEN 0 ELSE 1 END
WHERE held.expires <= clock_timestamp() OR held.holder = excluded.holder
RETURNING name, epoch
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
    """The `Leadership` of both topologies, unless the settings ask for Leases of Kubernetes. What is acquired
    in one turn of the event loop is one statement, since workers of a process prolong theirs on one beat.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._asked: dict[str, tuple[str, int]] = {}
        self._epochs: asyncio.Task[Mapping[str, int]] | None = None
        """Of those of `_asked` that are given; None once these are under way."""

    async def acquire(self, name: str, holder: str, *, ttl_ms: int) -> Lease | None:
        if self._epochs is None or name in self._asked:
            self._asked = {}
            self._epochs = asyncio.create_task(self._acquire(self._asked))
        self._asked[name] = (holder, ttl_ms)
        # Who is cancelled leaves the others their leases.
        epoch = (await asyncio.shield(self._epochs)).get(name)
        return None if epoch is None else Lease(name, holder, epoch)

    async def _acquire(self, asked: Mapping[str, tuple[str, int]]) -> Mapping[str, int]:
        if asked is self._asked:
            self._epochs = None
        holders, ttls = zip(*asked.values(), strict=True)
        return dict(await self._db.call(_ACQUIRE, (list(asked), list(holders), list(ttls)), together=True))

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

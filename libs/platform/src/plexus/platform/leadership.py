"""Leadership by a leased row in PostgreSQL.

The row holds who has the lease, until when, and the epoch, which grows with each change of holder. All times
are PostgreSQL's. Who acts under a lease and writes to PostgreSQL calls `fence` in that transaction: it locks
the row, so the lease cannot change hands until the transaction has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from plexus.platform.beat import on_the_beat
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


@dataclass(slots=True)
class _Asked:
    name: str
    holder: str
    ttl_ms: int
    epoch: asyncio.Future[int | None]


class LeasedRows:
    """The `Leadership` of both topologies, unless the settings ask for Leases of Kubernetes. What is acquired
    in one turn of the event loop is one statement, since workers of a process prolong theirs on one beat.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._asked: dict[str, _Asked] = {}
        self._acquiring: set[asyncio.Task[None]] = set()

    async def acquire(self, name: str, holder: str, *, ttl_ms: int) -> Lease | None:
        if not self._asked or name in self._asked:
            # A statement of its own for who asks for what another of this process has just asked for.
            self._asked = {}
            task = asyncio.create_task(self._acquire(self._asked))
            self._acquiring.add(task)
            task.add_done_callback(self._acquiring.discard)
        asked = _Asked(name, holder, ttl_ms, asyncio.get_running_loop().create_future())
        self._asked[name] = asked
        epoch = await asked.epoch
        return None if epoch is None else Lease(name, holder, epoch)

    async def _acquire(self, by_name: Mapping[str, _Asked]) -> None:
        if by_name is self._asked:
            self._asked = {}
        asked = list(by_name.values())
        params = ([one.name for one in asked], [one.holder for one in asked], [one.ttl_ms for one in asked])
        try:
            epochs: dict[str, int] = dict(await self._db.call(_ACQUIRE, params))
        except Exception as error:  # noqa: BLE001 - for who asked
            if len(asked) > 1:
                # One row that is locked is not to cost a process all its leases.
                await asyncio.gather(*(self._acquire({one.name: one}) for one in asked))
            elif not asked[0].epoch.done():
                asked[0].epoch.set_exception(error)
            return
        for one in asked:
            if not one.epoch.done():
                one.epoch.set_result(epochs.get(one.name))

    async def renew(self, lease: Lease, *, ttl_ms: int) -> None:
        if not await self._db.call(_RENEW, (ttl_ms, lease.name, lease.holder, lease.epoch)):
            raise LeaseLost(lease.name)

    async def release(self, lease: Lease) -> None:
        await self._db.call(_RELEASE, (lease.name, lease.holder, lease.epoch))

    async def idle(self, name: str, seconds: float) -> None:
        # Nobody tells when a row is given back.
        await asyncio.sleep(on_the_beat(seconds))

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

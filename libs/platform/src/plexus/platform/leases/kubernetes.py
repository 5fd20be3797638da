"""`Leadership` by Leases: who writes first over what both have read has it.

Taking a Lease, in order:

1. the epoch of its row in PostgreSQL is read, because the Lease may have been removed and made again;
2. the Lease is read; if it is free, by its own word or because it stood unchanged too long, it is written
   with the next epoch over exactly what was read (409: somebody was faster, read again);
3. the epoch is put into the row. That waits for transactions that hold the row by `fence`, and from then on
   none of an older epoch commits.

Who dies between 2 and 3 has a Lease that is in nobody's hands until it expires.
"""

from __future__ import annotations

import asyncio

from plexus.platform.leases.api import Conflict, LeaseApi, Seen
from plexus.platform.leases.sightings import Sightings
from plexus.platform.leases.watch import LeaseWatch
from plexus.platform.ports import Lease, LeaseLost
from plexus.platform.postgres import Database

_ROW = "SELECT epoch, holder, expires > clock_timestamp() FROM platform.lease WHERE name = %s"

_RECORD = """
INSERT INTO platform.lease AS held (name, holder, epoch, expires)
VALUES (%s, %s, %s, clock_timestamp() + %s * interval '1 millisecond')
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder, epoch = excluded.epoch, expires = excluded.expires
WHERE held.epoch < excluded.epoch
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

_ATTEMPTS = 5


class KubernetesLeases:
    """The `Leadership` of a cluster in Kubernetes, by setting."""

    def __init__(self, db: Database, api: LeaseApi) -> None:
        self._db = db
        self._api = api
        self._sightings = Sightings()
        self.watch = LeaseWatch(api, self._sightings)

    def start(self) -> None:
        self.watch.start()

    async def close(self) -> None:
        self.watch.stop()

    async def acquire(self, name: str, holder: str, *, ttl_ms: int) -> Lease | None:
        for _ in range(_ATTEMPTS):
            epoch, alive = await self._row(name, holder)
            try:
                seen = await self._api.read(name)
                if seen is None:
                    taken = await self._api.create(name, holder, ttl_ms=ttl_ms, transitions=epoch + 1)
                elif alive and seen.holder == holder and seen.transitions == epoch:
                    lease = Lease(name, holder, epoch)
                    if await self._prolong(seen, lease, ttl_ms):
                        return lease
                    continue
                elif seen.holder == holder or self._sightings.free(seen):
                    following = max(seen.transitions, epoch) + 1
                    taken = await self._api.replace(seen, holder, ttl_ms=ttl_ms, transitions=following)
                else:
                    return None
            except Conflict:
                continue
            self._sightings.note(taken)
            recorded = await self._db.call(_RECORD, (name, holder, taken.transitions, ttl_ms))
            return Lease(name, holder, taken.transitions) if recorded else None
        return None

    async def renew(self, lease: Lease, *, ttl_ms: int) -> None:
        for _ in range(_ATTEMPTS):
            epoch, alive = await self._row(lease.name, lease.holder)
            seen = await self._api.read(lease.name)
            if not alive or epoch != lease.epoch or not _holds(seen, lease):
                raise LeaseLost(lease.name)
            assert seen is not None
            try:
                if await self._prolong(seen, lease, ttl_ms):
                    return
            except Conflict:
                continue
            break
        raise LeaseLost(lease.name)

    async def release(self, lease: Lease) -> None:
        # First the row, so that nothing is written under it any more when another may have it.
        await self._db.call(_RELEASE, (lease.name, lease.holder, lease.epoch))
        for _ in range(_ATTEMPTS):
            seen = await self._api.read(lease.name)
            if seen is None or not _holds(seen, lease):
                return
            try:
                self._sightings.note(await self._api.replace(seen, "", ttl_ms=seen.ttl_ms))
            except Conflict:
                continue
            return

    async def check(self, lease: Lease) -> None:
        (epoch, alive), seen = await asyncio.gather(
            self._row(lease.name, lease.holder), self._api.read(lease.name)
        )
        if not alive or epoch != lease.epoch or not _holds(seen, lease):
            raise LeaseLost(lease.name)

    async def idle(self, name: str, seconds: float) -> None:
        await self._sightings.wait(name, seconds)

    async def _prolong(self, seen: Seen, lease: Lease, ttl_ms: int) -> bool:
        """False if it expired meanwhile; the Lease is ours all the same, but for another epoch."""
        self._sightings.note(await self._api.replace(seen, lease.holder, ttl_ms=ttl_ms))
        return bool(await self._db.call(_RENEW, (ttl_ms, lease.name, lease.holder, lease.epoch)))

    async def _row(self, name: str, holder: str) -> tuple[int, bool]:
        """The newest epoch that PostgreSQL knows, and whether it is this holder's and has not expired."""
        rows = await self._db.call(_ROW, (name,))
        if not rows:
            return 0, False
        epoch, held_by, unexpired = rows[0]
        return int(epoch), bool(unexpired) and held_by == holder


def _holds(seen: Seen | None, lease: Lease) -> bool:
    return seen is not None and seen.holder == lease.holder and seen.transitions == lease.epoch

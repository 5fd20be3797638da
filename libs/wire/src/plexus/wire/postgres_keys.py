"""Other servers' keys in PostgreSQL: schema ``wire``, table ``server_key``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from plexus.protocol.signatures import VerifyKey
from plexus.wire.remote_keys import RemoteKey

if TYPE_CHECKING:
    from plexus.platform.postgres import Database

_READ = (
    "SELECT public, valid_until_ts, expired_ts FROM wire.server_key WHERE server_name = %s AND key_id = %s"
)

# The rule of `remote_keys.supersedes`, where concurrent writers meet.
_KEEP = """
INSERT INTO wire.server_key AS known (server_name, key_id, public, valid_until_ts, expired_ts)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (server_name, key_id) DO UPDATE
SET public = EXCLUDED.public, valid_until_ts = EXCLUDED.valid_until_ts, expired_ts = EXCLUDED.expired_ts
WHERE known.expired_ts IS NULL
  AND (EXCLUDED.expired_ts IS NOT NULL OR EXCLUDED.valid_until_ts > known.valid_until_ts)
"""


class PostgresRemoteKeys:
    """A `RemoteKeyStore` over the deployment's database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def key(self, server_name: str, key_id: str) -> RemoteKey | None:
        if "\0" in key_id:
            return None
        async with self._db.read() as session:
            row = await session.one(_READ, (server_name, key_id))
        if row is None:
            return None
        public, valid_until_ts, expired_ts = row
        return RemoteKey(server_name, VerifyKey(key_id, bytes(public)), valid_until_ts, expired_ts)

    async def keep(self, keys: Sequence[RemoteKey]) -> None:
        # In one order, so that two writers of the same keys cannot wait for each other.
        ordered = sorted(keys, key=lambda key: (key.server_name, key.verify_key.key_id))
        async with self._db.write() as session:
            for key in ordered:
                name, verify_key = key.server_name, key.verify_key
                await session.execute(
                    _KEEP, (name, verify_key.key_id, verify_key.public, key.valid_until_ts, key.expired_ts)
                )

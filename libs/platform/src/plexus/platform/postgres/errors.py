"""What goes wrong between us and PostgreSQL.

    MatrixError
    └── Unavailable
        └── StoreUnavailable     no connection, pool exhausted, timeout, deadlock, failover: 503, Retry-After

After a write that ended so the outcome is unknown: look it up by its key, or let the client ask again.
Everything else that PostgreSQL refuses (a broken constraint, bad SQL) is our own fault and passes as psycopg
raises it.
"""

from __future__ import annotations

import psycopg
from plexus.protocol.errors import Unavailable

# OperationalError covers connections, timeouts, locks, serialisation and shutdown; these two are filed
# elsewhere.
TRANSIENT = (
    psycopg.OperationalError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
)

LOCK_NOT_AVAILABLE = "55P03"
DEADLOCK_DETECTED = "40P01"
QUERY_CANCELED = "57014"
READ_ONLY_SQL_TRANSACTION = "25006"
GENERATION_ENDED = "PX001"
"""Ours, of ``lanes.append``: PostgreSQL has failed over, nothing is written."""


class StoreUnavailable(Unavailable):
    """``sqlstate`` is PostgreSQL's code, None where the connection itself failed."""

    def __init__(self, message: str, *, sqlstate: str | None = None, retry_after_ms: int = 1000) -> None:
        super().__init__(message, retry_after_ms=retry_after_ms)
        self.sqlstate = sqlstate

    @classmethod
    def of(cls, error: psycopg.Error) -> StoreUnavailable:
        """The answer says nothing about the database; the cause stays for the log."""
        return cls("The database cannot answer now, try again", sqlstate=error.sqlstate)

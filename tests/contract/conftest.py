"""Every adapter of every port. An adapter that needs a server of its own joins by one more parameter."""

from __future__ import annotations

from tests.support.postgres import database, db
from tests.support.redis import redis

__all__ = ["database", "db", "redis"]

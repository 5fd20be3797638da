"""A Redis for tests: one server a pytest run, started when the first test asks; a prefix of each test's own.

In a ``conftest.py``::

    from tests.support.redis import own_redis, redis

``redis`` (function) is a `Place` in the run's server. ``own_redis`` (function) is one in a server of the
test's own, to be killed and frozen. Without redis-server tests that ask for them skip.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path

import pytest
from plexus.platform.settings import RedisSettings
from pydantic import SecretStr
from redis import Redis

from deploy.local.installing import find, may_install
from deploy.local.redis import RedisServer

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Place:
    """A prefix in a server, which nobody else has."""

    server: RedisServer
    prefix: str

    def settings(self, *, timeout_ms: int = 2_000, retry_seconds: float = 0.05) -> RedisSettings:
        """A timeout that a busy machine does not meet, unless a test means it to."""
        return RedisSettings(
            url=SecretStr(self.server.url),
            prefix=self.prefix,
            timeout_ms=timeout_ms,
            retry_seconds=retry_seconds,
        )

    def age(self, seconds: float) -> None:
        """Let time pass for all that is stored here: every time to live is shortened, every bucket refilled.

        So a contract that speaks of seconds and minutes is tested to the millisecond without waiting.
        """
        with Redis.from_url(self.server.url) as client:
            for key in client.scan_iter(f"{self.prefix}*", count=1_000):
                left = client.pttl(key)
                if left >= 0:
                    client.pexpire(key, left - round(seconds * 1000))
                if client.type(key) == b"hash" and client.hexists(key, "at"):
                    client.hincrbyfloat(key, "at", -seconds)

    def names(self) -> set[str]:
        """The names of what is stored here, without the prefix."""
        with Redis.from_url(self.server.url) as client:
            found = client.scan_iter(f"{self.prefix}*", count=1_000)
            return {key.decode().removeprefix(self.prefix) for key in found}


@cache
def server() -> RedisServer:
    """The server of this run; it ends with it."""
    folder = Path(tempfile.mkdtemp(prefix="plexus-redis-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = RedisServer(folder)
    atexit.register(made.stop)
    made.start()
    return made


def need_redis() -> None:
    if find("redis-server") is None and not may_install():
        pytest.skip("no redis-server: apt-get install redis-server")


def place(of: RedisServer) -> Place:
    return Place(of, f"test-{next(_numbers)}:")


@pytest.fixture
def redis() -> Place:
    need_redis()
    return place(server())


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Place]:
    need_redis()
    with RedisServer(tmp_path / "redis") as made:
        yield place(made)

"""The composition root: which services a process has, over one set of libraries, behind one gateway.

`plexus up` has them all; `plexus serve` has those that it is told. A service is imported when it is built,
and so is a library: a process of a cluster starts sooner without what it does not serve.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from plexus.platform.context import Platform
from plexus.platform.http import Gateway
from plexus.platform.service import Service

if TYPE_CHECKING:
    from plexus.rooms import Rooms
    from plexus.users import Users
    from plexus.wire import Wire


class Libraries:
    """Made when a service asks for them: what no service of the process needs costs nothing."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @cached_property
    def rooms(self) -> Rooms:
        from plexus.rooms import Rooms

        settings = self._platform.settings.rooms
        return Rooms(
            self._platform,
            self.users.member_rules,
            self.users.erased,
            state_cache_bytes=settings.state_cache_mb * 2**20,
            timeline_cache_bytes=settings.timeline_cache_mb * 2**20,
        )

    @cached_property
    def users(self) -> Users:
        from plexus.users import Users

        return Users(self._platform)

    @cached_property
    def wire(self) -> Wire:
        from plexus.wire import Wire

        return Wire(self._platform)

    def made(self) -> list[Rooms | Users | Wire]:
        """In the order in which they are started."""
        return [self.__dict__[name] for name in ("rooms", "users", "wire") if name in self.__dict__]


Build = Callable[[Platform, Libraries], Service]


def _client_api(platform: Platform, has: Libraries) -> Service:
    from plexus.client_api.root import build

    return build(platform, rooms=has.rooms, users=has.users, wire=has.wire)


def _sync(platform: Platform, has: Libraries) -> Service:
    from plexus.sync.root import build

    return build(platform, rooms=has.rooms, users=has.users)


def _keys(platform: Platform, has: Libraries) -> Service:
    from plexus.keys.root import build

    return build(platform, users=has.users)


def _federation(platform: Platform, has: Libraries) -> Service:
    from plexus.federation.root import build

    return build(platform, rooms=has.rooms, wire=has.wire)


def _media(platform: Platform, has: Libraries) -> Service:
    from plexus.media.root import build

    return build(platform, users=has.users)


def _worker(platform: Platform, has: Libraries) -> Service:
    from plexus.client_api.worker import build

    return build(platform, rooms=has.rooms, users=has.users, wire=has.wire)


SERVICES: dict[str, Build] = {
    "client-api": _client_api,
    "sync": _sync,
    "keys": _keys,
    "federation": _federation,
    "media": _media,
    "worker": _worker,
}
"""By the names that `plexus serve` takes. The worker answers nobody: it does what was begun and not ended."""


@asynccontextmanager
async def compose(platform: Platform, names: Sequence[str] = tuple(SERVICES)) -> AsyncIterator[Gateway]:
    """The services of these names behind one gateway; `serve` starts and stops them."""
    libraries = Libraries(platform)
    services = [SERVICES[name](platform, libraries) for name in names]
    started: list[Rooms | Users | Wire] = []
    try:
        for library in libraries.made():
            await library.start()
            started.append(library)
        yield Gateway(services, platform)
    finally:
        for library in reversed(started):
            await library.stop()

"""The composition root: which services a process has, over one set of libraries, behind one gateway.

`plexus up` has them all; `plexus serve` has those that it is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cached_property

from plexus.client_api import root as client_api
from plexus.federation import root as federation
from plexus.keys import root as keys
from plexus.media import root as media
from plexus.platform.context import Platform
from plexus.platform.http import Gateway
from plexus.platform.service import Service
from plexus.rooms import Rooms
from plexus.sync import root as sync
from plexus.users import Users
from plexus.wire import Wire


class Libraries:
    """Made when a service asks for them: what no service of the process needs costs nothing."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    @cached_property
    def rooms(self) -> Rooms:
        return Rooms(self._platform)

    @cached_property
    def users(self) -> Users:
        return Users(self._platform)

    @cached_property
    def wire(self) -> Wire:
        return Wire(self._platform)

    def made(self) -> list[Rooms | Users | Wire]:
        """In the order in which they are started."""
        return [self.__dict__[name] for name in ("rooms", "users", "wire") if name in self.__dict__]


Build = Callable[[Platform, Libraries], Service]

SERVICES: dict[str, Build] = {
    "client-api": lambda platform, has: client_api.build(platform, rooms=has.rooms, users=has.users),
    "sync": lambda platform, has: sync.build(platform, rooms=has.rooms, users=has.users),
    "keys": lambda platform, has: keys.build(platform, users=has.users),
    "federation": lambda platform, has: federation.build(platform, rooms=has.rooms, wire=has.wire),
    "media": lambda platform, has: media.build(platform, users=has.users),
    "worker": lambda platform, has: client_api.build_worker(platform, rooms=has.rooms, users=has.users),
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

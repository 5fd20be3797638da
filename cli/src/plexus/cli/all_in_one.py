"""The composition root of `plexus up`: all of Plexus in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from plexus.client_api import root as client_api
from plexus.federation import root as federation
from plexus.keys import root as keys
from plexus.media import root as media
from plexus.platform.context import Platform
from plexus.platform.http import Gateway
from plexus.rooms import Rooms
from plexus.sync import root as sync
from plexus.users import Users
from plexus.wire import Wire


@asynccontextmanager
async def all_in_one(platform: Platform) -> AsyncIterator[Gateway]:
    """The five services over one set of libraries, behind one gateway; `serve` starts and stops them."""
    rooms = Rooms(platform)
    users = Users(platform)
    wire = Wire(platform)

    services = [
        client_api.build(platform, rooms=rooms, users=users),
        sync.build(platform, rooms=rooms, users=users),
        keys.build(platform, users=users),
        federation.build(platform, rooms=rooms, wire=wire),
        media.build(platform, users=users),
    ]

    started: list[Rooms | Users | Wire] = []
    try:
        for library in (rooms, users, wire):
            await library.start()
            started.append(library)
        yield Gateway(services, platform)
    finally:
        for library in reversed(started):
            await library.stop()

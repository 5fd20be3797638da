"""The composition root of the worker: what client-api has begun and not ended, without an endpoint."""

from __future__ import annotations

import asyncio

from plexus.client_api.delayed_events.timers import Timers
from plexus.client_api.deps import ClientApi
from plexus.client_api.identity_servers import IdentityServers
from plexus.client_api.membership.guests import SWEEP_EVERY
from plexus.client_api.profiles.room_tasks import RoomTasks
from plexus.client_api.pushing.delivery import Delivery
from plexus.client_api.pushing.queueing import push_worker
from plexus.client_api.search.indexing import search_worker
from plexus.client_api.threepids.binding import Unbinder
from plexus.client_api.upgrade.finishing import Upgrades
from plexus.client_api.user_directory.indexing import directory_worker
from plexus.client_api.waiting import Waiting
from plexus.platform.context import Platform
from plexus.platform.http import make_app
from plexus.platform.periodic import PeriodicJob
from plexus.platform.service import Service
from plexus.rooms import Rooms
from plexus.users import Users
from plexus.wire import Wire


def build(platform: Platform, *, rooms: Rooms, users: Users, wire: Wire) -> Service:
    """What goes on without a request: changes of an account that its rooms and identity servers are still
    owed, and upgrades of rooms that were begun, because the process that began them died or a room was not to
    be had; events that are due; guests in rooms that are not for them; and what follows the lanes to keep
    what can be searched.
    """
    api = ClientApi(platform, rooms, users, IdentityServers(platform.settings, wire))
    unbinder = Unbinder(api.identity, users)
    waiting = Waiting(platform.db, platform.clock)
    delivery = Delivery(platform, rooms, users, wire.client, waiting)
    parts = (
        RoomTasks(rooms, users, on_leaving=unbinder.unbind),
        Upgrades(rooms),
        Timers(api, waiting),
        delivery,
    )
    sweep = PeriodicJob(platform.leadership, "guest-access", api.guests.sweep, every=SWEEP_EVERY)
    followers = (
        search_worker(platform, rooms),
        directory_worker(platform, rooms, users),
        push_worker(platform, rooms, users, on_queued=delivery.wake),
        sweep,
    )

    async def start() -> None:
        for part in (*parts, *followers):
            await part.start()

    async def drain() -> None:
        await asyncio.gather(*(part.drain() for part in parts), *(one.stop() for one in followers))

    return Service("worker", make_app("Plexus worker"), start=start, drain=drain, stop=drain)

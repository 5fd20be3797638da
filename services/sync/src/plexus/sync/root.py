"""The composition root of the sync service."""

from __future__ import annotations

from plexus.platform.context import Platform
from plexus.platform.http import make_app
from plexus.platform.service import Service
from plexus.rooms import Rooms
from plexus.sync.event_stream.routes import EventStreamEndpoints
from plexus.sync.routes import SyncEndpoint
from plexus.sync.service import SyncService
from plexus.sync.sliding.connections import Connections
from plexus.sync.sliding.routes import sliding_routes
from plexus.sync.sliding.service import SlidingService
from plexus.users import Users


def build(platform: Platform, *, rooms: Rooms, users: Users) -> Service:
    """The service over a platform and its libraries, which are started and stopped by whoever made them."""
    sync = SyncService(platform, rooms, users)
    app = make_app("Plexus sync")
    app.state.authenticator = users
    app.state.sync = sync
    endpoint = SyncEndpoint(sync, users, platform.settings.sync)
    connections = Connections(
        platform.db,
        platform.clock,
        limit=platform.settings.sync.max_connections,
        limit_bytes=platform.settings.sync.connections_mb * 2**20,
        per_user=platform.settings.sync.connections_per_user,
    )
    most_bytes = platform.settings.sync.sliding_response_mb * 2**20
    sliding = SlidingService(sync, rooms, users, connections, most_bytes)
    old = EventStreamEndpoints(sync, rooms, users, users, platform.settings.sync)

    def ready() -> list[str]:
        return sync.replica.not_ready()

    return Service(
        name="sync",
        app=app,
        hot=[*endpoint.routes(), *sliding_routes(sliding, users, platform.settings), *old.routes()],
        start=sync.start,
        drain=sync.drain,
        stop=sync.stop,
        ready=ready,
    )

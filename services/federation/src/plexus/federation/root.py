"""The composition root of federation."""

from __future__ import annotations

from plexus.federation.version import routes as version
from plexus.platform.context import Platform
from plexus.platform.http import make_app
from plexus.platform.service import Service
from plexus.rooms import Rooms
from plexus.wire import Wire


def build(platform: Platform, *, rooms: Rooms | None = None, wire: Wire | None = None) -> Service:
    """The service. ``rooms`` and ``wire`` are what its endpoints will write with and check requests by; the
    version, the only one so far, is told to anybody.
    """
    app = make_app("Plexus server-server API")
    app.state.platform = platform
    app.state.rooms = rooms
    app.state.wire = wire
    app.include_router(version.router)
    return Service(name="federation", app=app)

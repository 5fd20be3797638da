"""The composition root of media."""

from __future__ import annotations

from plexus.media.hot import MediaHandlers
from plexus.media.routes import router
from plexus.media.sweep import Sweeper
from plexus.platform.context import Platform
from plexus.platform.http import make_app
from plexus.platform.service import Service
from plexus.users import Users


def build(platform: Platform, *, users: Users) -> Service:
    """The service; ``users`` says whose token it is."""
    app = make_app("Plexus content repository")
    app.state.platform = platform
    app.state.authenticator = users
    app.include_router(router)
    sweeper = Sweeper(platform)
    handlers = MediaHandlers(platform, users)
    return Service(name="media", app=app, hot=handlers.routes(), start=sweeper.start, stop=sweeper.stop)

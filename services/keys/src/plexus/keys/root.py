"""The composition root of keys."""

from __future__ import annotations

from plexus.keys.backup import routes as backup
from plexus.keys.deps import Keys
from plexus.keys.device_keys import routes as device_keys
from plexus.keys.server_keys import routes as server_keys
from plexus.keys.server_keys.service import KeyDocument
from plexus.platform.context import Platform
from plexus.platform.http import make_app
from plexus.platform.service import Service
from plexus.users import Users

FEATURES = (device_keys, server_keys, backup)


def build(platform: Platform, *, users: Users) -> Service:
    """The service over ``users``, which is started and stopped by who made it."""
    app = make_app("Plexus keys")
    document = KeyDocument(platform.settings.server_name, platform.keys, platform.clock)
    app.state.deps = Keys(platform, users, document)
    app.state.authenticator = users
    for feature in FEATURES:
        app.include_router(feature.router)
    return Service(name="keys", app=app)

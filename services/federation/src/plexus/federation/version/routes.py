"""``/_matrix/federation/v1/version``. Server-Server API, "Server implementation"."""

from __future__ import annotations

from importlib.metadata import version

from plexus.federation.version.models import Server, Version
from plexus.platform.http import make_router

router = make_router()

_ANSWER = Version(server=Server(name="Plexus", version=version("plexus-federation")))


@router.get("/_matrix/federation/v1/version", operation_id="getVersion")
async def get_version() -> Version:
    """Get the implementation name and version of this homeserver."""
    return _ANSWER

"""Typing notifications. Client-Server API, "Typing Notifications"."""

from __future__ import annotations

from plexus.client_api.deps import ClientApi
from plexus.client_api.typing.hot import set_typing_route
from plexus.platform.http import HotRoute, make_router

router = make_router(prefix="/_matrix/client/v3", tags=["Room participation"])


def hot(api: ClientApi) -> list[HotRoute]:
    """The routes that are plain ASGI."""
    return [set_typing_route(api)]

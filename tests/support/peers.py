"""Clients that leave, for tests without sockets."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Generic, TypeVar

from plexus.platform.http import ASGIApp
from plexus.platform.peer import Peer

App = TypeVar("App", bound=ASGIApp)


class From(Generic[App]):
    """In front of an application: all requests come over one connection, at whose other end is ``peer``."""

    def __init__(self, app: App, peer: Peer) -> None:
        self.app = app
        self.peer = peer

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        scope["plexus.peer"] = self.peer
        await self.app(scope, receive, send)

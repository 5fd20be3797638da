"""Clients that leave or read slowly, for tests without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any, Generic, TypeVar

from plexus.platform.http import ASGIApp
from plexus.platform.peer import Peer

App = TypeVar("App", bound=ASGIApp)


class Reader(Peer):
    """A client that reads when it is told to."""

    __slots__ = ("has_read",)

    def __init__(self) -> None:
        super().__init__()
        self.has_read = asyncio.Event()

    async def taken(self) -> None:
        await self.has_read.wait()


class From(Generic[App]):
    """In front of an application: all requests come over one connection, at whose other end is ``peer``."""

    def __init__(self, app: App, peer: Peer) -> None:
        self.app = app
        self.peer = peer

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        scope["plexus.peer"] = self.peer
        await self.app(scope, receive, send)

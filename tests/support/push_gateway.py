"""A push gateway: a real HTTP server that keeps what it is told. Push Gateway API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.http import Json

NOTIFY = "/_matrix/push/v1/notify"


@dataclass
class PushGateway:
    """``notifications`` it has been told of, ``rejects`` the pushkeys it does not know (any more), ``status``
    what it answers.
    """

    url: str = ""
    notifications: list[Json] = field(default_factory=list)
    rejects: set[str] = field(default_factory=set)
    status: int = 200
    asked: int = 0
    held: int = 0
    _gate: asyncio.Event | None = None

    def hold(self) -> Callable[[], None]:
        """Answer nobody until what is returned is called; ``held`` is how many wait."""
        self._gate = gate = asyncio.Event()
        return gate.set

    async def notify(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self._gate is not None:
            self.held += 1
            await self._gate.wait()
            self.held -= 1
        if self.status != 200:
            return web.Response(status=self.status)
        notification = (await request.json())["notification"]
        self.notifications.append(notification)
        keys = {device["pushkey"] for device in notification["devices"]}
        return web.json_response({"rejected": sorted(keys & self.rejects)})


@asynccontextmanager
async def push_gateway() -> AsyncIterator[PushGateway]:
    gateway = PushGateway()
    app = web.Application()
    app.router.add_post(NOTIFY, gateway.notify)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        gateway.url = f"http://127.0.0.1:{port}{NOTIFY}"
        yield gateway
    finally:
        await runner.cleanup()

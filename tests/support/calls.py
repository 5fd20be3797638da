"""Two ends of a call: a process that answers, on real listeners, and one that only calls."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from plexus.platform.calls import HttpCalls, open_calls
from plexus.platform.http import Addresses, Gateway, serve
from plexus.platform.service import Service
from plexus.platform.watch import Watcher

from tests.unit.platform.surroundings import Surroundings, surroundings

SECRET = "a secret of the tests' own, é "


class Node:
    """A process with all three listeners. ``calls`` has its methods; ``settings`` are those of ``calls``."""

    def __init__(self, *services: Service, http: dict[str, Any] | None = None, **settings: Any) -> None:
        self._services = services
        self._given = {"listener": {"enabled": True, "port": 0}, **settings}
        self._http = http or {}
        self.around: Surroundings

    async def __aenter__(self) -> Self:
        self.around = surroundings(
            listeners={"client": {"port": 0}, "internal": {"port": 0}},
            shutdown={"readiness_seconds": 0, "drain_seconds": 5},
            calls=self._given,
            http=self._http,
        )
        self.calls = _http(self.around)
        started = asyncio.get_running_loop().create_future()
        gateway = Gateway(self._services, self.around)
        self.task = asyncio.create_task(serve(gateway, self.around, started=started.set_result))

        def ended(task: asyncio.Task[None]) -> None:
            if not started.done():
                started.set_exception(task.exception() or RuntimeError("it has ended before it began"))

        self.task.add_done_callback(ended)
        self.at: Addresses = await started
        self.watcher = Watcher(0.05)
        if self.calls.tls is not None:
            self.watcher.add(self.calls.tls.watched)
        await self.watcher.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.watcher.stop()
        self.around.drain.begin()
        await self.task
        await self.calls.close()

    @property
    def port(self) -> int:
        return self.at.calls[0][1]

    @property
    def address(self) -> str:
        """By name, so that a certificate for localhost fits."""
        scheme = "https" if self.calls.tls is not None else "http"
        return f"{scheme}://localhost:{self.port}"


class Calling:
    """A process that has no service of those that it calls, at ``addresses``."""

    def __init__(self, addresses: dict[str, str], **settings: Any) -> None:
        self._given = {"addresses": addresses, **settings}

    async def __aenter__(self) -> Self:
        self.around = surroundings(calls=self._given)
        self.calls = _http(self.around)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.calls.close()


def _http(around: Surroundings) -> HttpCalls:
    calls = open_calls(around.settings.calls, around.telemetry)
    assert isinstance(calls, HttpCalls)
    around.calls = calls
    return calls

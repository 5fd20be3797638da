"""Between a client and the server: what is asked and answered is counted, and held against the specification.

A client that goes away takes its request with it, and a server that is not there is not there for the client.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
from aiohttp import web

from tests.support import spec

_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "content-length")
_LARGEST = 64 * 2**20


@dataclass
class Watch:
    """``asked`` counts (operation, status, errcode); ``violations`` are answers that the specification does
    not allow.
    """

    server: str
    url: str = ""
    asked: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    known: spec.Spec | None = field(default_factory=spec.find)

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        sent = await request.read()
        headers = [
            (name, value) for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP
        ]
        session: aiohttp.ClientSession = request.app[_SESSION]
        url = self.server + request.raw_path
        try:
            async with session.request(request.method, url, data=sent, headers=headers) as answer:
                body = await answer.read()
        except aiohttp.ClientError:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=502)
        self._note(request, sent, answer.status, answer.content_type, body)
        passed = web.Response(status=answer.status, body=body)
        for name, value in answer.headers.items():
            if name.lower() not in (*_HOP_BY_HOP, "content-encoding", "date"):
                passed.headers[name] = value
        return passed

    def _note(self, request: web.Request, sent: bytes, status: int, content_type: str, body: bytes) -> None:
        operations = self.known.matching(request.method, request.raw_path) if self.known else []
        name = operations[0].id if operations else f"{request.method} {_masked(request.path)}"
        errcode = ""
        if content_type == "application/json":
            if status >= 400:
                errcode = str(orjson.loads(body).get("errcode"))
            try:
                if operations:
                    operations[0].check_answer(status, body)
            except spec.Violation as violation:
                self.violations.append(f"{request.method} {request.raw_path}: {violation}")
        self.asked[name, status, errcode] += 1


_SESSION = web.AppKey("session", aiohttp.ClientSession)


def _masked(path: str) -> str:
    """Identifiers are taken out, so that the same is counted as the same."""
    return re.sub(r"(?<=/)[!@$#][^/]*", "{}", path)


@asynccontextmanager
async def watching(server: str) -> AsyncIterator[Watch]:
    """``server`` by another address, with everything that passes watched."""
    watch = Watch(server)
    app = web.Application(client_max_size=_LARGEST)
    app.router.add_route("*", "/{path:.*}", watch.pass_on)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=True
    ) as session:
        app[_SESSION] = session
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            watch.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield watch
        finally:
            await runner.cleanup()

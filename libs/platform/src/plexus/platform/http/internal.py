"""The internal listener: health, metrics and the descriptions of the services. Not for the public.

/health/live             200 as long as the process answers; 503 for a while after its event loop stuck
/health/ready            200, or 503 with the reasons
/metrics                 Prometheus
/openapi/{service}.json  a service's routes
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import orjson
from plexus.platform.http.errors import send_error
from plexus.platform.http.gateway import Surroundings
from plexus.platform.http.hot import ASGIApp, Receive, Scope, Send, send_json
from plexus.platform.http.openapi import openapi_of
from plexus.platform.service import Service
from plexus.protocol.errors import MethodNotAllowed, Unrecognized

_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"


def internal_app(
    platform: Surroundings,
    services: Sequence[Service],
    *,
    starting: Callable[[], bool] = lambda: False,
    why_not_live: Callable[[], str | None] = lambda: None,
) -> ASGIApp:
    """``starting`` tells whether the services are still being started; until then nothing is ready.
    ``why_not_live`` gives the reason for a restart, None if there is none.
    """
    by_path = {f"/openapi/{service.name}.json": service for service in services}

    def reasons() -> list[str]:
        if platform.drain.draining:
            return ["draining"]
        if starting():
            return ["starting"]
        if (reason := platform.why_not_ready()) is not None:
            return [reason]
        return [f"{service.name}: {reason}" for service in services for reason in service.ready()]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if scope["method"] not in ("GET", "HEAD"):
            await send_error(send, MethodNotAllowed())
        elif path == "/health/live":
            reason = why_not_live()
            if reason is None:
                await send_json(send, 200, b'{"live":true}')
            else:
                await send_json(send, 503, orjson.dumps({"live": False, "reason": reason}))
        elif path == "/health/ready":
            found = reasons()
            body = orjson.dumps({"ready": not found, "reasons": found})
            await send_json(send, 503 if found else 200, body)
        elif path == "/metrics":
            # Off the loop: with some thousand series it takes tens of milliseconds.
            text = await asyncio.to_thread(platform.telemetry.prometheus)
            headers = [(b"content-type", _PROMETHEUS), (b"content-length", b"%d" % len(text))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": text})
        elif path in by_path:
            await send_json(send, 200, orjson.dumps(openapi_of(by_path[path])))
        else:
            await send_error(send, Unrecognized())

    return app

"""The gateway: one ASGI application over all routes of one or several services.

For every request, in this order:

1. its id, its trace if it is sampled, and the client's true address;
2. ``OPTIONS`` is answered, for any path, without looking at tokens;
3. the route: percent-decoding once, one look-up a segment; 404 or 405 ``M_UNRECOGNIZED``;
4. the route's own handler: a hot one, or FastAPI's for this route, called directly and not through FastAPI's
   list;
5. what was raised becomes a standard error; CORS headers are on every answer to a client; a large answer is
   compressed;
6. the duration is counted, and logged if it should be.

FastAPI middleware is not run (there must be none): what all routes share is done here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any, Protocol

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from opentelemetry.trace import Status, StatusCode
from plexus.platform.drain import DrainSignal
from plexus.platform.http.compression import Compression
from plexus.platform.http.errors import INTERNAL, send_error, to_matrix
from plexus.platform.http.exchange import CLOSE, CORS, Exchange
from plexus.platform.http.hot import ASGIApp, ClientGone, Header, HotHandler, Receive, Scope, Send
from plexus.platform.http.paths import segments_of
from plexus.platform.http.proxies import TrustedProxies
from plexus.platform.http.tree import Leaf, RouteTree
from plexus.platform.ports import InternalCalls
from plexus.platform.service import Service
from plexus.platform.settings import Settings
from plexus.platform.telemetry import REQUEST, HistogramCell, RequestContext, Telemetry
from plexus.platform.telemetry.request import new_request_id, parse_traceparent, usable_request_id
from plexus.protocol.errors import InvalidParam, MatrixError, MethodNotAllowed, Unrecognized
from starlette.routing import Route as StarletteRoute

logger = logging.getLogger(__name__)

_NO_CORS = (b"/_matrix/federation/", b"/_matrix/key/")
_METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"})
_GONE = 499
"""Counted, never sent: the client closed the connection first."""


class Surroundings(Protocol):
    """What the gateway needs of a `plexus.platform.context.Platform`."""

    @property
    def settings(self) -> Settings: ...
    @property
    def telemetry(self) -> Telemetry: ...
    @property
    def drain(self) -> DrainSignal: ...
    @property
    def calls(self) -> InternalCalls: ...
    def why_not_ready(self) -> str | None: ...


class _Target:
    """A route's handler with its series of the duration metric, by status, which is negative for https."""

    __slots__ = ("cells", "handler", "method", "template")

    def __init__(self, handler: HotHandler | None, method: str, template: str) -> None:
        self.handler = handler
        self.method = method
        self.template = template
        self.cells: dict[int, HistogramCell] = {}


class Gateway:
    def __init__(self, services: Sequence[Service], platform: Surroundings) -> None:
        http = platform.settings.http
        self.services = tuple(services)
        self._drain = platform.drain
        self._telemetry = platform.telemetry
        self._max_url = http.max_url_bytes
        self._max_body = http.max_body_bytes
        self._proxies = TrustedProxies(http.trusted_proxies, forwarded=http.forwarded_header)
        self._any_proxies = bool(http.trusted_proxies)
        self._told_by_proxies = frozenset(
            {self._proxies.header, b"x-forwarded-proto", b"x-request-id", b"traceparent"}
        )
        self._log_from = {"all": 0, "errors": 500, "off": 1000}[platform.settings.telemetry.access_log]
        self._tree: RouteTree[_Target] = RouteTree()
        self._unrouted: dict[str, _Target] = {}
        metrics = platform.telemetry.metrics
        self._compression = (
            Compression(metrics, http.compress_from_bytes) if http.compress_from_bytes else None
        )
        self._durations = metrics.histogram(
            "http.server.request.duration", "s", "Duration of requests, by route and status."
        )
        self._active = metrics.up_down(
            "http.server.active_requests", "{request}", "Requests under way, held syncs included."
        ).labels()
        for service in services:
            self._add(service)

    @property
    def active(self) -> int:
        """Requests under way."""
        return int(self._active.value)

    def _add(self, service: Service) -> None:
        app = service.app
        if app.user_middleware:
            raise ValueError(f"{service.name}: FastAPI middleware would not be run; use the gateway")
        for hot in service.hot:
            if not hot.operation.get("operationId"):
                raise ValueError(f"{service.name}: {hot.method} {hot.template} has no operationId")
            self._tree.add(hot.method, hot.template, _Target(hot.handler, hot.method, hot.template))
        for context in iter_route_contexts(app.routes):
            route = context.original_route
            if not isinstance(route, APIRoute | StarletteRoute) or context.path is None:
                raise TypeError(f"{service.name}: {type(route).__name__} is no route of the gateway's")
            handler = _fastapi_handler(app, route, context.app)
            for method in context.methods or ("GET",):
                if method == "HEAD" and "GET" in (context.methods or ()):
                    continue
                self._tree.add(method, context.path, _Target(handler, method, context.path))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise TypeError(f"The gateway answers HTTP only, not {scope['type']}")
        started = perf_counter()
        raw_path: bytes = scope["raw_path"]
        request = self._enter(scope)
        added: tuple[Header, ...] = ((b"x-request-id", request.request_id.encode()),)
        if not raw_path.startswith(_NO_CORS):
            added += CORS
        if self._drain.draining:
            added += (CLOSE,)
        exchange = Exchange(scope, send, added, self._compression)
        self._active.value += 1
        target: _Target | None = None
        status = 0
        try:
            method: str = scope["method"]
            if method == "OPTIONS":
                await _no_content(exchange.send)
            else:
                leaf, params = self._route(method, raw_path, scope)
                target = leaf.target
                if self._telemetry.tracing:
                    self._telemetry.begin(
                        request,
                        f"{method} {target.template}",
                        {"http.request.method": method, "http.route": target.template},
                    )
                assert target.handler is not None
                await target.handler(scope, receive, exchange.send, params)
                if exchange.status == 0:
                    logger.error("A handler gave no answer", extra={"data": {"route": target.template}})
                    await send_error(exchange.send, INTERNAL)
        except ClientGone:
            status = exchange.status or _GONE
        except Exception as error:
            matrix = to_matrix(error)
            if exchange.status:
                # The answer is half sent: nothing but an end of the connection can tell the client.
                logger.exception("A handler failed in the middle of its answer")
                raise
            if matrix is None:
                logger.exception("A handler failed")
                matrix = INTERNAL
            await send_error(exchange.send, matrix)
        finally:
            self._active.value -= 1
            self._leave(scope, request, target, status or exchange.status or _GONE, perf_counter() - started)

    def _enter(self, scope: Scope) -> RequestContext:
        """Who sent it, and under which id and trace."""
        client = scope.get("client")
        peer: str = client[0] if client else ""
        scope["plexus.max_body"] = self._max_body
        if not self._any_proxies or not self._proxies.trusts(peer):
            scope["client_addr"] = peer
            request = RequestContext(new_request_id())
        else:
            headers: list[Header] = scope["headers"]
            scope["client_addr"] = peer
            request_id = None
            parent = None
            for name, value in headers:
                if name not in self._told_by_proxies:
                    continue
                if name == self._proxies.header:
                    scope["client_addr"] = self._proxies.client(peer, headers)
                elif name == b"x-forwarded-proto":
                    scope["scheme"] = "https" if value.strip().lower() == b"https" else "http"
                elif name == b"x-request-id":
                    text = value.decode("latin-1")
                    request_id = text if usable_request_id(text) else None
                elif name == b"traceparent":
                    parent = parse_traceparent(value.decode("latin-1"))
            request = RequestContext(request_id or new_request_id(), parent)
        request.peer = scope.get("plexus.peer")
        REQUEST.set(request)
        return request

    def _route(self, method: str, raw_path: bytes, scope: Scope) -> tuple[Leaf[_Target], dict[str, str]]:
        query: bytes = scope["query_string"]
        if len(raw_path) + len(query) > self._max_url:
            raise MatrixError(414, "M_TOO_LARGE", "The address is too long")
        if b"%00" in query:
            raise InvalidParam("The query string has a NUL")
        leaf = self._tree.literal(method, raw_path)
        if leaf is not None:
            return leaf, {}
        segments = segments_of(raw_path)
        found = self._tree.find(method, segments)
        if found is None and method == "HEAD":
            found = self._tree.find("GET", segments)
        if found is not None:
            return found
        allowed = self._tree.methods(segments)
        if not allowed:
            raise Unrecognized
        raise MethodNotAllowed(headers={"Allow": ", ".join(sorted({*allowed, "OPTIONS"}))})

    def _leave(
        self, scope: Scope, request: RequestContext, target: _Target | None, status: int, seconds: float
    ) -> None:
        method = scope["method"]
        if target is None:
            name = method if method in _METHODS else "_OTHER"
            target = self._unrouted.get(name)
            if target is None:
                target = self._unrouted[name] = _Target(None, name, "")
        scheme: str = scope["scheme"]
        key = status if scheme == "http" else -status
        cell = target.cells.get(key)
        if cell is None:
            attributes = {
                "http.request.method": target.method,
                "http.response.status_code": status,
                "url.scheme": scheme,
            }
            if target.template:
                attributes["http.route"] = target.template
            if status >= 500:
                attributes["error.type"] = str(status)
            cell = target.cells[key] = self._durations.labels(attributes)
        if request.span is None:
            cell.record(seconds)
        else:
            context = request.span.get_span_context()
            cell.record_traced(seconds, context.trace_id, context.span_id)
            request.span.set_attribute("http.response.status_code", status)
            if status >= 500:
                request.span.set_status(Status(StatusCode.ERROR))
            request.span.end()
        if request.delivery is not None:
            request.delivery.end()
        if status >= self._log_from and logger.isEnabledFor(logging.INFO):
            data = {
                "method": method,
                "route": target.template,
                "status": status,
                "ms": round(seconds * 1000, 2),
                "client": scope["client_addr"],
            }
            logger.info("request", extra={"data": data})


async def _no_content(send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _fastapi_handler(app: FastAPI, route: StarletteRoute, endpoint: ASGIApp) -> HotHandler:
    """Call FastAPI's application for one route, in the surroundings that its own routing would have made."""
    handlers: dict[Any, Any] = {
        kind: handler for kind, handler in app.exception_handlers.items() if not isinstance(kind, int)
    }
    by_status = {kind: handler for kind, handler in app.exception_handlers.items() if isinstance(kind, int)}
    both = (handlers, by_status)

    async def handle(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        scope["app"] = app
        scope["router"] = app.router
        scope["route"] = route
        scope["endpoint"] = route.endpoint
        scope["path_params"] = params
        scope["starlette.exception_handlers"] = both
        async with AsyncExitStack() as stack:
            # FastAPI closes uploaded files with it, and insists on it where there are none.
            scope["fastapi_middleware_astack"] = stack
            await endpoint(scope, receive, send)

    return handle

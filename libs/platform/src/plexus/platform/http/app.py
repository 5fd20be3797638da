"""FastAPI with Matrix's manners.

`make_app` gives an application whose routes take any Content-Type for JSON (browsers and curl send what they
like), parse bodies with the protocol's own rules, bound their size, answer with orjson and turn faults into
standard errors. An empty body counts as ``{}``: many endpoints have nothing but optional members.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from plexus.platform.http.errors import HANDLERS
from plexus.platform.http.hot import read_body
from plexus.protocol.canonical_json import decode_request
from starlette.datastructures import Headers
from starlette.responses import Response

DEFAULT_MAX_BODY = 1_048_576
"""Bytes, for applications outside of a gateway; the gateway sets the limit from ``http.max_body_bytes``."""


class MatrixResponse(Response):
    """JSON by orjson. Give it plain values: models are dumped by FastAPI before."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class _MatrixRequest(Request):
    """A request whose JSON has been parsed, whatever its Content-Type says."""

    def __init__(self, request: Request, body: bytes, parsed: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._body = body
        self._json = parsed
        # Without a Content-Type FastAPI asks for `json()`, which finds what was parsed.
        self._headers = Headers(raw=[item for item in request.scope["headers"] if item[0] != b"content-type"])


class MatrixRoute(APIRoute):
    """The route class of every router: ``APIRouter(route_class=MatrixRoute)`` or `make_router`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_json(request: Request) -> Response:
            limit: int = request.scope.get("plexus.max_body", DEFAULT_MAX_BODY)
            raw = await read_body(request.receive, limit)
            parsed = decode_request(raw) if raw else {}
            return await handle(_MatrixRequest(request, raw or b"{}", parsed))

        return handle_json


def make_router(**options: Any) -> APIRouter:
    """A router of `MatrixRoute`s."""
    return APIRouter(
        route_class=MatrixRoute, default_response_class=MatrixResponse, strict_content_type=False, **options
    )


def make_app(title: str) -> FastAPI:
    """An application for a `plexus.platform.service.Service`; its middleware belongs into the gateway."""
    app = FastAPI(
        title=title,
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=MatrixResponse,
        strict_content_type=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.route_class = MatrixRoute
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return app

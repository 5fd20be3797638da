"""The HTTP kit: how Plexus listens, finds the route, and answers.

1. `make_app` gives a service its FastAPI application; routers are made by `make_router`.
2. What is called most is a `HotRoute`: plain ASGI, no FastAPI.
3. One `Gateway` finds the route for every request of every service in a tree of path segments, and does what
   is common to all: percent-decoding, CORS, errors, the true client address, metrics, traces, the access log.
4. `serve` listens on all ports and leaves in order when told to.

It knows no tokens: see `Authenticator`.
"""

from plexus.platform.http.app import MatrixResponse, MatrixRoute, make_app, make_router
from plexus.platform.http.body import Body
from plexus.platform.http.gateway import Gateway
from plexus.platform.http.hot import (
    ASGIApp,
    ClientGone,
    HotHandler,
    HotRoute,
    Receive,
    Scope,
    Send,
    bearer,
    query,
    read_body,
    send_json,
)
from plexus.platform.http.internal import internal_app
from plexus.platform.http.openapi import openapi_of
from plexus.platform.http.requester import (
    Authenticator,
    OptionalUser,
    Requester,
    User,
    optional_user,
    require_user,
)
from plexus.platform.http.serve import Addresses, freeze_garbage, run, serve
from plexus.platform.http.sockets import ListenError

__all__ = [
    "ASGIApp",
    "Addresses",
    "Authenticator",
    "Body",
    "ClientGone",
    "Gateway",
    "HotHandler",
    "HotRoute",
    "ListenError",
    "MatrixResponse",
    "MatrixRoute",
    "OptionalUser",
    "Receive",
    "Requester",
    "Scope",
    "Send",
    "User",
    "bearer",
    "freeze_garbage",
    "internal_app",
    "make_app",
    "make_router",
    "openapi_of",
    "optional_user",
    "query",
    "read_body",
    "require_user",
    "run",
    "send_json",
    "serve",
]

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
    HotRoute,
    Receive,
    Scope,
    Send,
    bearer,
    query,
    read_body,
    send_json,
)
from plexus.platform.http.requester import (
    Authenticator,
    OptionalUser,
    Requester,
    User,
    optional_user,
    require_user,
)

__all__ = [
    "ASGIApp",
    "Authenticator",
    "Body",
    "ClientGone",
    "Gateway",
    "HotRoute",
    "MatrixResponse",
    "MatrixRoute",
    "OptionalUser",
    "Receive",
    "Requester",
    "Scope",
    "Send",
    "User",
    "bearer",
    "make_app",
    "make_router",
    "optional_user",
    "query",
    "read_body",
    "require_user",
    "send_json",
]

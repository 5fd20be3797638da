"""Who is asking.

The kit knows how a token travels; whom it belongs to is the business of an `Authenticator`, which the
service puts into ``app.state.authenticator``.

Client-Server API, "Using access tokens".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request
from plexus.platform.http.hot import bearer
from plexus.protocol.errors import MissingToken


@dataclass(frozen=True, slots=True)
class Requester:
    """``token_hash`` is the SHA-256 of the access token, ``lane`` the user's lane."""

    user_id: str
    device_id: str | None
    token_hash: bytes
    is_guest: bool
    lane: int


class Authenticator(Protocol):
    async def authenticate(self, token: str, address: str | None) -> Requester:
        """Whose token this is; raises `UnknownToken`. ``address``: where the client is, which the gateway
        has put into ``scope["client_addr"]``; no default, lest a service forget it.
        """
        ...


async def require_user(request: Request) -> Requester:
    """The requester; `MissingToken` or `UnknownToken` if there is none."""
    token = bearer(request.scope)
    if token is None:
        raise MissingToken
    authenticator: Authenticator = request.app.state.authenticator
    return await authenticator.authenticate(token, request.scope.get("client_addr"))


async def optional_user(request: Request) -> Requester | None:
    """The requester, or None when no token was sent; a wrong token is still `UnknownToken`."""
    token = bearer(request.scope)
    if token is None:
        return None
    authenticator: Authenticator = request.app.state.authenticator
    return await authenticator.authenticate(token, request.scope.get("client_addr"))


User = Annotated[Requester, Depends(require_user)]
OptionalUser = Annotated[Requester | None, Depends(optional_user)]

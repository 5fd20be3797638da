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
from plexus.protocol.errors import MissingToken, UserSuspended
from plexus.protocol.suspension import is_permitted


@dataclass(frozen=True, slots=True)
class Requester:
    """``token_hash`` is the SHA-256 of the access token, ``lane`` the user's lane. Who is suspended may do
    little: `require_user` sees to it, and each hot route must.
    """

    user_id: str
    device_id: str | None
    token_hash: bytes
    is_guest: bool
    lane: int
    is_suspended: bool = False


class Authenticator(Protocol):
    async def authenticate(self, token: str, address: str | None) -> Requester:
        """Whose token this is; raises `UnknownToken` or `UserLocked`. ``address``: where the client is, which
        the gateway has put into ``scope["client_addr"]``; no default, lest a service forget it.
        """
        ...


async def require_user(request: Request) -> Requester:
    """The requester; `MissingToken`, `UnknownToken` or `UserLocked` if there is none, `UserSuspended` if they
    may not do this now.
    """
    requester = await optional_user(request)
    if requester is None:
        raise MissingToken
    return requester


async def optional_user(request: Request) -> Requester | None:
    """The requester, or None when no token was sent; a wrong token is still `UnknownToken`."""
    token = bearer(request.scope)
    if token is None:
        return None
    authenticator: Authenticator = request.app.state.authenticator
    requester = await authenticator.authenticate(token, request.scope.get("client_addr"))
    if requester.is_suspended:
        refuse_suspended(request)
    return requester


def refuse_suspended(request: Request) -> None:
    """`UserSuspended` unless the operation is one that a suspended user may call."""
    operation_id = getattr(request.scope["route"], "operation_id", None)
    if not is_permitted(request.method, operation_id):
        raise UserSuspended


User = Annotated[Requester, Depends(require_user)]
OptionalUser = Annotated[Requester | None, Depends(optional_user)]

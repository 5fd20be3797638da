"""Endpoints whose path names a user that must be the one who asks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request
from plexus.client_api.params import USER_ID_SCHEMA
from plexus.platform.http import Requester, User
from plexus.protocol.errors import Forbidden, GuestAccessForbidden
from plexus.protocol.identifiers import check_user_id
from pydantic import AfterValidator, WithJsonSchema

UserId = Annotated[
    str,
    Path(alias="userId", description="The user ID."),
    AfterValidator(check_user_id),
    WithJsonSchema(USER_ID_SCHEMA),
]


async def require_own_user(requester: User, user_id: UserId) -> Requester:
    """The requester, who is the user of the path; else `Forbidden`. No guest: what they have of their own is
    their display name, which has a check of its own. Client-Server API, "Guest Access".
    """
    if requester.is_guest:
        raise GuestAccessForbidden
    if user_id != requester.user_id:
        raise Forbidden("You may do this for yourself only")
    return requester


OwnUser = Annotated[Requester, Depends(require_own_user)]


def address_of(request: Request) -> str:
    """Where the request comes from, as the gateway has found out: what limits by address count."""
    found: str | None = request.scope.get("client_addr")
    if found is not None:
        return found
    return request.client.host if request.client is not None else "unknown"


Address = Annotated[str, Depends(address_of)]

"""What every endpoint of this service stands on, and how it gets it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from plexus.client_api.identity_servers import IdentityServers
from plexus.client_api.membership.guests import GuestAccess
from plexus.client_api.profiles.room_tasks import RoomTasks
from plexus.client_api.upgrade.following import Following
from plexus.platform.context import Platform
from plexus.platform.http import Requester, User, bearer
from plexus.protocol.errors import Forbidden, GuestAccessForbidden, MissingToken
from plexus.rooms import Rooms
from plexus.users import Users


@dataclass(slots=True)
class ClientApi:
    """The service's parts, made once by `plexus.client_api.root.build`."""

    platform: Platform
    rooms: Rooms
    users: Users
    identity: IdentityServers
    room_tasks: RoomTasks = field(init=False)
    following: Following = field(init=False)
    guests: GuestAccess = field(init=False)

    def __post_init__(self) -> None:
        self.room_tasks = RoomTasks(self.rooms, self.users)
        self.following = Following(self.rooms, self.users)
        self.guests = GuestAccess(self.rooms, self.users)

    @property
    def server_name(self) -> str:
        return self.platform.settings.server_name


def deps(request: Request) -> ClientApi:
    """The `ClientApi` of the application that answers ``request``."""
    found: ClientApi = request.app.state.deps
    return found


async def require_full_user(requester: User) -> Requester:
    """A requester who is not a guest. Client-Server API, "Guest Access": guests may use the listed endpoints
    only.
    """
    if requester.is_guest:
        raise GuestAccessForbidden
    return requester


async def require_user_even_locked(request: Request) -> Requester:
    """The requester, whose account may be locked or suspended: for logging out."""
    token = bearer(request.scope)
    if token is None:
        raise MissingToken
    address: str | None = request.scope.get("client_addr")
    return await deps(request).users.authenticate(token, address, even_locked=True)


async def require_admin(api: Annotated[ClientApi, Depends(deps)], requester: User) -> Requester:
    """An administrator of this server, read anew each time; else `Forbidden`."""
    account = await api.users.account(requester.user_id)
    if account is None or not account.is_admin:
        raise Forbidden("You are not an administrator of this server")
    return requester


Deps = Annotated[ClientApi, Depends(deps)]
FullUser = Annotated[Requester, Depends(require_full_user)]
EvenLockedUser = Annotated[Requester, Depends(require_user_even_locked)]
Admin = Annotated[Requester, Depends(require_admin)]

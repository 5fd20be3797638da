"""Addresses on identity servers: bound to a user, unbound again, and those that one of them has validated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from plexus.client_api.deps import ClientApi
from plexus.client_api.identity_servers import IdentityServers, UnbindUnsupported
from plexus.client_api.threepids.models import Binding as BindRequest
from plexus.client_api.threepids.models import Removal, ThreePidCreds, check_email
from plexus.platform.http import Requester
from plexus.protocol.errors import (
    MatrixError,
    ThreepidAuthFailed,
    ThreepidInUse,
    ThreepidMediumNotSupported,
)
from plexus.users import Binding, Users

log = logging.getLogger(__name__)

_NOT_VALIDATED = frozenset({"M_SESSION_NOT_VALIDATED", "M_SESSION_EXPIRED", "M_NO_VALID_SESSION"})


async def bind(api: ClientApi, requester: Requester, body: BindRequest) -> None:
    """``bind3PID``: with the errors of the identity server."""
    api.identity.require_trusted(body.id_server)
    await api.platform.limits.check("account", requester.user_id)
    bound = await api.identity.bind(
        body.id_server, body.id_access_token, body.sid, body.client_secret, requester.user_id
    )
    # If this process dies here the client has no answer, and its retry is the same binding.
    await api.users.add_binding(requester.user_id, bound)


async def add_validated(api: ClientApi, requester: Requester, creds: ThreePidCreds) -> None:
    """``post3PIDs``: add an address that the identity server has validated, without binding it."""
    api.identity.require_trusted(creds.id_server)
    await api.platform.limits.check("account", requester.user_id)
    try:
        medium, address, validated_ts = await api.identity.validated(
            creds.id_server, creds.id_access_token, creds.sid, creds.client_secret
        )
    except MatrixError as error:
        if error.errcode in _NOT_VALIDATED:
            raise ThreepidAuthFailed(error.message) from error
        raise
    if medium != "email":
        raise ThreepidMediumNotSupported
    added = await api.users.add_email(
        requester.user_id, check_email(address), validated_ts, id_server=creds.id_server
    )
    if not added:
        raise ThreepidInUse


async def unbind(api: ClientApi, requester: Requester, body: Removal) -> str:
    """``unbind3pidFromAccount``: success, or no-support; with the errors of the identity server."""
    await api.platform.limits.check("account", requester.user_id)
    wanted = await bound_on(api, requester.user_id, body)
    result = "success" if wanted else "no-support"
    for binding in wanted:
        try:
            await _forget(api.identity, api.users, requester.user_id, binding)
        except UnbindUnsupported:
            result = "no-support"
    return result


async def unbind_removed(api: ClientApi, user_id: str, wanted: list[Binding]) -> str:
    """For an address that is removed whatever identity servers say to it."""
    if wanted and await unbind_all(api.identity, api.users, user_id, wanted):
        return "success"
    return "no-support"


async def bound_on(api: ClientApi, user_id: str, body: Removal) -> list[Binding]:
    """Where to unbind: on the server that the request names, else on all through which it was bound or
    added.
    """
    address = body.address.lower() if body.medium == "email" else body.address
    if body.id_server is not None:
        api.identity.require_trusted(body.id_server)
        return [Binding(body.medium, address, body.id_server)]
    known = await api.users.bindings(user_id)
    servers = {each.id_server for each in known if (each.medium, each.address) == (body.medium, address)}
    servers |= {
        each.id_server
        for each in await api.users.threepids(user_id)
        if (each.medium, each.address) == (body.medium, address) and each.id_server is not None
    }
    return [Binding(body.medium, address, server) for server in sorted(servers)]


async def all_bindings(api: ClientApi, user_id: str, id_server: str | None) -> list[Binding]:
    """What a deactivated account leaves to be unbound: on the server given, or on those that have it."""
    known = await api.users.bindings(user_id)
    if id_server is None:
        return known
    api.identity.require_trusted(id_server)
    addresses = {(each.medium, each.address) for each in known}
    addresses |= {(each.medium, each.address) for each in await api.users.threepids(user_id)}
    return [Binding(medium, address, id_server) for medium, address in sorted(addresses)]


async def unbind_all(
    identity: IdentityServers, users: Users, user_id: str, wanted: Sequence[Binding]
) -> bool:
    """Unbind what can be; False if an identity server does not. What is left is remembered."""
    results = await asyncio.gather(*(_tried(identity, users, user_id, binding) for binding in wanted))
    return all(results)


class Unbinder:
    """Unbinds what a closed account has left bound because the process that closed it died."""

    def __init__(self, identity: IdentityServers, users: Users) -> None:
        self._identity = identity
        self._users = users

    async def unbind(self, user_id: str) -> bool:
        """Tried once: an identity server that is gone for good must not keep a task for ever."""
        wanted = await self._users.bindings(user_id)
        return await unbind_all(self._identity, self._users, user_id, wanted)


async def _forget(identity: IdentityServers, users: Users, user_id: str, binding: Binding) -> None:
    await identity.unbind(user_id, binding)
    await users.delete_binding(user_id, binding)


async def _tried(identity: IdentityServers, users: Users, user_id: str, binding: Binding) -> bool:
    try:
        await _forget(identity, users, user_id, binding)
    except (UnbindUnsupported, MatrixError) as error:
        log.info("%s has not unbound an address: %s", binding.id_server, error)
        return False
    return True

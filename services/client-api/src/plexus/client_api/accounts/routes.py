"""Accounts and sessions. Client-Server API, "Legacy API" of the client authentication, and "Account
management".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from plexus.client_api.accounts import service
from plexus.client_api.accounts.models import (
    Deactivation,
    Login,
    LoginTokenRequest,
    PasswordChange,
    Refresh,
    Registration,
    SharedSecretRegistration,
)
from plexus.client_api.accounts.shared_secret import make_nonce
from plexus.client_api.deps import Deps, EvenLockedUser, FullUser
from plexus.client_api.own_user import Address
from plexus.client_api.threepids.binding import unbind_all
from plexus.platform.http import OptionalUser, User, make_router
from plexus.protocol.errors import Forbidden, GuestAccessForbidden
from plexus.users.short_tokens import LOGIN_LIFE_MS
from plexus.users.uia import PASSWORD, TOKEN

router = make_router(tags=["Session management"])

V3 = "/_matrix/client/v3"
Json = dict[str, Any]


@router.post(V3 + "/register", operation_id="register")
async def register(
    api: Deps,
    address: Address,
    body: Registration,
    kind: Annotated[Literal["user", "guest"], Query(description="The kind of account.")] = "user",
) -> Json:
    """Client-Server API, "Account registration"."""
    if kind == "guest":
        return await service.register_guest(api, body.initial_device_display_name, address)
    return await service.register(api, body, address)


@router.get(V3 + "/register/available", operation_id="checkUsernameAvailability")
async def check_username_availability(
    api: Deps, address: Address, username: Annotated[str, Query(description="The localpart.")]
) -> Json:
    """Client-Server API, "Account registration"."""
    if api.platform.settings.registration.mode == "closed":
        raise Forbidden("Registration is disabled")
    # A fifth of an attempt: a form asks at each pause in typing, a search for names asks more.
    await api.platform.limits.check("registration", address, 0.2)
    await api.users.check_available(username)
    return {"available": True}


@router.get(
    "/_matrix/client/v1/register/m.login.registration_token/validity",
    operation_id="registrationTokenValidity",
)
async def registration_token_validity(
    api: Deps, address: Address, token: Annotated[str, Query(description="The token.")]
) -> Json:
    """Client-Server API, "Token-authenticated registration"."""
    if api.platform.settings.registration.mode == "closed":
        raise Forbidden("Registration is disabled")
    await api.platform.limits.check("registration", address)
    return {"valid": await api.users.registration_token_is_valid(token)}


@router.get(V3 + "/login", operation_id="getLoginFlows")
async def get_login_flows(api: Deps, address: Address) -> Json:
    """Client-Server API, "Login"."""
    await api.platform.limits.check("login_flows", address)
    return {"flows": [{"type": PASSWORD}, {"type": TOKEN, "get_login_token": True}]}


@router.post(V3 + "/login", operation_id="login")
async def login(api: Deps, address: Address, body: Login) -> Json:
    """Client-Server API, "Login"."""
    return await service.login(api, body, address)


@router.post("/_matrix/client/v1/login/get_token", operation_id="generateLoginToken")
async def generate_login_token(
    api: Deps, requester: FullUser, address: Address, body: LoginTokenRequest
) -> Json:
    """A token for one login of another client, after user-interactive authentication."""
    token = await service.generate_login_token(api, requester, body, address)
    return {"login_token": token, "expires_in_ms": LOGIN_LIFE_MS}


@router.post(V3 + "/refresh", operation_id="refresh")
async def refresh(api: Deps, body: Refresh) -> Json:
    """Client-Server API, "Refreshing access tokens"."""
    session = await api.users.refresh(body.refresh_token)
    answer = service.session_json(session)
    return {name: answer[name] for name in ("access_token", "refresh_token", "expires_in_ms")}


@router.post(V3 + "/logout", operation_id="logout")
async def logout(api: Deps, requester: EvenLockedUser) -> Json:
    """Client-Server API, "Logout"."""
    if requester.device_id is not None:
        await api.users.logout(requester.user_id, requester.device_id)
    return {}


@router.post(V3 + "/logout/all", operation_id="logout_all")
async def logout_all(api: Deps, requester: EvenLockedUser) -> Json:
    """Client-Server API, "Logout"."""
    await api.users.logout_all(requester.user_id)
    return {}


@router.get(V3 + "/account/whoami", operation_id="getTokenOwner")
async def get_token_owner(requester: User) -> Json:
    """Client-Server API, "Current account information"."""
    answer: Json = {"user_id": requester.user_id, "is_guest": requester.is_guest}
    if requester.device_id is not None:
        answer["device_id"] = requester.device_id
    return answer


@router.post(V3 + "/account/password", operation_id="changePassword")
async def change_password(api: Deps, requester: OptionalUser, address: Address, body: PasswordChange) -> Json:
    """Client-Server API, "Password management"."""
    if requester is not None and requester.is_guest:
        raise GuestAccessForbidden
    await service.change_password(api, body, requester, address)
    return {}


@router.post(V3 + "/account/deactivate", operation_id="deactivateAccount")
async def deactivate_account(
    api: Deps, requester: OptionalUser, address: Address, body: Deactivation
) -> Json:
    """Client-Server API, "Account deactivation"."""
    if requester is not None and requester.is_guest:
        raise GuestAccessForbidden
    user_id, bindings = await service.deactivate(api, body, requester, address)
    # Before the rooms: what is owed to those is what the worker goes by if this process dies.
    unbound = await unbind_all(api.identity, api.users, user_id, bindings)
    await api.room_tasks.begin(user_id)
    return {"id_server_unbind_result": "success" if unbound else "no-support"}


@router.get("/_synapse/admin/v1/register", operation_id="getSharedSecretNonce")
async def get_shared_secret_nonce(api: Deps) -> Json:
    """A nonce for `register_by_shared_secret`."""
    return {"nonce": make_nonce(service.shared_secret(api), api.platform.clock.now_ms())}


@router.post("/_synapse/admin/v1/register", operation_id="registerBySharedSecret")
async def register_by_shared_secret(api: Deps, address: Address, body: SharedSecretRegistration) -> Json:
    """The HMAC flow of Synapse's tools."""
    return await service.register_by_secret(api, body, address)

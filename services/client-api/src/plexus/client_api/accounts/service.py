"""What the endpoints about accounts do beyond the users library: which flows are offered, and to whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.client_api.accounts.flows import registration_flows
from plexus.client_api.accounts.models import (
    Deactivation,
    Login,
    LoginTokenRequest,
    PasswordChange,
    Registration,
    SharedSecretRegistration,
)
from plexus.client_api.accounts.shared_secret import check_mac, check_nonce
from plexus.client_api.deps import ClientApi
from plexus.client_api.threepids.binding import all_bindings
from plexus.client_api.threepids.stages import email_stage
from plexus.platform.http import Requester
from plexus.protocol.errors import (
    Forbidden,
    GuestAccessForbidden,
    InvalidParam,
    MatrixError,
    MissingParam,
    ThreepidAuthFailed,
    UnknownToken,
    UserInUse,
    UserLocked,
    UserSuspended,
)
from plexus.users import Binding, NewDevice, Session, check_password_policy
from plexus.users.uia import (
    EMAIL,
    PASSWORD,
    REGISTRATION_TOKEN,
    TOKEN,
    Stage,
    Uia,
    authenticate,
    text_of,
    user_of,
)

Json = dict[str, Any]

_NO_GUEST = "guest_access_token is not the access token of a guest"


def session_json(session: Session) -> Json:
    """The answer to a login or registration."""
    answer: Json = {
        "user_id": session.user_id,
        "device_id": session.device_id,
        "access_token": session.access_token,
    }
    if session.refresh_token is not None:
        answer["refresh_token"] = session.refresh_token
    if session.expires_in_ms is not None:
        answer["expires_in_ms"] = session.expires_in_ms
    return answer


async def register_guest(api: ClientApi, display_name: str | None, address: str) -> Json:
    """All parameters but the device's name are ignored."""
    if not api.platform.settings.registration.guests:
        raise GuestAccessForbidden("Guests may not register here")
    await api.platform.limits.check("registration", address)
    _, session = await api.users.register(None, None, guest=True, device=NewDevice(display_name=display_name))
    assert session is not None
    return session_json(session)


async def register(api: ClientApi, body: Registration, address: str) -> Json:
    """What can be refused without authentication is refused before it. Client-Server API, ``register``."""
    mode = api.platform.settings.registration.mode
    if mode == "closed":
        raise Forbidden("Registration is disabled")
    # Asking for the flows is free; trying to get through them is not.
    await api.platform.limits.check("registration", address, 0 if body.auth is None else 1)
    guest = None if body.guest_access_token is None else await _guest(api, body)
    if guest is None and body.username is not None:
        if body.username == api.platform.settings.server_notices.localpart:
            raise UserInUse
        await api.users.check_available(body.username)
    if body.password is not None:
        check_password_policy(api.platform.settings.passwords, body.password)
    results = await authenticate(api.users, registration_flows(api, mode), _raw(body))
    if body.password is None:
        raise MissingParam("password is missing")
    email = results.get(EMAIL)
    if email is not None and not await api.users.end_email_validation(email["sid"]):
        raise ThreepidAuthFailed("This address has been used")
    device = None if body.inhibit_login else body.new_device()
    token = results.get(REGISTRATION_TOKEN)
    if guest is not None:
        user_id = guest
        session = await api.users.upgrade_guest(guest, body.password, device=device, registration_token=token)
    else:
        user_id, session = await api.users.register(
            body.username, body.password, device=device, registration_token=token
        )
    if email is not None:
        # An address that another account has got since stays with that one.
        await api.users.add_email(user_id, email["email"], email["validated_ts"])
    return {"user_id": user_id} if session is None else session_json(session)


async def _guest(api: ClientApi, body: Registration) -> str:
    """Which guest becomes a user, by ``guest_access_token``; ``username`` must be theirs. Client-Server API,
    "Guest Access".
    """
    assert body.guest_access_token is not None
    try:
        requester = await api.users.authenticate(body.guest_access_token)
    except (UnknownToken, UserLocked):
        # Not their 401, which here means that there are stages left.
        raise Forbidden(_NO_GUEST) from None
    if not requester.is_guest:
        raise Forbidden(_NO_GUEST)
    if requester.is_suspended:
        raise UserSuspended
    if body.username is None:
        raise MissingParam("username is missing")
    if api.users.user_id_for(body.username) != requester.user_id:
        raise InvalidParam("username is not the guest's")
    return requester.user_id


async def login(api: ClientApi, body: Login, address: str) -> Json:
    if body.type == TOKEN:
        await api.platform.limits.check("login_address", address)
        return session_json(await api.users.login_token(text_of(_raw(body), "token"), body.new_device()))
    if body.type != PASSWORD:
        raise MatrixError(400, "M_UNKNOWN", "Bad login type")
    raw = _raw(body)
    session = await api.users.login_password(
        await user_named(api, raw), text_of(raw, "password"), body.new_device(), address=address
    )
    return session_json(session)


async def generate_login_token(
    api: ClientApi, requester: Requester, body: LoginTokenRequest, address: str
) -> str:
    """Stricter limited than other changes of an account: each one is a new client."""
    await api.platform.limits.check("account", requester.user_id, 0 if body.auth is None else 5)
    await authenticate_by_password(api, "generateLoginToken", _raw(body), requester, address)
    return await api.users.make_login_token(requester.user_id)


async def user_named(api: ClientApi, auth: Mapping[str, Any]) -> str:
    """As `user_of`, and whose email address it is that ``auth`` names. "Identifier types"."""
    identifier = auth.get("identifier")
    if not isinstance(identifier, Mapping) or identifier.get("type") != "m.id.thirdparty":
        return user_of(auth)
    medium, address = text_of(identifier, "medium"), text_of(identifier, "address")
    if medium != "email" or "\0" in address:
        return ""
    return await api.users.user_of_email(address.lower()) or ""


def password_stage(api: ClientApi, user_id: str | None, address: str) -> Stage:
    """``m.login.password``: gives the user ID. With ``user_id`` it must be that user's password."""

    async def stage(auth: Mapping[str, Any]) -> str:
        account = await api.users.check_password(
            await user_named(api, auth), text_of(auth, "password"), address=address
        )
        if user_id is not None and account.user_id != user_id:
            raise Forbidden("This is the password of another user")
        return account.user_id

    return stage


def owner_stage(api: ClientApi, user_id: str | None) -> Stage:
    """``m.login.email.identity`` by the address of an account: as `email_stage`, with its ``user_id``, which
    must be the one given. `UserLocked`.
    """

    async def stage(auth: Mapping[str, Any]) -> Any:
        found = await email_stage(api, "password")(auth)
        owner = await api.users.user_of_email(found["email"], validated_here=True)
        if owner is None or (user_id is not None and owner != user_id):
            raise ThreepidAuthFailed("This is not the address of the account")
        account = await api.users.account(owner)
        if account is not None and account.locked:
            raise UserLocked
        return {**found, "user_id": owner}

    return stage


async def authenticate_by_password(
    api: ClientApi,
    operation: str,
    body: Mapping[str, Any],
    requester: Requester | None,
    address: str,
    *,
    target: str = "",
) -> str:
    """User-interactive authentication with the password; the user ID."""
    user_id = None if requester is None else requester.user_id
    uia = Uia(operation, user_id or "", [(PASSWORD,)], {PASSWORD: password_stage(api, user_id, address)})
    return _checked((await authenticate(api.users, uia, body, target=target))[PASSWORD], user_id)


def _checked(found: str, user_id: str | None) -> str:
    """Whose password it was: on a fallback page, which does not know who asks, it may be anybody's."""
    if user_id is not None and found != user_id:
        raise Forbidden("This is the password of another user")
    return found


async def change_password(
    api: ClientApi, body: PasswordChange, requester: Requester | None, address: str
) -> None:
    """The requester's own token stays good."""
    check_password_policy(api.platform.settings.passwords, body.new_password)
    await _limit_account(api, requester, address)
    subject = None if requester is None else requester.user_id
    flows: list[tuple[str, ...]] = [(PASSWORD,)]
    if api.platform.settings.email.enabled:
        flows.append((EMAIL,))
    stages = {PASSWORD: password_stage(api, subject, address), EMAIL: owner_stage(api, subject)}
    uia = Uia("changePassword", subject or "", flows, stages)
    results = await authenticate(api.users, uia, _raw(body))
    if EMAIL in results:
        user_id = results[EMAIL]["user_id"]
        if not await api.users.end_email_validation(results[EMAIL]["sid"]):
            raise ThreepidAuthFailed("This address has been used")
    else:
        user_id = _checked(results[PASSWORD], subject)
    await api.users.change_password(
        user_id,
        body.new_password,
        keep_device=None if requester is None else requester.device_id,
        logout_devices=body.logout_devices,
    )


async def deactivate(
    api: ClientApi, body: Deactivation, requester: Requester | None, address: str
) -> tuple[str, list[Binding]]:
    """Close the account; the user ID, whose rooms are still to be left, and what is still to be unbound."""
    await _limit_account(api, requester, address)
    if body.id_server is not None:
        api.identity.require_trusted(body.id_server)
    user_id = await authenticate_by_password(api, "deactivateAccount", _raw(body), requester, address)
    # Read before the addresses go with the account.
    bindings = await all_bindings(api, user_id, body.id_server)
    await api.users.deactivate(user_id, erase=body.erase)
    return user_id, bindings


async def register_by_secret(api: ClientApi, body: SharedSecretRegistration, address: str) -> Json:
    """Whoever knows the secret may make accounts, whatever the mode of registration."""
    secret = shared_secret(api)
    await api.platform.limits.check("registration", address, 0)
    check_nonce(secret, body.nonce, api.platform.clock.now_ms())
    try:
        check_mac(secret, body)
    except Forbidden:
        await api.platform.limits.pay("registration", address)
        raise
    user_id, session = await api.users.register(
        body.username,
        body.password,
        admin=body.admin,
        device=None if body.inhibit_login else NewDevice(),
    )
    if body.displayname is not None:
        await api.users.set_profile_field(user_id, "displayname", body.displayname)
    answer = {"user_id": user_id} if session is None else session_json(session)
    return {**answer, "home_server": api.server_name}


def shared_secret(api: ClientApi) -> str:
    """The secret; ``M_UNKNOWN`` (400) as Synapse says it when there is none."""
    secret = api.platform.settings.registration.shared_secret
    if secret is None:
        raise MatrixError(400, "M_UNKNOWN", "Shared secret registration is not enabled")
    return secret.get_secret_value()


async def _limit_account(api: ClientApi, requester: Requester | None, address: str) -> None:
    await api.platform.limits.check("account", address if requester is None else requester.user_id)


def _raw(body: Registration | Login | LoginTokenRequest | PasswordChange | Deactivation) -> Json:
    """The body as it was sent."""
    return body.model_dump(exclude_unset=True)

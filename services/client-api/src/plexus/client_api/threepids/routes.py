"""Client-Server API, "Adding Account Administrative Contact Information", and the emails of registration and
password reset.
"""

from __future__ import annotations

from html import escape
from typing import Annotated, Any

from fastapi import Query, Request
from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.own_user import Address
from plexus.client_api.params import FORM
from plexus.client_api.threepids import binding, service, texts
from plexus.client_api.threepids.models import (
    Addition,
    Binding,
    EmailTokenRequest,
    MsisdnTokenRequest,
    Removal,
    ValidatedAddition,
    check_opaque,
)
from plexus.platform.http import make_router
from plexus.protocol.errors import ThreepidMediumNotSupported
from pydantic import AfterValidator
from starlette.responses import HTMLResponse, RedirectResponse, Response

router = make_router(tags=["Account management"])

V3 = "/_matrix/client/v3"
Json = dict[str, Any]
Sid = Annotated[str, Query(description="The validation's ID."), AfterValidator(check_opaque)]
Token = Annotated[str, Query(description="What was sent."), AfterValidator(check_opaque)]

_PAGE = {
    # The page has a token in its address: it is told to nobody, framed by nobody and kept by nobody.
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@router.get(V3 + "/account/3pid", operation_id="getAccount3PIDs")
async def get_account_3pids(api: Deps, requester: FullUser) -> Json:
    """The addresses of the account."""
    return {"threepids": await service.threepids(api, requester)}


@router.post(V3 + "/account/3pid/add", operation_id="add3PID")
async def add_3pid(api: Deps, requester: FullUser, address: Address, body: Addition) -> Json:
    """Add a validated address, after user-interactive authentication."""
    await service.add(api, requester, body, address)
    return {}


@router.post(V3 + "/account/3pid", operation_id="post3PIDs", deprecated=True)
async def post_3pids(api: Deps, requester: FullUser, body: ValidatedAddition) -> Json:
    """Add an address that an identity server has validated."""
    await binding.add_validated(api, requester, body.three_pid_creds)
    return {}


@router.post(V3 + "/account/3pid/bind", operation_id="bind3PID")
async def bind_3pid(api: Deps, requester: FullUser, body: Binding) -> Json:
    """Let an identity server tell others that an address is the user's."""
    await binding.bind(api, requester, body)
    return {}


@router.post(V3 + "/account/3pid/unbind", operation_id="unbind3pidFromAccount")
async def unbind_3pid_from_account(api: Deps, requester: FullUser, body: Removal) -> Json:
    """The end of that; the account keeps the address."""
    return {"id_server_unbind_result": await binding.unbind(api, requester, body)}


@router.post(V3 + "/account/3pid/delete", operation_id="delete3pidFromAccount")
async def delete_3pid_from_account(api: Deps, requester: FullUser, body: Removal) -> Json:
    """Remove an address, and unbind it where it was bound."""
    return {"id_server_unbind_result": await service.remove(api, requester, body)}


@router.post(V3 + "/account/3pid/email/requestToken", operation_id="requestTokenTo3PIDEmail")
async def request_token_to_3pid_email(api: Deps, address: Address, body: EmailTokenRequest) -> Json:
    """Validate an address that is to be added to an account."""
    return await service.request_email_token(api, "add", body, address)


@router.post(V3 + "/account/password/email/requestToken", operation_id="requestTokenToResetPasswordEmail")
async def request_token_to_reset_password_email(api: Deps, address: Address, body: EmailTokenRequest) -> Json:
    """Validate the address of an account whose password is forgotten."""
    return await service.request_email_token(api, "password", body, address)


@router.post(V3 + "/register/email/requestToken", operation_id="requestTokenToRegisterEmail")
async def request_token_to_register_email(api: Deps, address: Address, body: EmailTokenRequest) -> Json:
    """Validate the address of a new account."""
    return await service.request_email_token(api, "register", body, address)


@router.post(V3 + "/account/3pid/msisdn/requestToken", operation_id="requestTokenTo3PIDMSISDN")
async def request_token_to_3pid_msisdn(body: MsisdnTokenRequest) -> Json:
    """Phone numbers are not supported."""
    raise ThreepidMediumNotSupported


@router.post(V3 + "/account/password/msisdn/requestToken", operation_id="requestTokenToResetPasswordMSISDN")
async def request_token_to_reset_password_msisdn(body: MsisdnTokenRequest) -> Json:
    """Phone numbers are not supported."""
    raise ThreepidMediumNotSupported


@router.post(V3 + "/register/msisdn/requestToken", operation_id="requestTokenToRegisterMSISDN")
async def request_token_to_register_msisdn(body: MsisdnTokenRequest) -> Json:
    """Phone numbers are not supported."""
    raise ThreepidMediumNotSupported


@router.get(service.VALIDATE, operation_id="showEmailValidation", response_model=None)
async def show_email_validation(request: Request, sid: Sid, token: Token) -> Response:
    """The page behind the link. It only asks: what looks into links before people do confirms nothing."""
    action = escape(f"?{request.url.query}")
    form = f'<form method="post" action="{action}"><button>Confirm</button></form>'
    return HTMLResponse(texts.page("Is this your email address?", form), headers=_PAGE)


@router.post(service.VALIDATE, operation_id="validateEmail", response_model=None, openapi_extra=FORM)
async def validate_email(api: Deps, address: Address, sid: Sid, token: Token) -> Response:
    """The button of the page."""
    await api.platform.limits.check("email_token", address)
    found = await api.users.validate_email(sid, token)
    if found is None:
        gone = texts.page("This link is not good any more", "<p>Ask your client for a new email.</p>")
        return HTMLResponse(gone, 400, headers=_PAGE)
    if found[0] is not None:
        return RedirectResponse(found[0], 303, headers=_PAGE)
    return HTMLResponse(texts.page("Thank you", "<p>Go on in your client.</p>"), headers=_PAGE)

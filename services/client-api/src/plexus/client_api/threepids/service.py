"""Validating addresses, and adding them.

Whether an address belongs to an account is told by email to who reads that address, and to nobody else: every
answer is the same.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from plexus.client_api.accounts.service import authenticate_by_password
from plexus.client_api.deps import ClientApi
from plexus.client_api.threepids import binding, texts
from plexus.client_api.threepids.mail import send_email
from plexus.client_api.threepids.models import Addition, EmailTokenRequest, Removal
from plexus.platform.http import Requester
from plexus.protocol.errors import (
    Forbidden,
    ThreepidAuthFailed,
    ThreepidInUse,
    ThreepidMediumNotSupported,
    Unavailable,
)
from plexus.users.threepids import Purpose

VALIDATE = "/_plexus/email/validate"


async def request_email_token(
    api: ClientApi, purpose: Purpose, body: EmailTokenRequest, address: str
) -> dict[str, Any]:
    """The three ``…/email/requestToken``: the email is sent when this returns."""
    settings = api.platform.settings
    if not settings.email.enabled:
        raise ThreepidMediumNotSupported("This server sends no emails")
    if purpose == "register" and settings.registration.mode == "closed":
        raise Forbidden("Registration is disabled")
    await api.platform.limits.check("email", address)
    await api.platform.limits.check("email", body.email)
    begun = await api.users.begin_email_validation(
        purpose, body.email, body.client_secret, body.send_attempt, body.next_link
    )
    if begun.token is None:
        return {"sid": begun.sid}
    # What an identity server has validated is in use too, but no way back in.
    known = await api.users.user_of_email(body.email, validated_here=purpose == "password") is not None
    if known == (purpose == "password"):
        query = urlencode({"sid": begun.sid, "token": begun.token})
        link = f"{settings.public_base_url}{VALIDATE}?{query}"
        subject, text = texts.validation(settings.server_name, purpose, link)
    elif known:
        subject, text = texts.has_account(settings.server_name)
    else:
        subject, text = texts.no_account(settings.server_name)
    try:
        await send_email(settings, body.email, subject, text)
    except Unavailable:
        # Else the same attempt, made again, would be thought sent.
        await api.users.end_email_validation(begun.sid)
        raise
    return {"sid": begun.sid}


async def threepids(api: ClientApi, requester: Requester) -> list[dict[str, Any]]:
    return [
        {
            "medium": each.medium,
            "address": each.address,
            "validated_at": each.validated_ts,
            "added_at": each.added_ts,
        }
        for each in await api.users.threepids(requester.user_id)
    ]


async def add(api: ClientApi, requester: Requester, body: Addition, address: str) -> None:
    """``add3PID``: `ThreepidAuthFailed` unless the address is validated, `ThreepidInUse`."""
    await api.platform.limits.check("account", requester.user_id, 0 if body.auth is None else 1)
    raw = body.model_dump(exclude_unset=True)
    await authenticate_by_password(api, "add3PID", raw, requester, address)
    found = await api.users.validated_email("add", body.sid, body.client_secret)
    if found is None:
        raise ThreepidAuthFailed
    if not await api.users.add_email(requester.user_id, *found):
        raise ThreepidInUse
    await api.users.end_email_validation(body.sid)


async def remove(api: ClientApi, requester: Requester, body: Removal) -> str:
    """``delete3pidFromAccount``: what is not there is removed already. Whether it was unbound."""
    address = body.address.lower() if body.medium == "email" else body.address
    wanted = await binding.bound_on(api, requester.user_id, body)
    await api.users.delete_threepid(requester.user_id, body.medium, address)
    return await binding.unbind_removed(api, requester.user_id, wanted)

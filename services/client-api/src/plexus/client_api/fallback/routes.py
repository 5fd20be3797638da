"""Client-Server API, "Fallback" of the user-interactive authentication, and "Login Fallback"."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Path, Query, Request
from plexus.client_api.deps import ClientApi, Deps
from plexus.client_api.fallback import login_page, pages, service
from plexus.client_api.own_user import Address
from plexus.client_api.params import FORM
from plexus.platform.http import make_router, read_body
from plexus.protocol.errors import BadJson, Forbidden, MissingParam
from starlette.responses import HTMLResponse, Response

router = make_router(tags=["Session management"])

PATH = "/_matrix/client/v3/auth/{authType}/fallback/web"
MAX_FORM = 8_192

Stage = Annotated[str, Path(alias="authType", description="The stage.")]
Session = Annotated[str, Query(description="The session.")]


@router.get(PATH, operation_id="showAuthFallback", response_model=None)
async def show_auth_fallback(api: Deps, stage: Stage, session: Session) -> Response:
    """The page on which a stage can be completed."""
    service.check_page(api, stage, session)
    return _form(api, stage)


@router.post(PATH, operation_id="completeAuthFallback", response_model=None, openapi_extra=FORM)
async def complete_auth_fallback(
    api: Deps, request: Request, address: Address, stage: Stage, session: Session
) -> Response:
    """The page's form."""
    service.check_page(api, stage, session)
    body = await read_body(request.receive, MAX_FORM)
    fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        await service.complete(api, stage, session, fields, address)
    except (BadJson, Forbidden, MissingParam) as failure:
        return _form(api, stage, failure.message, failure.status)
    return HTMLResponse(pages.done(), headers=pages.HEADERS)


@router.get("/_matrix/static/client/login/", operation_id="showLoginFallback", response_model=None)
async def show_login_fallback() -> Response:
    """The page that logs in."""
    return HTMLResponse(login_page.PAGE, headers=login_page.HEADERS)


def _form(api: ClientApi, stage: str, failure: str | None = None, status: int = 200) -> Response:
    terms = api.platform.settings.registration.terms
    return HTMLResponse(pages.form(stage, terms, failure), status, headers=pages.HEADERS)

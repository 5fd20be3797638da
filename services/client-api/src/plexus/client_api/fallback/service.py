"""Completing one stage of a session that is known by its ID alone.

Which request the session is for is not known here: what is completed here counts for the first request that
names the session, and for that one only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.client_api.accounts.flows import terms_of, token_stage
from plexus.client_api.accounts.service import password_stage
from plexus.client_api.deps import ClientApi
from plexus.protocol.errors import InvalidParam, NotFound
from plexus.users.uia import DUMMY, PASSWORD, REGISTRATION_TOKEN, TERMS, dummy_stage, is_session_id
from plexus.users.uia_sessions import UNBOUND


def check_page(api: ClientApi, stage: str, session: str) -> None:
    """`NotFound` for stages without a page, `InvalidParam` for what is no session ID of ours."""
    if stage not in (DUMMY, PASSWORD, REGISTRATION_TOKEN, TERMS):
        raise NotFound("There is no page for this stage")
    if stage == TERMS and not api.platform.settings.registration.terms:
        raise NotFound("There is nothing to accept")
    if not is_session_id(session):
        raise InvalidParam("This is no session of ours")


async def complete(api: ClientApi, stage: str, session: str, fields: Mapping[str, Any], address: str) -> None:
    """Check what was filled in, as the stage does; with its errors."""
    result: Any
    if stage == PASSWORD:
        result = await password_stage(api, None, address)(fields)
    else:
        await api.platform.limits.check("login_address", address)
        if stage == REGISTRATION_TOKEN:
            result = await token_stage(api)(fields)
        elif stage == TERMS:
            result = terms_of(api)
        else:
            result = await dummy_stage(fields)
    await api.users.complete_uia_stage(session, UNBOUND, stage, result)

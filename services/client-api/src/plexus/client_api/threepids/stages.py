"""The stage ``m.login.email.identity`` of user-interactive authentication."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.protocol.errors import BadJson, ThreepidAuthFailed
from plexus.users.threepids import Purpose
from plexus.users.uia import Stage, text_of


def email_stage(api: ClientApi, purpose: Purpose) -> Stage:
    """Gives ``sid``, ``email`` and ``validated_ts``; `ThreepidAuthFailed` if the address is not validated for
    this purpose.
    """

    async def stage(auth: Mapping[str, Any]) -> dict[str, Any]:
        # Older clients say it without the underscore.
        creds = auth.get("threepid_creds", auth.get("threepidCreds"))
        if not isinstance(creds, Mapping):
            raise BadJson("auth.threepid_creds must be an object")
        sid, secret = text_of(creds, "sid"), text_of(creds, "client_secret")
        found = None if "\0" in sid + secret else await api.users.validated_email(purpose, sid, secret)
        if found is None:
            raise ThreepidAuthFailed
        return {"sid": sid, "email": found[0], "validated_ts": found[1]}

    return stage

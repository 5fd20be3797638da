"""TURN credentials, and transports of calls of many."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import Deps, FullUser
from plexus.client_api.voip import service
from plexus.platform.http import User, make_router

router = make_router(tags=["VOIP"])


@router.get("/_matrix/client/v3/voip/turnServer", operation_id="getTurnServer")
async def get_turn_server(api: Deps, requester: FullUser) -> dict[str, Any]:
    """Client-Server API, "Voice over IP": 404 if there is no TURN server."""
    await api.platform.limits.check("query", requester.user_id)
    return service.turn_credentials(
        api.platform.settings.turn, requester.user_id, api.platform.clock.now_ms() // 1000
    )


@router.get("/_matrix/client/v1/rtc/transports", operation_id="getRtcTransports")
@router.get(
    "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports",
    operation_id="getRtcTransportsUnstable",
)
async def get_rtc_transports(api: Deps, requester: User) -> dict[str, Any]:
    """MSC4143, "Discovery of transport infrastructure": for everybody who has a token, guests too."""
    await api.platform.limits.check("query", requester.user_id)
    return {"rtc_transports": api.platform.settings.rtc.transports}

"""The endpoints of the sync service.

Client-Server API, "Syncing".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from plexus.platform.http import Authenticator, HotRoute, Receive, Scope, Send, bearer, query
from plexus.platform.settings import SyncSettings
from plexus.platform.telemetry import peer_of_request
from plexus.protocol.errors import MissingToken
from plexus.sync.answer import Sender
from plexus.sync.models import SyncRequest
from plexus.sync.service import SyncService

_PARAMETERS: tuple[tuple[str, str], ...] = (
    ("filter", "string"),
    ("since", "string"),
    ("full_state", "boolean"),
    ("set_presence", "string"),
    ("timeout", "integer"),
    ("use_state_after", "boolean"),
)

_SYNC: dict[str, Any] = {
    "operationId": "sync",
    "summary": "Synchronise the client's state and receive new messages.",
    "tags": ["Room participation"],
    "security": [{"accessTokenBearer": []}],
    "parameters": [
        {"name": name, "in": "query", "required": False, "schema": {"type": kind}}
        | (
            {"schema": {"type": kind, "enum": ["offline", "online", "unavailable"]}}
            if "presence" in name
            else {}
        )
        for name, kind in _PARAMETERS
    ],
    "responses": {
        "200": {
            "description": "The initial snapshot or the changes since the token.",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["next_batch"],
                        "properties": {"next_batch": {"type": "string"}, "rooms": {"type": "object"}},
                    }
                }
            },
        },
    },
}


class SyncEndpoint:
    def __init__(self, service: SyncService, authenticator: Authenticator, settings: SyncSettings) -> None:
        self._service = service
        self._authenticator = authenticator
        self._settings = settings

    async def sync(self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        """``GET /_matrix/client/v3/sync``."""
        token = bearer(scope)
        if token is None:
            raise MissingToken
        authenticate = partial(self._authenticator.authenticate, token, scope.get("client_addr"))
        request = SyncRequest.parse(query(scope), self._settings.max_timeout_seconds)
        await self._service.sync(authenticate, request, Sender(send, peer_of_request()))

    def routes(self) -> Sequence[HotRoute]:
        return [HotRoute("GET", "/_matrix/client/v3/sync", self.sync, _SYNC)]

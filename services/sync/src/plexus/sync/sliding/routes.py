"""``POST /_matrix/client/v4/sync``, and the path under which today's clients look for it.

MSC4186, "API" and "Unstable prefix".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from plexus.platform.http import (
    Authenticator,
    HotRoute,
    Receive,
    Scope,
    Send,
    bearer,
    query,
    read_body,
    send_json,
)
from plexus.platform.settings import Settings
from plexus.protocol.canonical_json import decode_request
from plexus.protocol.errors import MissingToken
from plexus.sync.sliding.codecs import STABLE, UNSTABLE, Codec
from plexus.sync.sliding.service import SlidingService

STABLE_PATH = "/_matrix/client/v4/sync"
UNSTABLE_PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"

Handler = Callable[[Scope, Receive, Send, dict[str, str]], Awaitable[None]]


def _operation(name: str, parameters: Sequence[str]) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": "Synchronise some rooms, of which the client says how much it wants.",
        "tags": ["Room participation"],
        "security": [{"accessTokenBearer": []}],
        "parameters": [
            {"name": each, "in": "query", "required": False, "schema": {"type": "string"}}
            for each in parameters
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        "responses": {
            "200": {
                "description": "What is new in the rooms that were asked for.",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["pos"],
                            "properties": {"pos": {"type": "string"}, "rooms": {"type": "object"}},
                        }
                    }
                },
            },
        },
    }


def sliding_routes(
    service: SlidingService, authenticator: Authenticator, settings: Settings
) -> list[HotRoute]:
    """The routes of both forms."""

    def handler(codec: Codec) -> Handler:
        async def sync(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
            token = bearer(scope)
            if token is None:
                raise MissingToken
            authenticate = partial(authenticator.authenticate, token, scope.get("client_addr"))
            async with service.turns:
                requester = await authenticate()
            body = await read_body(receive, settings.http.max_body_bytes)
            request = codec.parse(query(scope), decode_request(body) if body else {}, requester.user_id)
            request = replace(request, timeout=min(request.timeout, settings.sync.max_timeout_seconds))
            await service.answer(authenticate, request, codec, partial(send_json, send, 200))

        return sync

    unstable = _operation("slidingSyncUnstable", ("pos", "timeout", "set_presence"))
    return [
        HotRoute("POST", STABLE_PATH, handler(STABLE), _operation("slidingSync", ())),
        HotRoute("POST", UNSTABLE_PATH, handler(UNSTABLE), unstable),
    ]

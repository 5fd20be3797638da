"""PUT …/typing/{userId}: plain ASGI. Who writes a message sends some of these before it."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.client_api.params import ROOM_ID_SCHEMA, USER_ID_SCHEMA
from plexus.client_api.typing.service import set_typing
from plexus.platform.http import HotRoute, Receive, Scope, Send, bearer, read_body, send_json
from plexus.protocol.canonical_json import decode_request
from plexus.protocol.errors import Forbidden, GuestAccessForbidden, MissingToken, UserSuspended
from plexus.protocol.identifiers import check_room_id, check_user_id

TEMPLATE = "/_matrix/client/v3/rooms/{roomId}/typing/{userId}"

OPERATION: dict[str, Any] = {
    "operationId": "setTyping",
    "summary": "Informs the server that the user has started or stopped typing.",
    "tags": ["Room participation"],
    "parameters": [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": description,
            "schema": schema,
        }
        for name, description, schema in (
            ("roomId", "The room ID.", ROOM_ID_SCHEMA),
            ("userId", "Who types.", USER_ID_SCHEMA),
        )
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["typing"],
                    "properties": {
                        "typing": {"type": "boolean"},
                        "timeout": {
                            "type": "integer",
                            "minimum": 0,
                            "description": "Milliseconds; two minutes at most.",
                        },
                    },
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "It is told.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
}


def set_typing_route(api: ClientApi) -> HotRoute:
    """The route over these libraries."""
    authenticate = api.users.authenticate
    check_limit = api.platform.limits.check
    max_body = api.platform.settings.http.max_body_bytes

    async def typing(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        """Client-Server API, "Typing Notifications"."""
        token = bearer(scope)
        if token is None:
            raise MissingToken
        requester = await authenticate(token, scope.get("client_addr"))
        if requester.is_guest:
            raise GuestAccessForbidden
        room_id = check_room_id(params["roomId"])
        if check_user_id(params["userId"]) != requester.user_id:
            raise Forbidden("You may say this of yourself only")
        if requester.is_suspended:
            raise UserSuspended
        await check_limit("ephemeral", requester.user_id)
        body = await read_body(receive, max_body)
        api.users.presence.note_active(requester.user_id)
        await set_typing(api, requester.user_id, room_id, decode_request(body))
        await send_json(send, 200, b"{}")

    return HotRoute("PUT", TEMPLATE, typing, OPERATION)

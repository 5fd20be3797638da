"""POST …/receipt/{receiptType}/{eventId}: plain ASGI. Clients send one with nearly every event they show."""

from __future__ import annotations

from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.client_api.params import EVENT_ID_SCHEMA, ROOM_ID_SCHEMA
from plexus.client_api.receipts.service import post_receipt
from plexus.platform.http import HotRoute, Receive, Scope, Send, bearer, read_body, send_json
from plexus.protocol.canonical_json import decode_request
from plexus.protocol.errors import GuestAccessForbidden, MissingToken
from plexus.protocol.identifiers import check_event_id, check_room_id

TEMPLATE = "/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}"


def _path(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


OPERATION: dict[str, Any] = {
    "operationId": "postReceipt",
    "summary": "Send a receipt for the given event ID.",
    "tags": ["Room participation"],
    "parameters": [
        _path("roomId", "The room ID.", ROOM_ID_SCHEMA),
        _path(
            "receiptType",
            "The type of receipt.",
            {"type": "string", "enum": ["m.read", "m.read.private", "m.fully_read"]},
        ),
        _path("eventId", "The event up to which the user has read.", EVENT_ID_SCHEMA),
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "thread_id": {
                            "type": "string",
                            "description": "main, or a thread root; without it, all of the room.",
                        }
                    },
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "The receipt is kept.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
}


def post_receipt_route(api: ClientApi) -> HotRoute:
    """The route over these libraries."""
    authenticate = api.users.authenticate
    check_limit = api.platform.limits.check
    max_body = api.platform.settings.http.max_body_bytes

    async def receipt(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        """Client-Server API, "Receipts"."""
        token = bearer(scope)
        if token is None:
            raise MissingToken
        requester = await authenticate(token, scope.get("client_addr"))
        if requester.is_guest:
            raise GuestAccessForbidden
        room_id = check_room_id(params["roomId"])
        event_id = check_event_id(params["eventId"])
        await check_limit("ephemeral", requester.user_id)
        body = await read_body(receive, max_body)
        content = decode_request(body) if body else {}
        await post_receipt(api, requester.user_id, room_id, params["receiptType"], event_id, content)
        api.users.presence.note_active(requester.user_id)
        await send_json(send, 200, b"{}")

    return HotRoute("POST", TEMPLATE, receipt, OPERATION)

"""PUT …/send/{eventType}/{txnId}: the hot path. Plain ASGI from the socket to the room's queue and back.

Token (a dict hit), rate limit, body bytes, one parse, `Rooms.send`, forty bytes of JSON.
"""

from __future__ import annotations

from typing import Any

import orjson
from plexus.client_api.delayed_events.models import DELAY, Draft, read_delay
from plexus.client_api.delayed_events.service import schedule
from plexus.client_api.deps import ClientApi
from plexus.client_api.params import check_name
from plexus.client_api.sending.service import REDACTION, check_own_redaction, message_event, txn_of
from plexus.platform.http import HotRoute, Receive, Scope, Send, bearer, query, read_body, send_json
from plexus.protocol.canonical_json import decode_request
from plexus.protocol.errors import MissingToken, UserSuspended
from plexus.protocol.identifiers import check_room_id

DELAY_BYTES = DELAY.encode()
TEMPLATE = "/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}"


def _path(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1},
    }


OPERATION: dict[str, Any] = {
    "operationId": "sendMessage",
    "summary": "Send a message event to the given room.",
    "tags": ["Room participation"],
    "parameters": [
        _path("roomId", "The room ID."),
        _path("eventType", "The type of event to send."),
        _path("txnId", "The transaction ID: the same one sends the event once."),
    ],
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    "responses": {
        "200": {
            "description": "The event's ID.",
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {"event_id": {"type": "string"}},
                        "required": ["event_id"],
                    }
                }
            },
        }
    },
}


def send_message_route(api: ClientApi) -> HotRoute:
    """The route over these libraries."""
    authenticate = api.users.authenticate
    check_limit = api.platform.limits.check
    send_event = api.rooms.send
    note_active = api.users.presence.note_active
    max_body = api.platform.settings.http.max_body_bytes

    async def send_message(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        """Client-Server API, "Sending events to a room"."""
        token = bearer(scope)
        if token is None:
            raise MissingToken
        requester = await authenticate(token, scope.get("client_addr"))
        room_id = check_room_id(params["roomId"])
        event_type = check_name(params["eventType"])
        txn = txn_of(requester, "send", event_type, params["txnId"])
        delay = query(scope).get(DELAY) if DELAY_BYTES in scope["query_string"] else None
        if delay is not None:
            if requester.is_suspended:
                raise UserSuspended
            body = await read_body(receive, max_body)
            draft = Draft(room_id, event_type, None, decode_request(body) if body else {})
            scheduled = await schedule(api, requester, txn, draft, read_delay(delay))
            await send_json(send, 200, orjson.dumps(scheduled))
            return
        if requester.is_suspended and event_type != REDACTION:
            raise UserSuspended
        await check_limit("message", requester.user_id)
        body = await read_body(receive, max_body)
        event = message_event(event_type, decode_request(body) if body else {})
        if requester.is_suspended:
            await check_own_redaction(api, requester.user_id, room_id, event)
        written = await send_event(room_id, requester.user_id, event, txn=txn)
        note_active(requester.user_id)
        # An event ID is ASCII without anything that JSON escapes.
        await send_json(send, 200, b'{"event_id":"%s"}' % written.event_id.encode())

    return HotRoute("PUT", TEMPLATE, send_message, OPERATION)

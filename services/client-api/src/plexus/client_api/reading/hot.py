"""What clients ask for when they open a room: plain ASGI, because FastAPI's parameters were a quarter of
what a page cost.

Token, parameters, bytes. What the answers are stands in ``service``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.client_api.params import ROOM_ID_SCHEMA
from plexus.client_api.reading import service
from plexus.client_api.reading.models import (
    DIRECTIONS,
    MAX_LIMIT,
    MEMBERSHIPS,
    one_of,
    page_size,
    read_filter,
    read_limit,
)
from plexus.platform.http import (
    HotHandler,
    HotRoute,
    Receive,
    Requester,
    Scope,
    Send,
    bearer,
    query,
    send_json,
)
from plexus.protocol.errors import GuestAccessForbidden, MissingParam, MissingToken
from plexus.protocol.identifiers import check_room_id

Answer = Callable[[ClientApi, Requester, str, Mapping[str, str]], Awaitable[bytes]]
"""The JSON for a requester, a room ID and the query parameters."""

TEMPLATE = "/_matrix/client/v3/rooms/{roomId}/"

_TEXT = {"type": "string"}
_MEMBERSHIP = {"type": "string", "enum": list(MEMBERSHIPS)}


async def room_events(api: ClientApi, requester: Requester, room_id: str, given: Mapping[str, str]) -> bytes:
    """``getRoomEvents``. Client-Server API, "Getting events for a room"."""
    direction = one_of(DIRECTIONS, "dir", given.get("dir"))
    if direction is None:
        raise MissingParam("Missing query parameter: dir")
    limit = read_limit(given.get("limit"))
    event_filter = read_filter(given.get("filter"))
    return await service.messages(
        api,
        requester,
        room_id,
        direction=direction,
        start=given.get("from"),
        end=given.get("to"),
        limit=page_size(limit, event_filter),
        event_filter=event_filter,
    )


async def members(api: ClientApi, requester: Requester, room_id: str, given: Mapping[str, str]) -> bytes:
    """``getMembersByRoom``. Client-Server API, "Getting events for a room"."""
    return await service.members(
        api,
        requester,
        room_id,
        at=given.get("at"),
        membership=one_of(MEMBERSHIPS, "membership", given.get("membership")),
        not_membership=one_of(MEMBERSHIPS, "not_membership", given.get("not_membership")),
    )


async def joined_members(
    api: ClientApi, requester: Requester, room_id: str, given: Mapping[str, str]
) -> bytes:
    """``getJoinedMembersByRoom``, for those who are in the room; guests are not told."""
    if requester.is_guest:
        raise GuestAccessForbidden
    return await service.joined_members(api, requester, room_id)


async def room_state(api: ClientApi, requester: Requester, room_id: str, given: Mapping[str, str]) -> bytes:
    """``getRoomState``. Client-Server API, "Getting events for a room"."""
    return await service.room_state(api, requester, room_id)


def _query(name: str, schema: Mapping[str, Any], description: str, *, required: bool = False) -> Any:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": schema,
    }


def _operation(operation_id: str, summary: str, *parameters: Any, answer: str = "object") -> dict[str, Any]:
    room = {
        "name": "roomId",
        "in": "path",
        "required": True,
        "description": "The room ID.",
        "schema": ROOM_ID_SCHEMA,
    }
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["Room participation"],
        "parameters": [room, *parameters],
        "responses": {
            "200": {
                "description": "What the requester may see.",
                "content": {"application/json": {"schema": {"type": answer}}},
            }
        },
    }


ROUTES: tuple[tuple[str, Answer, dict[str, Any]], ...] = (
    (
        "messages",
        room_events,
        _operation(
            "getRoomEvents",
            "Get a page of events of a room.",
            _query(
                "dir",
                {"type": "string", "enum": list(DIRECTIONS)},
                "Backwards or forwards.",
                required=True,
            ),
            _query("from", _TEXT, "Where to begin: a token of /sync or of /messages."),
            _query("to", _TEXT, "Where to stop: a token of /sync or of /messages."),
            _query(
                "limit",
                {"type": "integer", "minimum": 0, "maximum": MAX_LIMIT},
                "At most so many events; 1,000 at the most.",
            ),
            _query("filter", _TEXT, "A RoomEventFilter as JSON."),
        ),
    ),
    (
        "members",
        members,
        _operation(
            "getMembersByRoom",
            "Get the member events of a room.",
            _query("at", _TEXT, "A token of /sync or of /messages; without it, now."),
            _query("membership", _MEMBERSHIP, "Only these, or"),
            _query("not_membership", _MEMBERSHIP, "all but these."),
        ),
    ),
    (
        "joined_members",
        joined_members,
        _operation("getJoinedMembersByRoom", "Get who is joined to a room, with their profiles."),
    ),
    ("state", room_state, _operation("getRoomState", "Get the state of a room.", answer="array")),
)


def reading_routes(api: ClientApi) -> list[HotRoute]:
    """The routes over these libraries."""
    return [
        HotRoute("GET", TEMPLATE + name, _handler(api, answer), operation)
        for name, answer, operation in ROUTES
    ]


def _handler(api: ClientApi, answer: Answer) -> HotHandler:
    authenticate = api.users.authenticate

    async def handle(scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        token = bearer(scope)
        if token is None:
            raise MissingToken
        requester = await authenticate(token, scope.get("client_addr"))
        # Who is suspended may read.
        room_id = check_room_id(params["roomId"])
        await send_json(send, 200, await answer(api, requester, room_id, query(scope)))

    return handle

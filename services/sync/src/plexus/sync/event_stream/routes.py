"""The endpoints of the old API. Client-Server API, "Syncing"; "Room Previews"."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from plexus.platform.http import (
    Authenticator,
    HotRoute,
    Receive,
    Requester,
    Scope,
    Send,
    bearer,
    query,
    send_json,
)
from plexus.platform.settings import SyncSettings
from plexus.platform.telemetry import peer_of_request
from plexus.protocol.errors import GuestAccessForbidden, MissingToken
from plexus.protocol.identifiers import check_event_id
from plexus.rooms import Rooms
from plexus.sync.answer import Sender
from plexus.sync.event_stream.initial import InitialSync
from plexus.sync.event_stream.models import EventsRequest, InitialRequest
from plexus.sync.event_stream.stream import EventStream
from plexus.sync.service import Authenticate, SyncService
from plexus.users import Users

_V3 = "/_matrix/client/v3"
_ROOM = {"name": "roomId", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^!"}}
_EVENT = {"name": "eventId", "in": "path", "required": True, "schema": {"type": "string", "pattern": r"^\$"}}


class EventStreamEndpoints:
    def __init__(
        self,
        sync: SyncService,
        rooms: Rooms,
        users: Users,
        authenticator: Authenticator,
        settings: SyncSettings,
    ) -> None:
        self._sync = sync
        self._rooms = rooms
        self._stream = EventStream(sync, rooms)
        self._initial = InitialSync(sync, rooms, users)
        self._authenticator = authenticator
        self._settings = settings

    async def get_events(self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        """``GET /_matrix/client/v3/events``; with ``room_id`` it is peekEvents of "Room Previews"."""
        authenticate = self._authenticate(scope)
        request = EventsRequest.parse(query(scope), self._settings.max_timeout_seconds)
        await send_json(send, 200, await self._stream.events(authenticate, request))

    async def initial_sync(self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        """``GET /_matrix/client/v3/initialSync``."""
        authenticate = self._authenticate(scope)
        _no_guest(await authenticate())
        request = InitialRequest.parse(query(scope))
        await self._initial.everything(authenticate, request, Sender(send, peer_of_request()))

    async def room_initial_sync(
        self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]
    ) -> None:
        """``GET /_matrix/client/v3/rooms/{roomId}/initialSync``."""
        sender = Sender(send, peer_of_request())
        await self._initial.room(self._authenticate(scope), params["roomId"], sender)

    async def get_one_event(self, scope: Scope, receive: Receive, send: Send, params: dict[str, str]) -> None:
        """``GET /_matrix/client/v3/events/{eventId}``."""
        requester = await self._authenticate(scope)()
        _no_guest(requester)
        event_id = check_event_id(params["eventId"])
        event = await self._rooms.event(None, event_id, viewer=requester.user_id)
        body = event.client_bytes(
            now_ms=self._sync.now_ms(), user_id=requester.user_id, device_id=requester.device_id
        )
        await send_json(send, 200, body)

    def routes(self) -> Sequence[HotRoute]:
        events = _described("getEvents", "Listen on the event stream.", _in_query("from", "string"))
        events["parameters"] += _in_query("timeout", "integer") + _in_query("room_id", "string")
        initial = _described("initialSync", "Get the user's current state.", _in_query("limit", "integer"))
        initial["parameters"] += _in_query("archived", "boolean")
        room = _described("roomInitialSync", "Snapshot the state and newest messages of a room.", [_ROOM])
        one = _described("getOneEvent", "Get a single event by its ID.", [_EVENT])
        return [
            HotRoute("GET", f"{_V3}/events", self.get_events, events),
            HotRoute("GET", f"{_V3}/events/{{eventId}}", self.get_one_event, one),
            HotRoute("GET", f"{_V3}/initialSync", self.initial_sync, initial),
            HotRoute("GET", f"{_V3}/rooms/{{roomId}}/initialSync", self.room_initial_sync, room),
        ]

    def _authenticate(self, scope: Scope) -> Authenticate:
        token = bearer(scope)
        if token is None:
            raise MissingToken
        return partial(self._authenticator.authenticate, token, scope.get("client_addr"))


def _no_guest(requester: Requester) -> None:
    """These are not among what guests may call. Client-Server API, "Guest Access"."""
    if requester.is_guest:
        raise GuestAccessForbidden


def _in_query(name: str, kind: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "required": False, "schema": {"type": kind}}]


def _described(operation_id: str, summary: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["Room participation"],
        "deprecated": operation_id != "roomInitialSync",
        "security": [{"accessTokenBearer": []}],
        "parameters": parameters,
        "responses": {
            "200": {
                "description": summary,
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
    }

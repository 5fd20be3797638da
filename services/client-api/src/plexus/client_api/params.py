"""Path and query parameters that several features share, checked where they enter.

A malformed identifier is `InvalidParam` (400) before anybody asks the database for it. OpenAPI tells the
beginning that every identifier of a kind has; the grammar itself is longer than a pattern should be.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from plexus.protocol.errors import InvalidParam
from plexus.protocol.identifiers import (
    check_event_id,
    check_room_alias,
    check_room_id,
    is_room_alias,
    is_room_id,
)
from pydantic import AfterValidator, WithJsonSchema

ROOM_ID_SCHEMA = {"type": "string", "pattern": "^!"}
ROOM_ALIAS_SCHEMA = {"type": "string", "pattern": "^#[^:]+:"}
EVENT_ID_SCHEMA = {"type": "string", "pattern": r"^\$"}
USER_ID_SCHEMA = {"type": "string", "pattern": "^@[^:]*:"}

FORM = {"requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}}}}
"""What OpenAPI is told of a form on a page of ours; nobody but a browser sends it."""

MAX_NAME_BYTES = 255
"""Event types and state keys: Client-Server API, "Size limits"."""


def check_name(name: str) -> str:
    """An event type or state key that can be stored; its length is judged with the event."""
    if "\0" in name:
        raise InvalidParam("A NUL cannot stand here")
    return name


def check_room_id_or_alias(value: str) -> str:
    if is_room_id(value) or is_room_alias(value):
        return value
    raise InvalidParam("Neither a room ID nor a room alias")


RoomId = Annotated[
    str,
    Path(alias="roomId", description="The room ID."),
    AfterValidator(check_room_id),
    WithJsonSchema(ROOM_ID_SCHEMA),
]
RoomIdOrAlias = Annotated[
    str,
    Path(alias="roomIdOrAlias", description="The room ID or alias."),
    AfterValidator(check_room_id_or_alias),
    WithJsonSchema({"anyOf": [ROOM_ID_SCHEMA, ROOM_ALIAS_SCHEMA]}),
]
RoomAlias = Annotated[
    str,
    Path(alias="roomAlias", description="The room alias."),
    AfterValidator(check_room_alias),
    WithJsonSchema(ROOM_ALIAS_SCHEMA),
]
EventId = Annotated[
    str,
    Path(alias="eventId", description="The event ID."),
    AfterValidator(check_event_id),
    WithJsonSchema(EVENT_ID_SCHEMA),
]
EventType = Annotated[
    str, Path(alias="eventType", description="The type of event."), AfterValidator(check_name)
]
StateKey = Annotated[str, Path(alias="stateKey", description="The state key."), AfterValidator(check_name)]

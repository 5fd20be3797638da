"""Events as clients see them.

`client_event` gives a dict, `client_event_prefix` the bytes up to the closing brace, to which a caller
splices ``,"unsigned":{...}}`` per user without parsing or printing the event again.

Since room version 11 the target of a redaction stands in the content, before it stood on the top level;
clients get it in both places (room version 11, "Moving the redacts property").

Client-Server API, "Room event format" (``ClientEvent``) and "Stripped state".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from plexus.protocol.canonical_json import encode
from plexus.protocol.events import Event


def client_event(
    event: Event, *, unsigned: Mapping[str, Any] | None = None, with_room_id: bool = True
) -> dict[str, Any]:
    """``ClientEvent``, or ``ClientEventWithoutRoomID`` for /sync, where the room is the key around it."""
    client: dict[str, Any] = {
        "content": event.content,
        "event_id": event.event_id,
        "origin_server_ts": event.origin_server_ts,
        "sender": event.sender,
        "type": event.type,
    }
    if with_room_id:
        client["room_id"] = event.room_id
    if event.state_key is not None:
        client["state_key"] = event.state_key
    if event.redacts is not None:
        client["redacts"] = event.redacts
        client["content"] = {**event.content, "redacts": event.redacts}
    if unsigned:
        client["unsigned"] = unsigned
    return client


def client_event_prefix(event: Event, with_room_id: bool = True) -> bytes:
    """The JSON of `client_event` without ``unsigned`` and without the closing brace."""
    client = client_event(event, with_room_id=with_room_id)
    try:
        return orjson.dumps(client)[:-1]
    except orjson.JSONEncodeError:
        # An integer of more than 64 bits, in a room of the versions 1 to 5.
        return encode(client, strict=False)[:-1]


def stripped_state(event: Event) -> dict[str, Any]:
    """``StrippedStateEvent``: sender, type, state key and content only."""
    return {
        "content": event.content,
        "sender": event.sender,
        "state_key": event.state_key,
        "type": event.type,
    }

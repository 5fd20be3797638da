"""Delayed events and the requests that are about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple

import orjson
from fastapi import Path, Query
from plexus.client_api.params import check_name
from plexus.platform.http import Body
from plexus.protocol.errors import InvalidParam
from pydantic import AfterValidator, Field

DELAY: Final = "org.matrix.msc4140.delay"
"""The query parameter of ``sendMessage`` and ``setRoomStateWithKey`` by which drafts of the proposal, and the
clients made from them, schedule an event. It has the milliseconds."""

_MAX_DELAY_ID = 64


class Draft(NamedTuple):
    """An event as it is scheduled; without ``state_key`` a message."""

    room_id: str
    type: str
    state_key: str | None
    content: dict[str, Any]


class Scheduling(Body):
    """``delay_ms`` is judged with the settings."""

    delay_ms: int
    content: dict[str, Any]
    state_key: Annotated[str, AfterValidator(check_name)] | None = None


class Update(Body):
    """By one path for all actions, as clients of earlier drafts do."""

    action: Literal["send", "cancel", "restart"]


@dataclass(frozen=True, slots=True)
class DelayedEvent:
    """A row. ``tries`` counts this one."""

    delay_id: str
    user_id: str
    room_id: str
    type: str
    state_key: str | None
    content: bytes
    delay_ms: int
    scheduled_ts: int
    tries: int
    finalised_ts: int | None
    event_id: str | None
    error: bytes | None

    def json(self) -> dict[str, Any]:
        """As it is shown to its user."""
        shown: dict[str, Any] = {
            "delay_id": self.delay_id,
            "room_id": self.room_id,
            "type": self.type,
            "delay_ms": self.delay_ms,
            "scheduled_at": self.scheduled_ts,
            "content": orjson.loads(self.content),
        }
        if self.state_key is not None:
            shown["state_key"] = self.state_key
        if self.finalised_ts is not None:
            shown["finalised_ts"] = self.finalised_ts
        if self.event_id is not None:
            shown["event_id"] = self.event_id
        if self.error is not None:
            shown["error"] = orjson.loads(self.error)
        return shown


def read_delay(text: str) -> int:
    """The value of `DELAY`; `InvalidParam` for what is no number."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise InvalidParam(f"{DELAY} must be a number of milliseconds")
    return int(text)


DelayId = Annotated[
    str,
    Path(alias="delayId", description="The delayed event."),
    AfterValidator(check_name),
    Field(max_length=_MAX_DELAY_ID),
]
Delay = Annotated[
    str | None, Query(alias=DELAY, description="Send it later: after so many milliseconds (MSC4140).")
]

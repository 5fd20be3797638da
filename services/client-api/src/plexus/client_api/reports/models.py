"""Requests that report something, and the report as it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Path
from plexus.client_api.params import USER_ID_SCHEMA
from plexus.platform.http import Body
from plexus.protocol.identifiers import check_user_id
from pydantic import AfterValidator, Field, WithJsonSchema

MAX_REASON = 4_000
"""Characters. The specification sets no limit; some thousand say what there is to say."""


def _storable(reason: str) -> str:
    if "\0" in reason:
        raise ValueError("a NUL cannot stand here")
    return reason


Reason = Annotated[str, Field(max_length=MAX_REASON), AfterValidator(_storable)]
ReportedUser = Annotated[
    str,
    Path(alias="userId", description="The user ID."),
    AfterValidator(check_user_id),
    WithJsonSchema(USER_ID_SCHEMA),
]


class EventReport(Body):
    reason: Reason = ""


class SubjectReport(Body):
    """Of a room or a user: the reason must be there, and may be blank."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Subject:
    """What is reported: an event (all members are set), a room, or a user."""

    kind: str
    room_id: str | None = None
    event_id: str | None = None
    user_id: str | None = None
    event: str | None = None

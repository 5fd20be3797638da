"""The body of ``setReadMarker``."""

from __future__ import annotations

from typing import Annotated

from plexus.client_api.params import EVENT_ID_SCHEMA
from plexus.platform.http import Body
from plexus.protocol.identifiers import check_event_id
from pydantic import AfterValidator, Field, WithJsonSchema

_EventId = Annotated[str, AfterValidator(check_event_id), WithJsonSchema(EVENT_ID_SCHEMA)]


class ReadMarkers(Body):
    """What is left out stays where it is."""

    fully_read: _EventId | None = Field(default=None, alias="m.fully_read")
    read: _EventId | None = Field(default=None, alias="m.read")
    read_private: _EventId | None = Field(default=None, alias="m.read.private")

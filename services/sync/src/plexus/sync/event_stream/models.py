"""What the endpoints of the old API are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plexus.protocol.errors import InvalidParam
from plexus.protocol.identifiers import check_room_id
from plexus.sync.models import flag, milliseconds

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
"""Messages of each room in an initial sync."""


@dataclass(frozen=True, slots=True)
class EventsRequest:
    """The query of ``/events``. ``timeout`` is in seconds, bounded by the settings."""

    start: str | None
    timeout: float
    room_id: str | None

    @classmethod
    def parse(cls, query: Mapping[str, str], max_timeout: float) -> EventsRequest:
        room_id = query.get("room_id")
        return cls(
            query.get("from") or None,
            min(milliseconds(query.get("timeout")), max_timeout),
            None if room_id is None else check_room_id(room_id),
        )


@dataclass(frozen=True, slots=True)
class InitialRequest:
    """The query of ``/initialSync``."""

    limit: int
    archived: bool

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> InitialRequest:
        limit = query.get("limit", str(DEFAULT_LIMIT))
        if not limit.isascii() or not limit.isdigit() or len(limit) > 15:
            raise InvalidParam("limit is a number of messages")
        return cls(min(int(limit), MAX_LIMIT), flag(query, "archived"))

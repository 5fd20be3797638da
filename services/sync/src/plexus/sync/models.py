"""What a client asks of /sync.

Client-Server API, ``GET /sync``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plexus.protocol.errors import InvalidParam

_FLAGS = {"true": True, "false": False}
_PRESENCE = frozenset({"online", "offline", "unavailable"})


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """The query of a sync. ``timeout`` is in seconds, bounded by the settings."""

    since: str | None
    filter: str | None
    timeout: float
    full_state: bool
    use_state_after: bool
    set_presence: str

    @classmethod
    def parse(cls, query: Mapping[str, str], max_timeout: float) -> SyncRequest:
        """`InvalidParam` for what is not as the spec has it."""
        presence = query.get("set_presence", "online")
        if presence not in _PRESENCE:
            raise InvalidParam("set_presence is online, offline or unavailable")
        return cls(
            query.get("since") or None,
            query.get("filter") or None,
            min(milliseconds(query.get("timeout")), max_timeout),
            flag(query, "full_state"),
            # The unstable name is that of MSC4222, which clients still send.
            flag(query, "use_state_after") or flag(query, "org.matrix.msc4222.use_state_after"),
            presence,
        )


def flag(query: Mapping[str, str], name: str) -> bool:
    """True or false; false if it is absent."""
    value = query.get(name)
    if value is None:
        return False
    try:
        return _FLAGS[value]
    except KeyError:
        raise InvalidParam(f"{name} is true or false") from None


def milliseconds(value: str | None) -> float:
    """In seconds."""
    if value is None:
        return 0
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise InvalidParam("timeout is a number of milliseconds")
    return int(value) / 1000

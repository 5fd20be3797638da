"""What a client asks of /sync.

Client-Server API, ``GET /sync``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plexus.protocol.errors import InvalidParam

_FLAGS = {"true": True, "false": False}
_PRESENCE = frozenset({"online", "offline", "unavailable"})

STATE = (b"state",)
STATE_AFTER = (b"state_after",)
_UNSTABLE = "org.matrix.msc4222."
"""The prefix of MSC4222, whose names clients still send, and read: not those of the specification."""

_STATE_KEYS = {
    (False, False): STATE,
    (True, False): STATE_AFTER,
    (False, True): (_UNSTABLE.encode() + b"state_after",),
    (True, True): (b"state_after", _UNSTABLE.encode() + b"state_after"),
}
"""By ``use_state_after`` in its stable and its unstable form, the keys under which state is answered."""


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """The query of a sync. ``timeout`` is in seconds, bounded by the settings. ``state_keys`` are those of
    the section with a room's state: `STATE`, or with ``use_state_after`` one for each form in which that was
    given.
    """

    since: str | None
    filter: str | None
    timeout: float
    full_state: bool
    state_keys: tuple[bytes, ...]
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
            _STATE_KEYS[flag(query, "use_state_after"), flag(query, _UNSTABLE + "use_state_after")],
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

"""An event as push rules look at it: made once for an event, shared by all members of the room.

What the rules of many users ask again and again is worked out at the first question and kept: a property
without case, the entries of a list, what the default rules say. Nothing is worked out that no rule asks for.

Client-Server API, "Push Rules", "Conditions".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from plexus.protocol.globs import fold
from plexus.protocol.power_levels import PowerLevels
from plexus.protocol.property_paths import split_path

ABSENT: Final = object()
"""What a property is that is not there; null is a value."""

BODY: Final = "content.body"
_MEMBERSHIP: Final = split_path("content.membership")
_MENTIONED: Final = r"content.m\.mentions.user_ids"


class EventView:
    """``event`` is in the client's format with its room ID (`format.client_event`).

    A ``key`` is the dot-separated path of a property. ``member_count`` counts the joined members, ``levels``
    are the room's power levels, both at the event. ``subscribers`` are those who are subscribed to the thread
    that the event is in; None if it is in none, or threads are not subscribed to.
    """

    __slots__ = (
        "_entries",
        "_event",
        "_folded",
        "_levels",
        "kept",
        "member_count",
        "room_id",
        "sender",
        "subscribers",
    )

    def __init__(
        self,
        event: Mapping[str, Any],
        *,
        member_count: int,
        levels: PowerLevels,
        subscribers: frozenset[str] | None = None,
    ) -> None:
        self._event = event
        self._levels = levels
        self._folded: dict[str, str | None] = {}
        self._entries: dict[str, frozenset[Any]] = {}
        self.sender: str = event["sender"]
        self.room_id: str = event["room_id"]
        self.member_count = member_count
        self.subscribers = subscribers
        self.kept: dict[object, Any] = {}
        """What a set of rules has found out about this event, by the set."""

    def value(self, path: tuple[str, ...]) -> Any:
        """The property, or `ABSENT`."""
        value: Any = self._event
        for name in path:
            if not isinstance(value, dict) or name not in value:
                return ABSENT
            value = value[name]
        return value

    def folded(self, key: str) -> str | None:
        """The property without case; None if it is absent or not a string."""
        try:
            return self._folded[key]
        except KeyError:
            value = self.value(split_path(key))
            folded = self._folded[key] = fold(value) if isinstance(value, str) else None
            return folded

    def entries(self, key: str) -> frozenset[Any]:
        """The entries of a list that can be compared: strings as such, others as (type, value)."""
        try:
            return self._entries[key]
        except KeyError:
            value = self.value(split_path(key))
            listed = value if isinstance(value, list) else ()
            entries = self._entries[key] = frozenset(
                as_entry(each) for each in listed if each is None or isinstance(each, str | int)
            )
            return entries

    @property
    def mentioned(self) -> frozenset[Any]:
        """The user IDs in ``m.mentions``. Whatever else a sender wrote there is in it too."""
        return self.entries(_MENTIONED)

    @property
    def invited(self) -> str | None:
        """Whom this event invites."""
        if self._event["type"] != "m.room.member" or self.value(_MEMBERSHIP) != "invite":
            return None
        state_key = self._event.get("state_key")
        return state_key if isinstance(state_key, str) else None

    def sender_may_notify(self, key: str) -> bool:
        """Whether the sender has the power for notifications of this kind, such as ``room``."""
        return self._levels.user_level(self.sender) >= self._levels.notification_level(key)


def as_entry(value: str | int | None) -> Any:
    """A value that is equal to another only if both are of the same type: true is not 1."""
    return value if isinstance(value, str) else (type(value), value)

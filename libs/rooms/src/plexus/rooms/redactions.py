"""Redactions in a chain: who may redact what, and what is left of it.

A redaction is an event like any other. If its target is here, the same write takes away the target's content:
`Redaction` in the write, and a fact of its own for the followers. A target that is not here (it never was, or
it is in another room) leaves an event in the timeline that takes nothing away. The spec lets us decide who
may write such a one: whoever may send m.room.redaction, for of a target that nobody knows it cannot be told
whose it is.

Client-Server API, "Redactions"; room version 3, "Handling redactions".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plexus.protocol.auth_rules import may_redact_locally
from plexus.protocol.errors import Forbidden, InvalidParam
from plexus.protocol.events import redact_raw
from plexus.protocol.identifiers import is_event_id
from plexus.protocol.power_levels import PowerLevels
from plexus.protocol.room_versions import RoomVersion
from plexus.rooms.pending_state import PendingState
from plexus.rooms.values import NewEvent
from plexus.rooms.wishes import Missing, Target
from plexus.rooms.writes import EventRow, Redaction, RoomWrite


def target_of(version: RoomVersion, event: NewEvent) -> str | None:
    """The event that a redaction names, if it names one."""
    if event.type != "m.room.redaction":
        return None
    target: Any = event.redacts
    if target is None and version.redacts_in_content:
        target = event.content.get("redacts")
    return target if is_event_id(target) else None


class Redactions:
    """Those of one chain. ``events`` are the events of the chain so far, ``targets`` what was read of others
    (None: there is no such event in the room).
    """

    def __init__(
        self,
        version: RoomVersion,
        state: PendingState,
        events: Mapping[str, EventRow],
        targets: Mapping[str, Target | None],
        write: RoomWrite,
    ) -> None:
        self._version = version
        self._state = state
        self._events = events
        self._targets = targets
        self._write = write
        self._redacted: set[int] = set()

    def judge(self, sender: str, new: NewEvent) -> Target | None:
        """The target, if something of it is to be taken away; None if there is nothing to take, or nothing
        here to take it from. `Forbidden` if this user may not; raises `Missing`.
        """
        event_id = target_of(self._version, new)
        if event_id is None:
            if new.redacts is not None:
                raise InvalidParam("What is to be redacted is not an event ID")
            return None
        target = self.find(event_id)
        if target is None:
            return None
        if target.type == "m.room.create":
            raise Forbidden("The create event of a room cannot be redacted")
        create = self._state.event("m.room.create", "")
        if create is None:
            raise Forbidden("The room has no create event")
        levels = self._state.event("m.room.power_levels", "")
        power = PowerLevels.of(self._version, None if levels is None else levels.content, create)
        if not may_redact_locally(power, sender, target.sender):
            raise Forbidden("You do not have the power to redact the events of others")
        return None if target.is_redacted or target.num in self._redacted else target

    def apply(self, target: Target) -> None:
        """The last event of the chain takes the target's content away."""
        raw = redact_raw(self._version, target.raw)
        self._redacted.add(target.num)
        self._write.redactions.append(Redaction(len(self._write.events) - 1, target.num, raw))
        self._state.redact(self._version, target, raw)

    def has_taken(self, num: int) -> bool:
        """Whether the chain redacts the event of this number."""
        return num in self._redacted

    def find(self, event_id: str) -> Target | None:
        """An event of the chain or one that was read; None if there is none. Raises `Missing`."""
        row = self._events.get(event_id)
        if row is not None:
            event = row.event
            return Target(row.num, event.type, event.sender, event.state_key, event.raw, False)
        if event_id not in self._targets:
            raise Missing(targets={event_id})
        return self._targets[event_id]

"""Faults of the room engine. Everything else it raises is an error of ``plexus.protocol.errors``.

RemoteFault
└── UnknownPredecessors   an event builds upon events that are not here: fetch them first

Unavailable (503)
└── ReplacementClaimed    somebody is making a room that replaces the same old one
"""

from __future__ import annotations

from collections.abc import Set

from plexus.protocol.errors import RemoteFault, Unavailable


class UnknownPredecessors(RemoteFault):
    """An event cannot be placed before those that it names are. ``prev_events`` and ``auth_events`` are those
    of each kind that are not here; nothing has been written.
    """

    def __init__(self, event_id: str, prev_events: Set[str], auth_events: Set[str]) -> None:
        missing = len(prev_events | auth_events)
        super().__init__(f"{event_id} builds upon {missing} events that are not here")
        self.event_id = event_id
        self.prev_events = prev_events
        self.auth_events = auth_events


class ReplacementClaimed(Unavailable):
    """The old room has, or is about to have, another replacement."""

    def __init__(self) -> None:
        super().__init__("This room is being upgraded already, try again")

"""Faults of the room engine. Everything else it raises is an error of ``plexus.protocol.errors``.

Unavailable (503)
└── StateResolutionUnavailable   several extremities, and nobody here who can resolve them
"""

from __future__ import annotations

from plexus.protocol.errors import Unavailable


class StateResolutionUnavailable(Unavailable):
    """The room's history has forked and this server cannot resolve its state yet."""

    def __init__(self, room_id: str) -> None:
        super().__init__("The state of this room cannot be resolved here yet", retry_after_ms=60_000)
        self.room_id = room_id

"""The platform: everything that a service stands on, in one value.

`plexus.platform.compose.open_platform` makes it; tests make it the same way. Nothing here is global.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plexus.platform.clock import Clock
    from plexus.platform.drain import DrainSignal
    from plexus.platform.lanes import LaneFanout, LaneLog, LaneMap
    from plexus.platform.limits import RateLimiter
    from plexus.platform.marks import Marks
    from plexus.platform.ports import Cache, Ephemeral, InternalCalls, Leadership, ObjectStore
    from plexus.platform.postgres import Database
    from plexus.platform.settings import Settings
    from plexus.platform.signing import SigningKeys
    from plexus.platform.telemetry import Telemetry


@dataclass(slots=True)
class Platform:
    settings: Settings
    clock: Clock
    db: Database
    lanes: LaneMap
    log: LaneLog
    fanout: LaneFanout
    marks: Marks
    cache: Cache
    ephemeral: Ephemeral
    objects: ObjectStore
    limits: RateLimiter
    leadership: Leadership
    calls: InternalCalls
    keys: SigningKeys
    telemetry: Telemetry
    drain: DrainSignal

    def why_not_ready(self) -> str | None:
        """What no service of the process can do without; None if nothing is missing."""
        return self.db.watch.why_not_ready()

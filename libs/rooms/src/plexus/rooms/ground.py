"""What of the platform the room engine stands on. `plexus.platform.context.Platform` has it all."""

from __future__ import annotations

from typing import Protocol

from plexus.platform.clock import Clock
from plexus.platform.lanes import LaneFanout, LaneMap
from plexus.platform.marks import Marks
from plexus.platform.postgres import Database
from plexus.protocol.signatures import SigningKey


class HasServerName(Protocol):
    @property
    def server_name(self) -> str: ...


class HasKeys(Protocol):
    def current(self) -> SigningKey:
        """The key that signs now."""
        ...


class HasGeneration(Protocol):
    def generation(self) -> int:
        """The newest generation of the lanes that this process knows."""
        ...


class Ground(Protocol):
    @property
    def settings(self) -> HasServerName: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def db(self) -> Database: ...
    @property
    def lanes(self) -> LaneMap: ...
    @property
    def log(self) -> HasGeneration: ...
    @property
    def fanout(self) -> LaneFanout: ...
    @property
    def marks(self) -> Marks: ...
    @property
    def keys(self) -> HasKeys: ...

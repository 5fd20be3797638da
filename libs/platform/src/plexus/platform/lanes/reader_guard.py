"""Keeps reads away from a replica of PostgreSQL that has not reached what this process has heard of.

Facts come through Kafka and may be here before the replica has what they tell of. Whoever follows the lanes
tells everything up to where they stand, and keeps in memory what they read: read from behind, a message
would be missing in an answer whose token counts it as told, and what was redacted would come back. So
each read that may go to the replica goes there only if that has what everybody who follows here has heard.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from plexus.platform.lanes.facts import Heads
from plexus.platform.lanes.order import LaneKey

Positions = Callable[[], Iterable[tuple[LaneKey, int]]]
"""How far somebody is, in any order; a lane may come twice."""


class ReaderGuard:
    """``read`` gives the heads that the replica has now, ``generation`` the one that this process follows."""

    def __init__(self, read: Callable[[], Awaitable[Heads]], generation: Callable[[], int]) -> None:
        self._read = read
        self._generation = generation
        self._followers: list[Positions] = []
        self._known: Heads | None = None

    def follow(self, positions: Positions) -> Callable[[], None]:
        """From now on somebody follows the lanes; what is returned ends it."""
        self._followers.append(positions)
        return lambda: self._followers.remove(positions)

    async def lags(self) -> bool:
        """Whether the replica lacks anything. It is asked only if it was not known to have all of it."""
        if self._has_all():
            return False
        self._known = await self._read()
        return not self._has_all()

    def _has_all(self) -> bool:
        known = self._known
        if not self._followers:
            return True
        if known is None or known.generation != self._generation():
            return False
        heads = {"r": known.rooms, "u": known.users}
        return all(
            heads[family][lane] >= position
            for positions in self._followers
            for (family, lane), position in positions()
        )

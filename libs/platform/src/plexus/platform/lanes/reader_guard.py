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
from plexus.platform.postgres import ReadSession

Positions = Callable[[], Iterable[tuple[LaneKey, int]]]
"""How far somebody is, in any order; a lane may come twice."""


class ReaderGuard:
    """``read`` gives the heads that a session sees, ``generation`` the one that this process follows."""

    def __init__(
        self, read: Callable[[ReadSession], Awaitable[Heads]], generation: Callable[[], int]
    ) -> None:
        self._read = read
        self._generation = generation
        self._followers: list[Positions] = []
        self._known: Heads | None = None

    def follow(self, positions: Positions) -> Callable[[], None]:
        """From now on somebody follows the lanes; what is returned ends it."""
        self._followers.append(positions)
        return lambda: self._followers.remove(positions)

    async def lags(self, session: ReadSession) -> bool:
        """Whether the replica lacks anything heard of by now. It is asked only if that is not known."""
        wanted = self._wanted()
        if not wanted:
            return False
        # What is heard of meanwhile is not asked for: it may be there, and these heads cannot know.
        heads = self._known = await self._read(session)
        return heads.generation != self._generation() or any(
            heads.of(family)[lane] < position for (family, lane), position in wanted
        )

    def _wanted(self) -> list[tuple[LaneKey, int]]:
        """How far it must be, where that is not known."""
        known = self._known
        if known is None or known.generation != self._generation():
            return [one for positions in self._followers for one in positions()]
        heads = {"r": known.rooms, "u": known.users}
        return [
            (key, position)
            for positions in self._followers
            for key, position in positions()
            if heads[key[0]][key[1]] < position
        ]

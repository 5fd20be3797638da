"""Who may see what: intervals, and a pure judgement over them.

The write path keeps, for each user and for the room's history visibility, since when and until when (by
ordinal) a value has held. One query gives a viewer's intervals in any number of rooms; after that every event
is judged without another look-up. An interval [from, to) says what holds *after* an event. A user's own
member event and an m.room.history_visibility event are judged by what holds before them as well, so it is
enough to look at n - 1 and n: for all other events both are the same.

Client-Server API, "Room History Visibility"; the rules themselves are `plexus.protocol.visibility`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, LiteralString

from plexus.protocol.visibility import (
    DEFAULT_HISTORY_VISIBILITY,
    HistoryVisibility,
    history_visibility_of,
    may_see_own_membership,
)
from plexus.rooms.ground import Ground
from plexus.rooms.packing import int4
from plexus.rooms.stored import StoredEvent
from plexus.rooms.values import Place, RoomRef, Visibility
from plexus.rooms.writes import MEMBERSHIP_NAMES

NOW = 2**63 - 1
"""The end of the interval that holds now."""

INTERVALS: LiteralString = """
SELECT from_ordinal, to_ordinal, membership, NULL AS history_visibility, forgotten FROM rooms.membership m
 WHERE m.lane = q.lane AND m.room = q.room AND m.user_id = %(user)s
UNION ALL
SELECT from_ordinal, to_ordinal, NULL, history_visibility, false FROM rooms.visibility v
 WHERE v.lane = q.lane AND v.room = q.room
"""
"""The rows of `viewer_of`, for a room ``q`` of the query around."""

_VIEWERS = """
SELECT q.i - 1, x.*
  FROM unnest(%(lanes)s::smallint[], %(rooms)s::integer[]) WITH ORDINALITY AS q (lane, room, i)
 CROSS JOIN LATERAL ({intervals}) AS x ORDER BY q.i, x.from_ordinal
""".replace("{intervals}", INTERVALS)


@dataclass(frozen=True, slots=True)
class Interval:
    """A membership that holds from ``start`` (an ordinal) to before ``end``."""

    start: int
    end: int
    membership: str


@dataclass(frozen=True, slots=True)
class Viewer:
    """One user's eyes in one room. ``memberships`` and ``visibilities`` (from ordinal, value) are sorted."""

    user_id: str
    memberships: Sequence[Interval]
    visibilities: Sequence[tuple[int, HistoryVisibility]]
    forgotten: bool = False
    _bounds: list[int] = field(init=False, repr=False, compare=False)
    """Ordinals at which what holds may change: between two of them it is the same for all events."""
    _held: dict[int, Visibility] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        starts = [interval.start for interval in self.memberships]
        starts += [ordinal for ordinal, _ in self.visibilities]
        # An event is judged by what holds before it too, and by whether a joined interval ends after it.
        ends = [interval.end for interval in self.memberships if interval.membership == "join"]
        bounds = {*starts, *(ordinal + 1 for ordinal in starts), *ends}
        object.__setattr__(self, "_bounds", sorted(bounds))

    @property
    def membership(self) -> str | None:
        """The membership now."""
        return self.memberships[-1].membership if self.memberships else None

    @property
    def history_visibility(self) -> HistoryVisibility:
        """The history visibility now."""
        return self.visibilities[-1][1] if self.visibilities else DEFAULT_HISTORY_VISIBILITY

    @property
    def has_joined(self) -> bool:
        """Whether the user has ever been in the room (and has not forgotten it)."""
        return not self.forgotten and any(interval.membership == "join" for interval in self.memberships)

    @property
    def left_at(self) -> int | None:
        """The ordinal of the event with which the user last stopped being joined; None while joined, or if
        never.
        """
        if self.membership == "join":
            return None
        ends = [interval.end for interval in self.memberships if interval.membership == "join"]
        return ends[-1] if ends else None

    @property
    def came_at(self) -> int | None:
        """The ordinal of the event with which the user last came in; None if they never did."""
        joined = [interval for interval in self.memberships if interval.membership == "join"]
        if not joined:
            return None
        came = joined[-1].start
        for earlier in reversed(joined[:-1]):
            if earlier.end != came:
                break
            came = earlier.start
        return came

    @property
    def may_read(self) -> bool:
        """Whether anything at all may be visible: members, those who were, and anybody where the room is or
        was world-readable.
        """
        return self.has_joined or any(value == "world_readable" for _, value in self.visibilities)

    def ranges(self) -> list[tuple[int, int]]:
        """The ordinals (from, to, both included) at which the user may see what happens."""
        starts = sorted({0, *self._bounds} - {NOW})
        found: list[tuple[int, int]] = []
        for start, end in pairwise([*starts, NOW + 1]):
            if not self.at(Place(start)).visible:
                continue
            if found and found[-1][1] == start - 1:
                found[-1] = (found[-1][0], end - 1)
            else:
                found.append((start, end - 1))
        return found

    def at(self, place: Place) -> Visibility:
        """What holds for an event at a place."""
        ordinal = place.ordinal
        if place.sub < 0:
            # Older than what is known here: the first that is known of the time after it.
            ordinal -= 1
        segment = bisect_right(self._bounds, ordinal)
        held = self._held.get(segment)
        if held is None:
            held = self._held[segment] = self._judge(ordinal)
        return held

    def between(self, first: Place, last: Place) -> Visibility | None:
        """What holds for all events from one place to another, in either direction; None if it changes."""
        if first.sub < 0 or last.sub < 0:
            return None
        same = bisect_right(self._bounds, first.ordinal) == bisect_right(self._bounds, last.ordinal)
        return self.at(first) if same else None

    def _judge(self, ordinal: int) -> Visibility:
        joined_later = any(i.membership == "join" and i.end > ordinal for i in self.memberships)
        after = self._membership(ordinal)
        visibility = self._visibility(ordinal)
        before = self._membership(ordinal - 1)
        visible = any(
            may_see_own_membership(seen, before, after, joined_later=joined_later)
            for seen in {visibility, self._visibility(ordinal - 1)}
        )
        return Visibility(visible, after, visibility, "join" in (before, after))

    def sees(self, event: StoredEvent) -> bool:
        """Whether the user may see this event. What has no place in the timeline is for nobody."""
        return event.ordinal is not None and self.at(event.place).visible

    def _membership(self, ordinal: int) -> str | None:
        found = None
        for interval in self.memberships:
            if interval.start > ordinal:
                break
            found = interval.membership
        return found

    def _visibility(self, ordinal: int) -> HistoryVisibility:
        at = bisect_right(self.visibilities, ordinal, key=lambda entry: entry[0])
        return self.visibilities[at - 1][1] if at else DEFAULT_HISTORY_VISIBILITY


async def read_viewers(ground: Ground, refs: Sequence[RoomRef], user_id: str) -> dict[RoomRef, Viewer]:
    """The user's eyes in each of these rooms, in one query."""
    if not refs:
        return {}
    async with ground.db.read() as session:
        rows = await session.fetch(
            _VIEWERS,
            {
                "lanes": int4([ref.lane for ref in refs]),
                "rooms": int4([ref.room for ref in refs]),
                "user": user_id,
            },
        )
    found: list[list[Sequence[Any]]] = [[] for _ in refs]
    for i, *row in rows:
        found[i].append(row)
    return {ref: viewer_of(user_id, found[i]) for i, ref in enumerate(refs)}


def viewer_of(user_id: str, rows: Iterable[Sequence[Any]]) -> Viewer:
    """The user's eyes, from the rows of `INTERVALS` in order."""
    memberships: list[Interval] = []
    visibilities: list[tuple[int, HistoryVisibility]] = []
    forgotten = False
    for start, end, membership, visibility, is_forgotten in rows:
        if membership is None:
            visibilities.append((start, history_visibility_of({"history_visibility": visibility})))
        else:
            memberships.append(Interval(start, end, MEMBERSHIP_NAMES[membership]))
            if end == NOW:
                forgotten = is_forgotten
    return Viewer(user_id, memberships, visibilities, forgotten)

"""`Rooms`: the one door to everything that has to do with rooms."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plexus.rooms.resolver import StateResolver, UnresolvedState
from plexus.rooms.stored import StoredEvent
from plexus.rooms.values import (
    EVERYTHING,
    Alias,
    Head,
    Member,
    NewEvent,
    Place,
    PublishedRoom,
    RoomInfo,
    RoomRef,
    TimelinePage,
    TimelineRange,
    Txn,
    UserRoom,
    View,
    Visibility,
    Wanted,
    Written,
)

if TYPE_CHECKING:
    from plexus.platform.context import Platform


class Rooms:
    """The room engine of one process."""

    def __init__(self, platform: Platform, *, resolver: StateResolver | None = None) -> None:
        self._platform = platform
        self._resolver = resolver or UnresolvedState()

    async def start(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    # --- writing

    async def send(
        self,
        room_id: str,
        sender: str,
        event: NewEvent,
        *,
        txn: Txn | None = None,
    ) -> Written:
        """Send an event of any type: message, state, membership, redaction.

        A transaction id that is known gives the event it made then. State that is already so, by the same sender,
        gives the event in force. Raises `NotFound` (no such room), `AuthRejected` or `Forbidden`, `BadJson`,
        `InvalidParam` and `TooLarge` (nothing was written), `LimitExceeded` and `Unavailable` (try again).
        """
        raise NotImplementedError

    async def create(
        self,
        creator: str,
        room_version: str,
        events: Sequence[NewEvent] | Callable[[str], Sequence[NewEvent]],
        *,
        published: bool = False,
        alias: str | None = None,
    ) -> Written:
        """Make a room of these events, in this order, the first being m.room.create. All or nothing.

        The room version is put into the content of the create event. The answer's ``room_id`` is the new room's,
        its ``event_id`` that of the last event. ``alias`` is taken first: `RoomInUse` if somebody has it.
        """
        raise NotImplementedError

    async def forget(self, room_id: str, user_id: str) -> None:
        """Client-Server API, ``forgetRoom``: `Forbidden`-like error while the user is still in the room."""
        raise NotImplementedError

    async def publish(self, room_id: str, published: bool) -> None:
        """Put the room into the public directory, or take it out."""
        raise NotImplementedError

    # --- rooms

    async def ref(self, room_id: str) -> RoomRef | None:
        """Where the room is; None if there is none."""
        raise NotImplementedError

    async def room(self, room_id: str) -> RoomInfo | None:
        """The room as it is now; None if there is none."""
        raise NotImplementedError

    async def heads(self, refs: Sequence[RoomRef], cut: Sequence[int] | None = None) -> dict[RoomRef, Head]:
        """The heads of many rooms, now or at a cut (positions by room lane). A room that begins after the cut is
        left out. One query; two if a room has moved beyond the cut.
        """
        raise NotImplementedError

    async def ordinal_at(self, ref: RoomRef, position: int) -> int | None:
        """The ordinal of the last live event whose fact is at or before ``position``; None if the facts that would
        tell have been dropped.
        """
        raise NotImplementedError

    async def ordinals_at(self, places: Sequence[tuple[RoomRef, int]]) -> list[int | None]:
        """The same for many rooms in one query."""
        raise NotImplementedError

    # --- membership

    async def membership(self, room_id: str, user_id: str) -> str | None:
        """The user's membership now; None if there never was one."""
        raise NotImplementedError

    async def rooms_of(
        self,
        user_id: str,
        memberships: Collection[str] = frozenset({"join"}),
        *,
        cut: Sequence[int] | None = None,
    ) -> list[UserRoom]:
        """The rooms in which the user has one of these memberships, now or at a cut (positions by room lane)."""
        raise NotImplementedError

    async def joined_members(self, room_id: str) -> list[Member]:
        """The joined members with what their events say of them."""
        raise NotImplementedError

    async def members(
        self,
        room_id: str,
        *,
        snapshot: int | None = None,
        membership: str | None = None,
        not_membership: str | None = None,
    ) -> list[StoredEvent]:
        """The m.room.member events of a snapshot (default: now)."""
        raise NotImplementedError

    async def member_ids(self, ref: RoomRef, memberships: Collection[str] = frozenset({"join"})) -> list[str]:
        """The users that have one of these memberships now."""
        raise NotImplementedError

    async def heroes(self, refs: Sequence[RoomRef], user_id: str, limit: int = 5) -> dict[RoomRef, list[str]]:
        """For each room its first members other than ``user_id`` (``m.heroes``): joined and invited ones, or, if
        there are none, those who have left.
        """
        raise NotImplementedError

    async def neighbours(self, user_id: str) -> set[str]:
        """The users who share a joined room with this one."""
        raise NotImplementedError

    async def share_room(self, user_id: str, others: Collection[str]) -> set[str]:
        """Those of ``others`` who share a joined room with ``user_id``."""
        raise NotImplementedError

    async def hosts(self, room_id: str, at: int | None = None) -> list[str]:
        """The servers in the room, now or at an ordinal."""
        raise NotImplementedError

    # --- state

    async def state_event(self, room_id: str, type: str, state_key: str) -> StoredEvent | None:
        """The state event in force now."""
        raise NotImplementedError

    async def current_state(self, room_id: str, wanted: Wanted = EVERYTHING) -> list[StoredEvent]:
        """The state in force now."""
        raise NotImplementedError

    async def state_at(
        self, ref: RoomRef, snapshot: int, wanted: Wanted = EVERYTHING
    ) -> dict[tuple[str, str], StoredEvent]:
        """The state of a snapshot."""
        raise NotImplementedError

    async def states(
        self, snapshots: Sequence[tuple[RoomRef, int, Wanted]]
    ) -> list[dict[tuple[str, str], StoredEvent]]:
        """The states of many snapshots, in the order given, in a fixed number of queries."""
        raise NotImplementedError

    async def state_nums(
        self, snapshots: Sequence[tuple[RoomRef, int, Wanted]]
    ) -> list[dict[tuple[str, str], int]]:
        """The same as `states`, giving the numbers of the events only."""
        raise NotImplementedError

    async def snapshot_diff(
        self, ref: RoomRef, old: int, new: int, wanted: Wanted = EVERYTHING
    ) -> dict[tuple[str, str], StoredEvent | None]:
        """What changed from one snapshot to another; None for an entry that is gone."""
        raise NotImplementedError

    async def snapshot_diffs(
        self, pairs: Sequence[tuple[RoomRef, int, int, Wanted]]
    ) -> list[dict[tuple[str, str], StoredEvent | None]]:
        """The same for many rooms, in a fixed number of queries."""
        raise NotImplementedError

    # --- events

    async def event(self, room_id: str | None, event_id: str, *, viewer: str | None) -> StoredEvent:
        """One event; `NotFound` if there is none or ``viewer`` may not see it (None sees everything)."""
        raise NotImplementedError

    async def events(
        self, wanted: Sequence[tuple[RoomRef, Iterable[int]]]
    ) -> dict[tuple[RoomRef, int], StoredEvent]:
        """Events by room and num, for many rooms in one query."""
        raise NotImplementedError

    async def decorate(self, events: Iterable[StoredEvent]) -> None:
        """Attach to each event what its ``unsigned`` speaks of: what it replaced, and what redacted it."""
        raise NotImplementedError

    async def timeline(
        self,
        room_id: str,
        *,
        start: Place | None = None,
        end: Place | None = None,
        backwards: bool = True,
        limit: int = 10,
        viewer: str | None = None,
        event_filter: Callable[[StoredEvent], bool] | None = None,
    ) -> TimelinePage:
        """A page of the timeline from the boundary ``start`` (default: the newest or the oldest end) towards
        ``end``, of events that ``viewer`` may see and the filter lets through, decorated.
        """
        raise NotImplementedError

    async def timelines(self, ranges: Sequence[TimelineRange]) -> list[TimelinePage]:
        """The newest live events of many rooms in one query, oldest first, not yet decorated."""
        raise NotImplementedError

    async def snapshot_at(self, ref: RoomRef, place: Place) -> int | None:
        """The snapshot of the state after the last event at or before a place."""
        raise NotImplementedError

    # --- visibility

    async def visibilities(self, ref: RoomRef, user_id: str, places: Sequence[Place]) -> list[Visibility]:
        """For each place whether the user may see an event there, and what their membership was."""
        raise NotImplementedError

    async def view(self, room_id: str, user_id: str) -> View:
        """What the user may see of the room's state; `Forbidden` if nothing."""
        raise NotImplementedError

    # --- aliases and directory

    async def resolve_alias(self, alias: str) -> Alias | None:
        raise NotImplementedError

    async def create_alias(self, alias: str, room_id: str, creator: str) -> None:
        """`RoomInUse` if the alias is taken, `NotFound` if there is no such room."""
        raise NotImplementedError

    async def delete_alias(self, alias: str) -> bool:
        raise NotImplementedError

    async def aliases_of(self, room_id: str) -> list[Alias]:
        raise NotImplementedError

    async def published_rooms(
        self, *, limit: int, after: str | None = None, backwards: bool = False, search: str | None = None
    ) -> tuple[list[PublishedRoom], str | None, str | None, int]:
        """A page of the public directory: rooms, next and previous batch, estimated total."""
        raise NotImplementedError


_ = Any, Mapping

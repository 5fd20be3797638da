"""Who is connected, and in which rooms they are.

A `UserView` is what this replica knows of one user: their membership of each room, loaded once and then kept
by the facts of the room lanes, and the polls they hold. The `Interest` index leads from a room to the views
of its joined members, so that a fact of a room nobody here is in costs one look-up in a dict.

Everything here changes only in `plexus.sync.replica.feed`, in the turn of the event loop in which the head of
the tail moves: whoever looks at head and views without awaiting sees one moment.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from plexus.rooms import RoomRef, Unread, UserRoom
from plexus.sync.events import SyncEvent
from plexus.sync.replica.cut import Cut
from plexus.sync.replica.sent_members import SentMembers
from plexus.users import ContactRules

if TYPE_CHECKING:
    from plexus.sync.replica.polls import Poll


class Membership(NamedTuple):
    """A user's membership of a room since the fact at ``position``, that of the event with ``ordinal``.

    ``joined_from`` is for those no longer in the room: the position of the join that ended with this
    membership, None if they were not in the room just before, `UNKNOWN` if it ended before this view was
    loaded.
    """

    ref: RoomRef
    membership: str
    position: int
    ordinal: int
    joined_from: int | None


def holds_at(cut: Cut, membership: Membership) -> bool:
    """Whether a membership began within the cut. A view may be loaded ahead of the lanes."""
    return membership.position <= cut.rooms[membership.ref.lane]


UNKNOWN = -1

_MOST_DEVICES = 64
_MOST_UNREAD = 1_000
"""Rooms of a user whose counts are kept; those of others are read when they are told."""
_MOST_DEVICE_LISTS = 4096
_MOST_LOOKED_AT = 32
_BYTES, _BYTES_ROOM, _BYTES_UNREAD = 2_000, 500, 500
"""What a user and one of their rooms cost in memory, roughly, with its place in sliding sync's list."""


class Move(NamedTuple):
    """A membership that has changed with the event of this ordinal, which need not be the user's member
    event: a resolution of branches may bring another one into force, or take it away.
    """

    ref: RoomRef
    state_key: str
    membership: str
    ordinal: int


class DeviceListChange(NamedTuple):
    """The devices or cross-signing keys of a user changed, by the fact at this place."""

    lane: int
    position: int
    user_id: str


@dataclass(slots=True)
class DeviceState:
    """What is kept of a device between its syncs. ``key_counts`` is JSON, stale once a fact said so;
    ``inbox_empty`` says that nothing waits beyond what was sent, as of the newest of ``inbox_looks``;
    ``acknowledged`` is how far its inbox has been cleared; ``superseded_at`` is when a newer poll last ended
    older ones, by the loop's clock.
    """

    key_counts: bytes | None = None
    key_counts_stale: bool = False
    key_changes: int = 0
    inbox_empty: bool = False
    inbox_looks: int = 0
    acknowledged: int = 0
    members: SentMembers | None = None
    superseded_at: float = -1e9


class UserView:
    """One user, as this replica knows them. ``joined`` holds the rooms they are in, ``others`` those they are
    invited to, knock at, have left or are banned from; ``recent`` those of the others that changed since the
    view was ``loaded``, which is the cut from which on it has seen every fact. Before, it may not be read.
    ``rules`` say whom the user does not want to hear from, None before they were read; who has a request
    under way goes on with them when they are ``rules_stale``, which is when they have to be read anew.
    """

    __slots__ = (
        "__weakref__",
        "asked",
        "device_lists",
        "devices",
        "joined",
        "lane",
        "loaded",
        "others",
        "polls",
        "recent",
        "rules",
        "rules_changes",
        "rules_stale",
        "told",
        "unread",
        "user_id",
        "weighed",
    )

    def __init__(self, user_id: str, lane: int) -> None:
        self.asked = 0
        self.weighed = 0
        """Its size when `Interest` looked last."""
        self.user_id = user_id
        self.lane = lane
        self.loaded: Cut | None = None
        self.joined: dict[str, Membership] = {}
        self.others: dict[str, Membership] = {}
        self.recent: dict[str, Membership] = {}
        self.polls: list[Poll] = []
        self.devices: dict[str, DeviceState] = {}
        self.rules: ContactRules | None = None
        self.rules_stale = True
        self.rules_changes = 0
        self.unread: OrderedDict[str, Unread] = OrderedDict()
        self.told: Cut | None = None
        self.device_lists: list[DeviceListChange] | None = None
        """Changes of device lists that concern the user, all since the cut ``told``."""

    @property
    def size(self) -> int:
        """What it costs in memory, in bytes, roughly."""
        rooms = len(self.joined) + len(self.others)
        devices = sum(300 + (0 if d.members is None else d.members.size) for d in self.devices.values())
        told = 0 if self.device_lists is None else 8 * len(self.device_lists)
        return _BYTES + _BYTES_ROOM * rooms + _BYTES_UNREAD * len(self.unread) + told + devices

    def tell_no_more(self, cut: Cut) -> None:
        """Forget the changes of device lists if they are many: older tokens ask the database."""
        if self.device_lists is not None and len(self.device_lists) > _MOST_DEVICE_LISTS:
            self.device_lists = None
            self.told = cut

    def membership(self, room_id: str) -> Membership | None:
        return self.joined.get(room_id) or self.others.get(room_id)

    def others_since(self, since: Cut) -> Iterable[Membership]:
        """The rooms not joined whose membership may have changed after a cut."""
        if self.loaded is not None and since.covers(self.loaded):
            return self.recent.values()
        return self.others.values()

    def device(self, device_id: str) -> DeviceState:
        state = self.devices.get(device_id)
        if state is None:
            if len(self.devices) >= _MOST_DEVICES:
                self.devices.pop(next(iter(self.devices)))
            state = self.devices[device_id] = DeviceState()
        return state

    def keep_unread(self, room_id: str, counted: Unread) -> Unread:
        """Keep what was counted, unless something newer is known by now; what is newest."""
        known = self.unread.get(room_id)
        if known is None or known.position < counted.position:
            known = self.unread[room_id] = counted
        self.unread.move_to_end(room_id)
        if len(self.unread) > _MOST_UNREAD:
            self.unread.popitem(last=False)
        return known

    def forget_rules(self) -> None:
        """Account data of the user has changed, and what it was is not said."""
        self.rules_stale = True
        self.rules_changes += 1

    def forget_key_counts(self, device_id: str) -> None:
        state = self.devices.get(device_id)
        if state is not None:
            state.key_counts_stale = True
            state.key_changes += 1


_WEIGH_EVERY = 16
"""Of so many requests for a view one weighs it: doing so each time was a sixteenth of a delivery."""
_NOBODY: frozenset[UserView] = frozenset()


class Interest:
    """The views of this replica, and which of them are in a room. At most ``limit`` views, of ``limit_bytes``
    together; the one used least recently goes, unless it holds a poll.
    """

    __slots__ = ("bytes", "limit", "limit_bytes", "looking", "rooms", "views")

    def __init__(self, limit: int, limit_bytes: int = 2**29) -> None:
        self.limit = limit
        self.limit_bytes = limit_bytes
        self.bytes = 0
        """What the views cost, as of when each was last weighed."""
        self.looking: dict[str, list[UserView]] = {}
        """Those who look into a room with a poll of their own, and need not be in it."""
        self.views: OrderedDict[str, UserView] = OrderedDict()
        self.rooms: dict[str, set[UserView]] = {}

    def view(self, user_id: str, lane: int) -> UserView:
        """The view of this user, a new one if there is none yet."""
        view = self.views.get(user_id)
        if view is None:
            view = self.views[user_id] = UserView(user_id, lane)
        else:
            self.views.move_to_end(user_id)
        if view.asked % _WEIGH_EVERY == 0:
            self._weigh(view)
        view.asked += 1
        if len(self.views) > self.limit or self.bytes > self.limit_bytes:
            self._make_room(view)
        return view

    def load(self, view: UserView, rooms: Iterable[UserRoom], since: Cut) -> None:
        """Take what the database says, except where a fact has already said something newer.

        ``since`` is a cut before the rows were read, from which on facts have been applied.
        """
        for room in rooms:
            known = view.membership(room.room_id)
            if known is None or known.position < room.position:
                joined_from = None if room.membership == "join" else UNKNOWN
                self._put(
                    view,
                    Membership(room.ref, room.membership, room.position, room.from_ordinal, joined_from),
                )
        view.loaded = view.told = since
        self._weigh(view)

    def _weigh(self, view: UserView) -> None:
        if self.views.get(view.user_id) is view:
            size = view.size
            self.bytes += size - view.weighed
            view.weighed = size

    def apply(self, event: SyncEvent | Move, position: int) -> UserView | None:
        """A membership has changed by a fact; returns the view of its user, None if they are not here."""
        view = None if event.state_key is None else self.views.get(event.state_key)
        if view is None:
            return None
        ref, membership = event.ref, event.membership or "leave"
        before = view.membership(ref.room_id)
        if before is not None:
            if before.position >= position:
                if before.membership != "join":
                    view.recent[ref.room_id] = before
                return view
            if before.membership == membership == "join":
                return view
        joined_from: int | None = None
        if membership != "join" and before is not None and before.membership == "join":
            joined_from = before.position
        elif membership != "join" and before is None and view.loaded is None:
            joined_from = UNKNOWN
        self._put(view, Membership(ref, membership, position, event.ordinal, joined_from))
        if membership != "join":
            view.recent[ref.room_id] = view.others[ref.room_id]
        return view

    @contextmanager
    def looking_into(self, room_id: str | None, view: UserView) -> Iterator[None]:
        """For as long as the block lasts what happens in this room wakes the view's polls."""
        if room_id is None:
            yield
            return
        views = self.looking.setdefault(room_id, [])
        views.append(view)
        try:
            yield
        finally:
            views.remove(view)
            if not views and self.looking.get(room_id) is views:
                del self.looking[room_id]

    def tell_device_list(self, change: DeviceListChange, rooms: Iterable[str]) -> set[UserView]:
        """Note the change in the views of the user and of all who are in these rooms, and return those."""
        told: set[UserView] = set()
        for room_id in rooms:
            told |= self.rooms.get(room_id, _NOBODY)
        own = self.views.get(change.user_id)
        if own is not None:
            told.add(own)
        for view in told:
            if view.device_lists is None:
                view.device_lists = []
            view.device_lists.append(change)
        return told

    def drop(self, view: UserView) -> None:
        """Forget a view. Its polls go on; the next request of the user loads a new one."""
        if self.views.get(view.user_id) is view:
            del self.views[view.user_id]
            self.bytes -= view.weighed
        for room_id in view.joined:
            self._leave(view, room_id)

    def clear(self) -> None:
        """Forget everybody: a new generation has begun."""
        self.views.clear()
        self.rooms.clear()
        self.bytes = 0

    def _put(self, view: UserView, membership: Membership) -> None:
        room_id = membership.ref.room_id
        if membership.membership == "join":
            view.others.pop(room_id, None)
            view.recent.pop(room_id, None)
            view.joined[room_id] = membership
            self.rooms.setdefault(room_id, set()).add(view)
        else:
            if view.joined.pop(room_id, None) is not None:
                self._leave(view, room_id)
            view.others[room_id] = membership

    def _leave(self, view: UserView, room_id: str) -> None:
        views = self.rooms.get(room_id)
        if views is not None:
            views.discard(view)
            if not views:
                del self.rooms[room_id]

    def _make_room(self, asking: UserView) -> None:
        """Drop the views that were asked for least recently. Those that hold a poll are in use, and are not
        looked at again soon.
        """
        for _ in range(_MOST_LOOKED_AT):
            view = next(iter(self.views.values()))
            if view is asking or view.loaded is None or view.polls:
                self.views.move_to_end(view.user_id)
            else:
                self.drop(view)
            if len(self.views) <= self.limit and self.bytes <= self.limit_bytes:
                return

"""`Rooms`: the one door to everything that has to do with rooms. What is done stands behind it; the length of
this module is that of the face.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from plexus.protocol.errors import NotFound
from plexus.protocol.events import Event
from plexus.rooms import directory, replacements
from plexus.rooms.bundles import Bundle, Parent, read_bundles
from plexus.rooms.by_time import event_by_time
from plexus.rooms.by_type import events_in, events_of_lane
from plexus.rooms.cards import Card, CardReader, Outside
from plexus.rooms.creation import Events
from plexus.rooms.erasure import (
    ErasedUsers,
    Erasure,
    NobodyErased,
    Told,
    Withheld,
    is_last_word,
    speakers,
)
from plexus.rooms.events import EventReader
from plexus.rooms.ground import Ground
from plexus.rooms.heads import HeadReader
from plexus.rooms.in_force import InForce
from plexus.rooms.member_rules import DefaultRules, MemberRules
from plexus.rooms.membership import MembershipReader, member_of
from plexus.rooms.notifications import NEWEST, Listed, Notification, NotificationReader
from plexus.rooms.notifying import Notifier
from plexus.rooms.printed_state import StateInForce
from plexus.rooms.pushes import NotifyingEvent, PushReader
from plexus.rooms.receipt_targets import ReceiptTarget, ReceiptTargets
from plexus.rooms.receipt_writer import ReceiptWriter
from plexus.rooms.receipts import ReadPlaces, Receipt, ReceiptReader, ReceiptType
from plexus.rooms.refs import Refs
from plexus.rooms.relations import Asked, read_children
from plexus.rooms.replacements import Replacement, Replaces
from plexus.rooms.restricted import JoinAuthoriser
from plexus.rooms.sending import Sending
from plexus.rooms.state import StateReader
from plexus.rooms.stored import StoredEvent
from plexus.rooms.stretches import Stretches
from plexus.rooms.summaries import RoomSummary, read_summaries
from plexus.rooms.threads import ThreadsPage, read_threads
from plexus.rooms.timeline import read_around, read_timeline
from plexus.rooms.transactions import event_of
from plexus.rooms.unread import Unread, UnreadReader
from plexus.rooms.values import (
    EVERYTHING,
    Alias,
    Head,
    Member,
    NewEvent,
    Place,
    PublishedRoom,
    Received,
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
from plexus.rooms.viewing import Viewing
from plexus.rooms.visibility import Viewer


class Rooms:
    """The room engine of one process. Any number of them may work on one database."""

    def __init__(
        self,
        ground: Ground,
        rules: MemberRules | None = None,
        erased: ErasedUsers | None = None,
        *,
        state_cache_bytes: int = 2**26,
        timeline_cache_bytes: int = 2**26,
    ) -> None:
        self._ground = ground
        self._refs = Refs(ground)
        self._erasure = Erasure(ground, erased or NobodyErased())
        self._events = EventReader(ground, self._erasure)
        self._heads = HeadReader(ground)
        self._states = StateReader(ground, self._events)
        self._cards = CardReader(ground, self._heads, self._states)
        self._in_force = InForce(ground, state_cache_bytes)
        self._members = MembershipReader(ground)
        self._stretches = Stretches(ground, self._events, self._states, timeline_cache_bytes)
        self._viewing = Viewing(ground, self._refs, self._events, self._heads, self._stretches)
        authoriser = JoinAuthoriser(ground, self._refs, self._states, self._members)
        notifier = Notifier(ground, rules or DefaultRules())
        self._sending = Sending(ground, self._refs, authoriser, notifier, self._stretches)
        self._receipts = ReceiptReader(ground)
        self._unread = UnreadReader(ground)
        self._notifications = NotificationReader(ground)
        self._pushes = PushReader(ground)
        self._receipt_targets = ReceiptTargets(ground)
        self._receipt_writer = ReceiptWriter(ground)

    async def start(self) -> None:
        """Nothing to open: what is needed is made when it is needed."""

    async def stop(self) -> None:
        """Take no more writes, and finish those under way."""
        await self._sending.stop()
        await self._receipt_writer.stop()

    # --- writing

    async def send(self, room_id: str, sender: str, event: NewEvent, *, txn: Txn | None = None) -> Written:
        """Send an event of any type: message, state, membership, redaction.

        A transaction id that is known gives the event it made then, also if its sender may no longer send.
        State that is already so, by the same sender, gives the event in force. A join under a restricted rule
        is authorised by somebody here who may; ``join_authorised_via_users_server`` in the content counts for
        nothing. A redaction takes away the content of its target with the same write; if there is no such
        event in the room it is written and takes nothing away, also later.

        Raises `NotFound` (no such room), `AuthRejected` or `Forbidden`, `BadJson`, `InvalidParam` and
        `TooLarge`: nothing was written. `LimitExceeded`: nothing was written, too much is waiting.
        `Unavailable`: it is not known, send it again with the same transaction id.
        """
        return await self._sending.send(room_id, sender, event, txn)

    async def sent(self, room_id: str, txn: Txn) -> str | None:
        """The ID of the event that was sent with a transaction id, if one was."""
        ref = await self._refs.get(room_id)
        if ref is None:
            return None
        async with self._ground.db.read(primary=True) as session:
            return await event_of(session, ref, txn)

    async def create(
        self,
        creator: str,
        room_version: str,
        events: Events,
        *,
        published: bool = False,
        alias: str | None = None,
        replaces: Replaces | None = None,
    ) -> Written:
        """Make a room of these events by ``creator``, in this order, the first m.room.create. All or nothing.

        ``events`` may be a function of the room ID, for events that speak of it (called with "" first where
        the ID is the hash of the create event). ``room_version``, and ``creator`` where it belongs, are put
        into the create event. The answer's ``event_id`` is that of the last event. ``alias`` is taken first:
        `RoomInUse` if somebody has it. Otherwise raises as `send`, and `UnsupportedRoomVersion`. After
        `Unavailable`, or if the caller is cancelled, the room may yet come to be; if it does not, its alias
        leads nowhere and is free after a minute.

        ``replaces`` makes it the replacement of another room, in a record that is claimed first:
        `ReplacementClaimed` if the other has, or is about to have, one.
        """
        return await self._sending.create(
            creator, room_version, events, published=published, alias=alias, replaces=replaces
        )

    async def receive(self, event: Event) -> Received:
        """Take an event from another server into its room, which is here. Hash and signatures have been
        checked.

        What becomes of it is in the answer: it is in the timeline, soft-failed or rejected; each is stored.
        The same event again changes nothing. A room whose history forks has several extremities, and its
        current state is the resolution of the states after them.

        Raises `UnknownPredecessors` (it builds upon what is not here: fetch that first), `InvalidEvent` (it
        cannot be of this room) and `NotFound` (no such room): nothing was written. `LimitExceeded`,
        `Unavailable`: as `send`; give it again.

        Server-Server API, "Checks performed on receipt of a PDU".
        """
        return await self._sending.receive(event)

    async def forget(self, room_id: str, user_id: str) -> None:
        """Let the user forget a room that they have left. 400 M_UNKNOWN while they are in it."""
        await self._members.forget(await self._refs.require(room_id), user_id)

    async def publish(self, room_id: str, published: bool) -> None:
        """Put the room into the public directory, or take it out. Who may do so is for the caller to know."""
        await directory.publish(self._ground, await self._refs.require(room_id), published)

    # --- rooms

    async def ref(self, room_id: str) -> RoomRef | None:
        """Where the room is; None if there is none. Kept in memory."""
        return await self._refs.get(room_id)

    async def refs(self, room_ids: Iterable[str]) -> dict[str, RoomRef]:
        """Where those of these rooms are that are here; one query at most."""
        return await self._refs.get_many(room_ids)

    async def room(self, room_id: str) -> RoomInfo | None:
        """The room as it is now; None if there is none."""
        ref = await self._refs.get(room_id)
        return None if ref is None else await self._heads.room(ref)

    async def heads(self, refs: Sequence[RoomRef], cut: Sequence[int] | None = None) -> dict[RoomRef, Head]:
        """The heads of many rooms, now or at a cut (positions by room lane). A room that begins after the
        cut, or of which the cut cannot be told any more, is left out. One query; three if rooms have moved
        beyond the cut.
        """
        return await self._heads.heads(refs, cut)

    async def cards(self, rooms: Sequence[tuple[RoomRef, Outside | None]]) -> dict[RoomRef, Card]:
        """What a list of rooms needs to know of each, as of now; see `Card`. With a room goes where the user
        stands if they are not in it. One query, and four for all of the latter.
        """
        return await self._cards.cards(rooms)

    async def ordinal_at(self, ref: RoomRef, position: int) -> int | None:
        """The ordinal of the last live event whose fact is at or before ``position``, 0 if there is none;
        None if the facts that would tell have been dropped.
        """
        return (await self._heads.ordinals_at([(ref, position)]))[0]

    async def ordinals_at(self, places: Sequence[tuple[RoomRef, int]]) -> list[int | None]:
        """The same for many rooms in one query."""
        return await self._heads.ordinals_at(places)

    # --- membership

    async def membership(self, room_id: str, user_id: str) -> str | None:
        """The user's membership now; None if there never was one, or no such room."""
        ref = await self._refs.get(room_id)
        return None if ref is None else await self._members.membership(ref, user_id)

    async def rooms_of(
        self,
        user_id: str,
        memberships: Collection[str] = frozenset({"join"}),
        *,
        cut: Sequence[int] | None = None,
    ) -> list[UserRoom]:
        """The rooms in which the user has one of these memberships, now or at a cut (positions by room
        lane).
        """
        return await self._members.rooms_of(user_id, memberships, cut)

    async def joined_members(self, view: View) -> list[Member]:
        """The members who are joined in what somebody may see, with what their events say of them."""
        found = map(member_of, await self.state_seen(view, Wanted(types=frozenset({"m.room.member"}))))
        return [member for member in found if member.membership == "join"]

    async def member_ids(
        self, ref: RoomRef, memberships: Collection[str] = frozenset({"join"}), *, at: int | None = None
    ) -> list[str]:
        """The users that have one of these memberships, now or after the live event of an ordinal."""
        return await self._members.member_ids(ref, memberships, at)

    async def summaries(
        self, places: Sequence[tuple[RoomRef, int, int]], *, heroes: int = 5
    ) -> list[RoomSummary]:
        """How many are in each room and who stands for them, after the live event of an ordinal, which left
        the room's state as the snapshot given. One query.
        """
        return await read_summaries(self._ground, places, heroes)

    async def joined_of(self, user_ids: Sequence[str]) -> list[tuple[str, str]]:
        """Which of these users is joined to which room: (room ID, user ID). One query."""
        return await self._members.joined_of(user_ids)

    async def neighbours(self, user_id: str) -> set[str]:
        """The users who share a joined room with this one."""
        return await self._members.neighbours(user_id)

    async def share_room(self, user_id: str, others: Collection[str]) -> set[str]:
        """Those of ``others`` who share a joined room with ``user_id``."""
        return await self._members.share_room(user_id, others)

    async def joined_by(self, user_ids: Collection[str]) -> dict[str, set[tuple[int, int]]]:
        """The rooms (lane, number) that each of these users has joined, by the primary."""
        return await self._members.joined_by(user_ids)

    async def mutual_rooms(
        self, user_id: str, other: str, *, after: str = "", limit: int
    ) -> tuple[int, list[str]]:
        """How many rooms both have joined, and the IDs of the first ``limit`` of them after one, in their
        order.
        """
        return await self._members.mutual_rooms(user_id, other, after, limit)

    async def hosts(self, room_id: str, at: int | None = None) -> list[str]:
        """The servers in the room, those with the most members first, now or after the event of an
        ordinal.
        """
        return await self._members.hosts(await self._refs.require(room_id), at)

    # --- receipts

    async def receipt_target(self, room_id: str, event_id: str) -> ReceiptTarget | None:
        """The event that a receipt is to name; None if the room has no such event in its timeline. Kept in
        memory.
        """
        ref = await self._refs.get(room_id)
        return None if ref is None else await self._receipt_targets.get(ref, event_id)

    async def put_receipt(
        self, room_id: str, user_id: str, type: ReceiptType, target: ReceiptTarget, thread: str | None = None
    ) -> None:
        """Note that the user has read up to an event: in one thread, or in all of the room. One that is not
        ahead of the one before changes nothing. Returns when it is committed, which is up to a tenth of a
        second later: receipts are written together.

        `Forbidden` if the user is not in the room. `Unavailable`: it is not known, put it again.
        """
        await self._receipt_writer.put(await self._refs.require(room_id), user_id, type, target, thread)

    async def receipts(self, ranges: Sequence[tuple[RoomRef, int, int]], user_id: str) -> list[list[Receipt]]:
        """For each (room, after, upto) the receipts that this user may see that changed in ``after < position
        <= upto`` of the room's lane and not since. From 0 on: all. One query.
        """
        return await self._receipts.between(ranges, user_id)

    async def read_places(self, refs: Sequence[RoomRef], user_id: str) -> dict[RoomRef, ReadPlaces]:
        """Up to where the user has read each room and its threads, publicly or privately. One query."""
        return await self._receipts.read_places(refs, user_id)

    async def unread(self, refs: Sequence[RoomRef], user_id: str) -> dict[RoomRef, Unread]:
        """What a user has not read, by now, of those of these rooms that they are in. One query."""
        return await self._unread.read(refs, user_id)

    async def notifications(
        self,
        rooms: Sequence[UserRoom],
        user_id: str,
        before: Listed | None = None,
        limit: int = 20,
        *,
        highlights: bool = False,
    ) -> list[Notification]:
        """What the user has been notified of in these rooms of theirs, the newest first. One query."""
        start = NEWEST if before is None else before
        return await self._notifications.read(rooms, user_id, start, limit, highlights=highlights)

    async def notifying(self, ranges: Sequence[tuple[RoomRef, int, int]]) -> list[NotifyingEvent]:
        """Those of the events of these rooms and numbers (both ends included) that notify somebody here."""
        return await self._pushes.notifying(ranges)

    async def notified_event(self, lane: int, room: int, num: int) -> tuple[StoredEvent, str | None] | None:
        """An event by its numbers, with the root of its thread; None if it was redacted or is gone."""
        return await self._pushes.event(lane, room, num)

    async def readers(self, ranges: Sequence[tuple[RoomRef, int, int]]) -> set[str]:
        """Who has moved a receipt in these rooms, ``after < position <= upto`` in their lanes; not who has
        moved it again since.
        """
        return await self._pushes.readers(ranges)

    async def read_further(
        self, refs: Sequence[RoomRef], user_id: str, since: Sequence[int]
    ) -> list[RoomRef]:
        """Those of these rooms in which the user has moved a receipt after a cut of the room lanes."""
        return await self._unread.further(refs, user_id, since)

    # --- state

    async def state_event(self, room_id: str, type: str, state_key: str) -> StoredEvent | None:
        """The state event in force now; None also if there is no such room."""
        ref = await self._refs.get(room_id)
        return None if ref is None else await self._events.current(ref, type, state_key)

    async def current_state(self, room_id: str, wanted: Wanted = EVERYTHING) -> list[StoredEvent]:
        """The state in force now."""
        room = await self._require_room(room_id)
        return list((await self.state_at(room.ref, room.snapshot, wanted)).values())

    async def state_in_force(self, view: View) -> StateInForce | None:
        """The whole state, printed, for somebody who may see the room as it is now; None for others, for whom
        something of it is `withheld`, and if it has changed since they were looked at. Kept in memory.
        """
        state = await self._in_force.state(view) if view.is_current else None
        if state is None or not state.last_words:
            return state
        return None if await self.withheld({view.ref: view.viewer}, state.last_words) else state

    async def state_seen(self, view: View, wanted: Wanted = EVERYTHING) -> list[StoredEvent]:
        """The state that somebody may see, as they are to see it, read from the snapshots."""
        events = list((await self.state_at(view.ref, view.snapshot, wanted)).values())
        words = [event for event in events if is_last_word(event)] if view.is_current else events
        withheld = await self.withheld({view.ref: view.viewer}, words)
        return [withheld.shown(event) for event in events]

    async def state_at(
        self, ref: RoomRef, snapshot: int, wanted: Wanted = EVERYTHING
    ) -> dict[tuple[str, str], StoredEvent]:
        """The state of a snapshot."""
        return (await self._states.states([(ref, snapshot, wanted)]))[0]

    async def states(
        self, snapshots: Sequence[tuple[RoomRef, int, Wanted]]
    ) -> list[dict[tuple[str, str], StoredEvent]]:
        """The states of many snapshots, in the order given, in a fixed number of queries."""
        return await self._states.states(snapshots)

    async def members(
        self, snapshots: Sequence[tuple[RoomRef, int, frozenset[str]]], *, small: int = 0
    ) -> list[dict[str, StoredEvent]]:
        """The member events of these users at these snapshots, by user. Of a room of at most ``small``
        members, as it is now, those of all who are in it. Mostly one query.
        """
        return await self._states.members(snapshots, small=small)

    async def state_nums(
        self, snapshots: Sequence[tuple[RoomRef, int, Wanted]]
    ) -> list[dict[tuple[str, str], int]]:
        """The same as `states`, giving the numbers of the events only."""
        return await self._states.state_nums(snapshots)

    async def snapshot_diff(
        self, ref: RoomRef, old: int, new: int, wanted: Wanted = EVERYTHING
    ) -> dict[tuple[str, str], StoredEvent | None]:
        """What changed from one snapshot to another; None for an entry that is gone."""
        return (await self._states.diffs([(ref, old, new, wanted)]))[0]

    async def snapshot_diffs(
        self, pairs: Sequence[tuple[RoomRef, int, int, Wanted]]
    ) -> list[dict[tuple[str, str], StoredEvent | None]]:
        """The same for many rooms, in a fixed number of queries."""
        return await self._states.diffs(pairs)

    async def snapshot_at(self, ref: RoomRef, place: Place) -> int | None:
        """The snapshot of the state after the last event at or before a place."""
        return await self._heads.snapshot_at(ref, place)

    # --- events

    async def event(self, room_id: str | None, event_id: str, *, viewer: str | None) -> StoredEvent:
        """One event, decorated; `NotFound` if there is none or ``viewer`` may not see it (None sees
        everything).
        """
        return await self._viewing.event(room_id, event_id, viewer)

    async def events(
        self, wanted: Sequence[tuple[RoomRef, Iterable[int]]]
    ) -> dict[tuple[RoomRef, int], StoredEvent]:
        """Events by room and num, for many rooms in one query. What is not there is left out."""
        return await self._events.by_nums(wanted)

    async def events_in(
        self, ranges: Sequence[tuple[RoomRef, int, int]], types: Collection[str]
    ) -> list[StoredEvent]:
        """The live events of these types with ``lo <= ordinal <= hi``, for many rooms in one query of the
        primary.
        """
        return await events_in(self._ground, ranges, types)

    async def events_of_lane(
        self, lane: int, types: Collection[str], *, after: tuple[int, int] = (0, 0), limit: int
    ) -> list[StoredEvent]:
        """The live events of these types of all rooms of a lane, in the order (room, num), after one."""
        return await events_of_lane(self._ground, lane, types, after, limit)

    async def decorate(self, events: Iterable[StoredEvent]) -> None:
        """Attach to each event what its ``unsigned`` speaks of: what it replaced, and what redacted it. One
        query for all rooms.
        """
        await self._events.decorate(events)

    async def timeline(
        self,
        room_id: str,
        *,
        start: Place | None = None,
        end: Place | None = None,
        backwards: bool = True,
        limit: int = 10,
        viewer: str | Viewer | View | None = None,
        event_filter: Callable[[StoredEvent], bool] | None = None,
    ) -> TimelinePage:
        """A page of the timeline from the boundary ``start`` (default: the newest or the oldest end) towards
        ``end``, of events that ``viewer`` may see and the filter lets through, decorated. By a view it is of
        what there was when that was taken, and mostly from memory.

        `NotFound` if there is no such room, `Forbidden` if the viewer may see nothing of it.
        """
        ref = await self._refs.require(room_id)
        view = viewer if isinstance(viewer, View) else None
        return await read_timeline(
            self._ground,
            self._events,
            ref,
            start=start,
            end=end,
            backwards=backwards,
            limit=limit,
            viewer=viewer.viewer if isinstance(viewer, View) else viewer,
            event_filter=event_filter,
            page_of=None if view is None else partial(self._stretches.page, ref, view.num),
        )

    async def members_at(self, ref: RoomRef, snapshot: int, user_ids: Collection[str]) -> list[StoredEvent]:
        """The member events of these users in a snapshot, mostly found without asking for it again."""
        return await self._stretches.members(ref, snapshot, user_ids)

    async def around(
        self, asked: Sequence[tuple[StoredEvent, Viewer]], before: int, after: int
    ) -> list[tuple[TimelinePage, TimelinePage]]:
        """What a viewer may see next to each of these live events: pages of `timeline` backwards and forwards
        from it, of any number of rooms in one query.
        """
        return await read_around(self._ground, self._events, asked, before, after)

    async def related(
        self,
        ref: RoomRef,
        asked: Asked,
        *,
        viewer: str,
        start: Place | None = None,
        end: Place | None = None,
        backwards: bool = True,
        limit: int = 10,
    ) -> TimelinePage:
        """A page of the events that relate to one, as `timeline` gives one of the room. Whether ``viewer``
        may see that one is for the caller to know.
        """
        return await read_children(
            self._ground,
            self._events,
            ref,
            asked,
            viewer=viewer,
            start=start,
            end=end,
            backwards=backwards,
            limit=limit,
        )

    async def threads(
        self,
        ref: RoomRef,
        *,
        viewer: str,
        upto: int,
        start: Place | None = None,
        limit: int = 10,
        only_participated: bool = False,
        ignored: Collection[str] = frozenset(),
    ) -> ThreadsPage:
        """The roots of the room's threads as they stood at the ordinal ``upto``, those first in which
        something was said last; ``start`` is the ``end`` of the page before. `Forbidden` if the viewer may
        see nothing of this room.
        """
        return await read_threads(
            self._ground,
            self._events,
            ref,
            viewer=viewer,
            ignored=ignored,
            only_participated=only_participated,
            upto=upto,
            start=start,
            limit=limit,
        )

    async def bundles(
        self,
        parents: Sequence[Parent],
        *,
        viewer: str | None = None,
        ignored: Collection[str] = frozenset(),
        upto: Mapping[RoomRef, int] | None = None,
    ) -> dict[tuple[RoomRef, int], Bundle]:
        """What is told with these events (none a state event) of those that relate to them, by room and num;
        events with which nothing is told are left out. Of relations count those that ``viewer`` may see, by
        senders who are not ``ignored``, up to an ordinal of the room. One query if there are none.
        """
        return await read_bundles(
            self._ground, self._events, parents, viewer=viewer, ignored=ignored, upto=upto
        )

    async def event_by_time(
        self, room_id: str, ts: int, *, backwards: bool, viewer: str
    ) -> StoredEvent | None:
        """The event closest to a time (milliseconds), in one direction, of those that ``viewer`` may see;
        None if there is none.

        `NotFound` if there is no such room, `Forbidden` if the viewer may see nothing of it.
        """
        ref = await self._refs.require(room_id)
        return await event_by_time(self._ground, ref, ts, backwards=backwards, viewer=viewer)

    async def timelines(self, ranges: Sequence[TimelineRange]) -> list[TimelinePage]:
        """The newest live events of many rooms in one query, oldest first, not decorated. ``start`` is the
        boundary before the first (``prev_batch``).
        """
        return await self._events.newest(ranges)

    # --- visibility

    async def viewers(self, refs: Sequence[RoomRef], user_id: str) -> dict[RoomRef, Viewer]:
        """The user's eyes in each room: `Viewer.sees` and `Viewer.at` judge any event without another
        query.
        """
        return await self._viewing.viewers(refs, user_id)

    async def erased(self, user_ids: Collection[str]) -> Collection[str]:
        """Those of these users who asked for erasure. Without any `withheld` finds nothing."""
        return await self._erasure.among(user_ids)

    async def withheld(self, eyes: Mapping[RoomRef, Viewer], events: Iterable[Told]) -> Withheld:
        """What of these events a viewer is not to see, because who said it has been erased and the viewer
        came later. Decorate them first, if they are to be told so.
        """
        return await self._erasure.withheld(eyes, events)

    async def withheld_from(self, user_id: str, events: Collection[Told]) -> Withheld:
        """The same for a user of whom it is not known what they saw. If nobody is erased that is not read."""
        if not events or not await self._erasure.among(set().union(*map(speakers, events))):
            return Withheld()
        eyes = await self.viewers(list({event.ref: None for event in events}), user_id)
        return await self._erasure.withheld(eyes, events)

    async def shown(self, events: Sequence[StoredEvent], eyes: Mapping[RoomRef, Viewer]) -> list[StoredEvent]:
        """Events that a viewer may see as they are to see them: decorated, and redacted if `withheld`."""
        return await self._events.shown(events, eyes)

    async def can_see(self, ref: RoomRef, user_id: str, places: Sequence[Place]) -> list[Visibility]:
        """For each place whether the user may see an event there, and what their membership was."""
        return await self._viewing.can_see(ref, user_id, places)

    async def view(self, room_id: str, user_id: str) -> View:
        """What the user may see of the room's state: that of now for members and where the room is
        world-readable, that at the end for who has left. `Forbidden` if nothing, also if there is no such
        room.
        """
        return await self._viewing.view(room_id, user_id)

    # --- aliases and directory

    async def resolve_alias(self, alias: str) -> Alias | None:
        """Where an alias of this server leads; None if nowhere."""
        return await directory.resolve_alias(self._ground, self._refs, alias)

    async def create_alias(self, alias: str, room_id: str, creator: str) -> bool:
        """Claim an alias for a room; False if somebody has it. `NotFound` if there is no such room."""
        await self._refs.require(room_id)
        return await directory.claim_alias(self._ground, alias, room_id, creator)

    async def delete_alias(self, alias: str) -> bool:
        """Give an alias back; False if there was none."""
        return await directory.release_alias(self._ground, alias)

    async def aliases_of(self, room_id: str) -> list[Alias]:
        """The aliases that lead to a room."""
        return await directory.aliases_of(self._ground, room_id)

    async def move_aliases(self, old_room_id: str, room_id: str) -> None:
        """Let all aliases of this server that lead to one room lead to another."""
        await self._refs.require(room_id)
        await directory.move_aliases(self._ground, old_room_id, room_id)

    async def published_rooms(
        self,
        *,
        limit: int,
        since: str | None = None,
        search: str | None = None,
        types: Collection[str | None] | None = None,
    ) -> tuple[list[PublishedRoom], str | None, str | None, int]:
        """A page of the public directory: rooms, next and previous batch, total; of some types only, if they
        are given, None for rooms without one. Two rounds of reading whatever the number of rooms.
        """
        return await directory.published_rooms(
            self._ground, self._states, limit=limit, since=since, search=search, types=types
        )

    # --- upgrades

    async def replacement_of(self, old_room_id: str) -> Replacement | None:
        """The room that an upgrade here has made of this one; None also while it is being written."""
        return await replacements.find(self._ground, self._refs, old_room_id)

    async def unfinished_replacements(self) -> list[Replacement]:
        """Upgrades of which something is owed and that nobody works on; the caller's for half a minute."""
        return await replacements.due(self._ground, self._refs)

    async def finish_replacement(self, replacement: Replacement) -> None:
        """Nothing is owed to the old room any more."""
        await replacements.finish(self._ground, replacement)

    async def _require_room(self, room_id: str) -> RoomInfo:
        room = await self.room(room_id)
        if room is None:
            raise NotFound("There is no such room")
        return room

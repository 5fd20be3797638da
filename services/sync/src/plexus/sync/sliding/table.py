"""The rooms of a user by recent activity, as far as this replica has seen.

Loaded once for a user and then kept: of the facts between its cut and the next those of the user's rooms say
which cards have to be read again, in one query. Members of a room who are here share what was read.

MSC4186, "Lists" and "Activity ordering".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from plexus.platform.lanes import RoomFact
from plexus.rooms import Card, Outside, RoomRef, Rooms
from plexus.sync.replica import Cut, Replica, UserView
from plexus.sync.replica.views import Membership

_KEPT_CARDS = 50_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A room of the user. For one who has left, ``came_at`` and ``left_at`` are the ordinals of the events
    between which they were last joined, None if they never were; ``removed`` says that somebody else brought
    it about. ``inviter`` is who invited them, if they are invited.
    """

    membership: Membership
    card: Card
    came_at: int | None = None
    left_at: int | None = None
    removed: bool = False
    inviter: str | None = None

    @property
    def room_id(self) -> str:
        return self.membership.ref.room_id


@dataclass(slots=True)
class Table:
    """``ordered`` are the user's rooms, the most recently active first."""

    cut: Cut
    entries: dict[str, Entry] = field(default_factory=dict)
    ordered: Sequence[Entry] = ()


class Tables:
    """A user's table lives as long as what the replica knows of the user."""

    def __init__(self, replica: Replica, rooms: Rooms) -> None:
        self._replica = replica
        self._rooms = rooms
        self._tables: WeakKeyDictionary[UserView, Table] = WeakKeyDictionary()
        self._cards: OrderedDict[tuple[int, str, int], Card] = OrderedDict()
        """By generation, room and the position that was its newest here when it was asked for."""

    async def of(self, view: UserView, *, anew: bool = False) -> Table:
        """The user's rooms, up to the head of the tail when it was called or later. No fact says that one was
        forgotten: with ``anew`` those are looked at that are shown although the user is not in them.
        """
        table = self._tables.get(view)
        cut = self._replica.cut()
        if table is None or table.cut.generation != cut.generation:
            table = await self._load(view, cut)
        elif table.cut.same_place(cut):
            table.cut = cut
        else:
            table = await self._refresh(view, table, cut)
        removed = [entry.membership for entry in table.ordered if entry.removed] if anew else ()
        if removed:
            again = {entry.room_id: entry for entry in await self._entries(view, removed)}
            table = _ordered(table.cut, (table.entries | again).values())
        self._tables[view] = table
        return table

    async def _load(self, view: UserView, cut: Cut) -> Table:
        return _ordered(cut, await self._entries(view, [*view.joined.values(), *view.others.values()]))

    async def _refresh(self, view: UserView, table: Table, cut: Cut) -> Table:
        span = self._replica.span(table.cut, cut)
        if not span.in_tail:
            return await self._load(view, cut)
        memberships = {**view.others, **view.joined}
        moved = {membership.ref for membership in span.among(view.joined, RoomFact.EVENTS)}
        changed = [
            membership
            for room_id, membership in memberships.items()
            if (entry := table.entries.get(room_id)) is None
            or entry.membership != membership
            or membership.ref in moved
        ]
        if not changed and len(memberships) == len(table.entries):
            table.cut = cut
            return table
        entries = {room_id: entry for room_id, entry in table.entries.items() if room_id in memberships}
        entries |= {entry.room_id: entry for entry in await self._entries(view, changed)}
        return _ordered(cut, entries.values())

    async def _entries(self, view: UserView, memberships: Sequence[Membership]) -> list[Entry]:
        gone = [m.ref for m in memberships if m.membership in ("leave", "ban")]
        eyes = await self._rooms.viewers(gone, view.user_id) if gone else {}
        eyes = {ref: viewer for ref, viewer in eyes.items() if viewer.has_joined}
        senders: dict[RoomRef, str] = {}
        if gone or any(m.membership == "invite" for m in memberships):
            rows = await self._rooms.rooms_of(view.user_id, frozenset({"leave", "ban", "invite"}))
            senders = {row.ref: row.sender for row in rows}
        left = {ref: viewer.left_at for ref, viewer in eyes.items()}
        cards = await self._read(memberships, left)
        return [
            Entry(
                m,
                cards[m.ref],
                came_at=eyes[m.ref].came_at if m.ref in eyes else None,
                left_at=left.get(m.ref),
                removed=m.ref in left and senders.get(m.ref, view.user_id) != view.user_id,
                inviter=senders.get(m.ref) if m.membership == "invite" else None,
            )
            for m in memberships
            if m.ref in cards
        ]

    async def _read(
        self, memberships: Sequence[Membership], left: Mapping[RoomRef, int | None]
    ) -> dict[RoomRef, Card]:
        found: dict[RoomRef, Card] = {}
        wanted: list[tuple[RoomRef, Outside | None]] = []
        newest: dict[RoomRef, tuple[int, str, int]] = {}
        generation = self._replica.generation
        for membership in memberships:
            ref = membership.ref
            if membership.membership != "join":
                until = left.get(ref)
                wanted.append(
                    (ref, Outside(membership.ordinal, membership.ordinal if until is None else until))
                )
                continue
            subject = self._replica.rooms.subjects.get(ref.room_id)
            if subject is not None:
                newest[ref] = (generation, ref.room_id, subject.last)
                known = self._cards.get(newest[ref])
                if known is not None:
                    found[ref] = known
                    continue
            wanted.append((ref, None))
        for ref, card in (await self._rooms.cards(wanted)).items():
            found[ref] = card
            if ref in newest:
                self._cards[newest[ref]] = card
        while len(self._cards) > _KEPT_CARDS:
            self._cards.popitem(last=False)
        return found


def _ordered(cut: Cut, entries: Iterable[Entry]) -> Table:
    found = sorted(entries, key=lambda entry: (-entry.card.active_ts, entry.room_id))
    return Table(cut, {entry.room_id: entry for entry in found}, found)

"""``unread_notifications`` and ``unread_thread_notifications`` of joined rooms.

What a user has not read of a room is counted by the database once. From then on it is kept with their view,
and each event of the tail says what it adds for them; so the count is in the response of the event itself,
and nothing is read for it. A receipt of theirs for the newest event there is, and what they send, empty it;
after another receipt, or a redaction, it is counted anew. Those who came to this replica in one moment, and
are all woken for the first time, are counted a few at a time: they wait for their turn, however long, and not
for a connection, for which nobody may wait long.

The count may be ahead of the cut of its response, by what happens while that is made. It is told again with
what it is ahead of.

Client-Server API, "Receiving notifications"; ``GET /sync``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import orjson
from plexus.platform.lanes import RoomFact
from plexus.rooms import Counts, RoomRef, Rooms, Unread, receipts_of
from plexus.sync.events import SyncEvent
from plexus.sync.replica import Cut, Replica, UserView
from plexus.sync.replica.tail import BODY, DATA, HI, KIND, TailFact
from plexus.sync.streams.context import Answer
from plexus.sync.streams.counting import add_event, read_newest
from plexus.sync.turns import Turns

_EVENTS, _RECEIPT = int(RoomFact.EVENTS), int(RoomFact.RECEIPT)


class UnreadStream:
    def __init__(self, replica: Replica, rooms: Rooms, turns: int) -> None:
        self._replica = replica
        self._rooms = rooms
        self._turns = Turns(turns)

    async def changes(self, answer: Answer, since: Cut) -> None:
        """Add the counts of the rooms that are told of, and of those that the user has read further since a
        cut; after the rooms.
        """
        rooms = dict.fromkeys(answer.joined)
        for ref in answer.quiet:
            if self._may_count(answer, ref, since):
                rooms[ref.room_id] = None
        for room_id in await self.read_since(answer, since):
            if room_id in answer.view.joined and answer.filter.wants_room(room_id):
                rooms[room_id] = None
        await self.everything(answer, rooms)

    async def everything(self, answer: Answer, room_ids: Iterable[str]) -> None:
        """Add the counts of these joined rooms."""
        by_thread = answer.filter.filter.unread_thread_notifications
        for room_id, unread in (await self.counts(answer, room_ids)).items():
            answer.unread[room_id] = _json(unread, by_thread=by_thread)

    async def counts(self, answer: Answer, room_ids: Iterable[str]) -> Mapping[str, Unread]:
        """What the user has not read of these joined rooms."""
        view = answer.view
        refs = [view.joined[room_id].ref for room_id in room_ids if room_id in view.joined]
        missing = [ref for ref in refs if not self._advance(view, ref, answer.cut)]
        # Taken before the wait: another request of the user may drop what it has to count anew.
        counts = {ref.room_id: view.unread[ref.room_id] for ref in refs if ref.room_id in view.unread}
        if missing:
            async with self._turns:
                found = await self._rooms.unread(missing, view.user_id)
            for ref, unread in found.items():
                # All that is within the cut was committed before it was counted.
                unread.position = max(unread.position, answer.cut.rooms[ref.lane])
                counts[ref.room_id] = view.keep_unread(ref.room_id, unread)
        return counts

    async def read_since(self, answer: Answer, since: Cut) -> Collection[str]:
        """The rooms in which the user has moved a receipt since a cut."""
        span = self._replica.span(since, answer.cut)
        joined, subjects = answer.view.joined, self._replica.rooms.subjects
        if not span.in_tail:
            refs = [m.ref for m in joined.values() if m.ref.lane in span.moved]
            return [ref.room_id for ref in await self._rooms.read_further(refs, answer.user_id, since.rooms)]
        mine = answer.user_id.encode()
        found = []
        for membership in span.among(joined, RoomFact.RECEIPT):
            room_id, lane = membership.ref.room_id, membership.ref.lane
            facts = subjects[room_id].between(since.rooms[lane], answer.cut.rooms[lane])
            if any(fact[KIND] == _RECEIPT and _may_be_of(fact, mine) for fact in facts):
                found.append(room_id)
        return found

    def _may_count(self, answer: Answer, ref: RoomRef, since: Cut) -> bool:
        """Whether the events since a cut, which a filter has kept out, may have changed the count."""
        after, upto = since.rooms[ref.lane], answer.cut.rooms[ref.lane]
        subject = self._replica.rooms.subjects.get(ref.room_id)
        if after < self._replica.rooms.lanes[ref.lane].floor:
            return True
        for fact in () if subject is None else subject.between(after, upto):
            events = self._replica.bodies.events(fact) if fact[KIND] == _EVENTS else ()
            if events is None or fact[KIND] not in (_EVENTS, _RECEIPT):
                return True
            heard = [event for event in events if event.sender not in answer.rules.ignored]
            if any(_counts_for(event, answer.user_id) for event in heard):
                return True
        return False

    def _advance(self, view: UserView, ref: RoomRef, cut: Cut) -> bool:
        """Bring what is known of a room up to the cut; False if it must be counted anew."""
        known = view.unread.get(ref.room_id)
        # Who has left and joined again begins anew, whoever told them so.
        if known is None or known.position < view.joined[ref.room_id].position:
            view.unread.pop(ref.room_id, None)
            return False
        upto = cut.rooms[ref.lane]
        if known.position >= upto:
            return True
        subject = self._replica.rooms.subjects.get(ref.room_id)
        if known.position < self._replica.rooms.lanes[ref.lane].floor:
            return False
        if subject is not None:
            self._replica.bodies.know((ref,))
            facts = subject.between(known.position, upto)
            if not all(self._apply(known, fact, view.user_id) for fact in facts):
                # Half of it has been added.
                del view.unread[ref.room_id]
                return False
        known.position = upto
        return True

    def _apply(self, known: Unread, fact: TailFact, user_id: str) -> bool:
        if fact[KIND] == _EVENTS:
            return fact[HI] <= known.ordinal or self._add_events(known, fact, user_id)
        if fact[KIND] == _RECEIPT:
            return not _may_be_of(fact, user_id.encode()) or _read(known, fact, user_id)
        # A redaction or a purge.
        return False

    def _add_events(self, known: Unread, fact: TailFact, user_id: str) -> bool:
        events = self._replica.bodies.events(fact)
        if events is None:
            return False
        for event in events:
            if event.ordinal <= known.ordinal:
                continue
            if event.noted is None or not add_event(known, event, event.noted, user_id):
                return False
        return True


def _counts_for(event: SyncEvent, user_id: str) -> bool:
    """Whether an event may change what the user has not read."""
    noted = event.noted
    if noted is None or noted.notifies or (event.sender == user_id and not event.is_member):
        return True
    return "" in noted.notices or user_id in noted.notices


def _may_be_of(fact: TailFact, user_id: bytes) -> bool:
    """Whether a fact of receipts may tell of one of this user."""
    body = fact[BODY]
    return user_id in body if body is not None else not fact[DATA] or user_id in fact[DATA].split(b" ")


def _read(known: Unread, fact: TailFact, user_id: str) -> bool:
    """Take the receipts of this user; False if they are not for the newest event."""
    body = fact[BODY]
    if body is None:
        return False
    own = [receipt for receipt in receipts_of(body) if receipt.user_id == user_id]
    if any(receipt.event_id != known.newest for receipt in own):
        return False
    for receipt in own:
        read_newest(known, receipt.thread)
    return True


def _json(unread: Unread, *, by_thread: bool) -> bytes:
    counts = unread.main if by_thread else unread.total
    parts: list[bytes] = [b'"unread_notifications":%b' % _counts(counts)]
    if by_thread and unread.threads:
        threads: Sequence[bytes] = [
            b"%b:%b" % (orjson.dumps(root), _counts(each)) for root, each in unread.threads.items()
        ]
        parts.append(b'"unread_thread_notifications":{%b}' % b",".join(threads))
    return b",".join(parts)


def _counts(counts: Counts) -> bytes:
    return b'{"highlight_count":%d,"notification_count":%d}' % (
        max(0, counts.highlights),
        max(0, counts.notifications),
    )

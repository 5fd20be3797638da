"""The room engine: the only code that writes room tables.

What happens when somebody sends an event:

1. `Rooms.send` puts it into the queue of its room (``actor``). One room, one queue: within a process a room's
   writes never race. The queue is bounded; when it is full the caller is told to come again.
2. The actor takes all that waits and builds it as one chain of events (``builder``): authorised, hashed and
   signed against a cached copy of the room's head (``head``), with no lock held and no I/O beyond one query
   for those entries of the state that are not cached.
3. The chain goes to the room's lane (``lane_writer``). What became ready in a lane while its last commit was
   in flight goes to PostgreSQL in one call of ``rooms.write`` (``write_call``, ``migrations/``): the function
   locks the room rows, compares their versions, writes events, state and memberships, takes the next
   positions of the lane and writes the facts. It writes nothing for a room of which somebody else has written
   a newer version. One message alone goes to a shorter function that leaves the same rows (``write_one``).
4. Such a room is written again under its row lock (``conflict``): read forward, rebuild, write. Optimism is
   for the first try only.
5. After the commit, and only then: the group is published to the followers of the lane and the writers' marks
   are left (``announcing``), the cached head moves on, and the callers are answered. A refusal is told only
   after the transaction id was looked up (``transactions``): it may be the retry of something long written.

Reading is by *places* (`Place`: ordinal and sub) and by *snapshots* (``snapshots``): each event knows the
snapshot of the room's state before and after it, so state at any event is a look-up and never a replay. Who
may see what is read from intervals (``visibility``). Every read has a form for many rooms at once, in a fixed
number of queries.

What happens when an event comes from another server: `Rooms.receive` puts it into the same queue. It is
placed where it belongs (``placing``), in the timeline or beside it. Where branches meet their states are
resolved (``resolving``), with no lock held, by comparing what their snapshots do not share; the rules of it
are ``plexus.protocol.state_resolution``. The write is the same function, which is told what has changed in
the current state. Local events in a forked room follow all of its extremities, and so join them again.

An event that relates to another is noted as such in the same write (``relating``); from these rows is read
what relates to an event (``relations``), what is told with it (``bundles``), and the threads of a room
(``threads``).

How far users have read is kept beside it (``receipts``, ``receipt_writer``): receipts touch no room's row,
only the lane, and those that come within a moment are written together.

Whom an event notifies is judged before it is written (``notifying``), by the push rules that a port gives;
``unread`` counts what somebody has not read.

What is not here: HTTP, power levels of a new room (the client API's presets), what push rules somebody has.
"""

from plexus.rooms.body import events_of, events_of_facts, ref_in
from plexus.rooms.bundles import Bundle, Parent
from plexus.rooms.cards import Card, Outside
from plexus.rooms.erasure import Withheld, embeds, is_last_word
from plexus.rooms.errors import ReplacementClaimed, UnknownPredecessors
from plexus.rooms.membership import member_of
from plexus.rooms.notifications import Listed, Notification
from plexus.rooms.printed_state import StateInForce, joined_json
from plexus.rooms.printing import Run
from plexus.rooms.pushes import NotifyingEvent
from plexus.rooms.receipt_targets import ReceiptTarget
from plexus.rooms.receipts import MAIN as MAIN_THREAD
from plexus.rooms.receipts import ReadPlaces, Receipt, ReceiptType, receipts_of
from plexus.rooms.relations import RECURSION_DEPTH, Asked
from plexus.rooms.replacements import Replacement, Replaces
from plexus.rooms.rooms import Rooms
from plexus.rooms.stored import Noted, StoredEvent
from plexus.rooms.summaries import RoomSummary
from plexus.rooms.threads import ThreadsPage
from plexus.rooms.unread import Counts, Unread
from plexus.rooms.values import (
    EVERYTHING,
    Alias,
    Fate,
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
    TimelineToken,
    Txn,
    UserRoom,
    View,
    Visibility,
    Wanted,
    Written,
)
from plexus.rooms.visibility import Viewer, viewer_of

__all__ = [
    "EVERYTHING",
    "MAIN_THREAD",
    "RECURSION_DEPTH",
    "Alias",
    "Asked",
    "Bundle",
    "Card",
    "Counts",
    "Fate",
    "Head",
    "Listed",
    "Member",
    "NewEvent",
    "Noted",
    "Notification",
    "NotifyingEvent",
    "Outside",
    "Parent",
    "Place",
    "PublishedRoom",
    "ReadPlaces",
    "Receipt",
    "ReceiptTarget",
    "ReceiptType",
    "Received",
    "Replacement",
    "ReplacementClaimed",
    "Replaces",
    "RoomInfo",
    "RoomRef",
    "RoomSummary",
    "Rooms",
    "Run",
    "StateInForce",
    "StoredEvent",
    "ThreadsPage",
    "TimelinePage",
    "TimelineRange",
    "TimelineToken",
    "Txn",
    "UnknownPredecessors",
    "Unread",
    "UserRoom",
    "View",
    "Viewer",
    "Visibility",
    "Wanted",
    "Withheld",
    "Written",
    "embeds",
    "events_of",
    "events_of_facts",
    "is_last_word",
    "joined_json",
    "member_of",
    "receipts_of",
    "ref_in",
    "viewer_of",
]

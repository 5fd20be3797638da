"""What rides along with a published fact: the events themselves, so that a follower need not read them.

A fact is published with its ``RoomBody`` (``proto/plexus/proto/lanes/v1/room_body.proto``); `events_of` makes
`StoredEvent` of it again. Facts that a follower had to read from PostgreSQL come without one: then
``Rooms.timelines`` has the events.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import orjson
from plexus.platform.lanes import Fact
from plexus.proto.lanes.v1 import room_body_pb2 as proto
from plexus.protocol.events import Event
from plexus.protocol.relations import THREAD
from plexus.protocol.room_versions import ROOM_VERSIONS
from plexus.rooms.stored import Noted, StoredEvent
from plexus.rooms.values import RoomRef
from plexus.rooms.writes import EventRow, Notice, RoomWrite


def room_body(write: RoomWrite, room: int) -> bytes:
    """The serialised ``RoomBody`` of a chain that was written to the room of this number."""
    return proto.RoomBody(
        room_version=write.ref.room_version, room=room, events=_events(write)
    ).SerializeToString()


def _events(write: RoomWrite) -> list[proto.StoredEvent]:
    notices: dict[int, list[Notice]] = {}
    for at, notice in write.notices:
        notices.setdefault(at, []).append(notice)
    related = {relating.at: relating for relating in write.relations}
    messages = []
    for at, row in enumerate(write.events):
        if row.is_live:
            message = _event(row)
            if write.notify:
                message.notify = write.notify[at]
            relating = related.get(at)
            if relating is not None and relating.rel_type == THREAD:
                message.thread = relating.parent
            message.relates = relating is not None and relating.rel_type != THREAD
            for notice in notices.get(at, ()):
                message.notices.add(user_id=notice.user_id, notify=notice.notify, highlight=notice.highlight)
            messages.append(message)
    return messages


def _event(row: EventRow) -> proto.StoredEvent:
    event = row.event
    message = proto.StoredEvent(
        num=row.num,
        ordinal=row.num,
        event_id=event.event_id,
        snap_before=row.snap_before,
        snap_after=row.snap_after,
        raw=event.raw,
    )
    if row.room_before is not None:
        message.room_before = row.room_before
    if row.room_after is not None:
        message.room_after = row.room_after
    if row.txn is not None:
        message.txn_device = row.txn.device_id
        message.txn_id = row.txn.txn_id
    if row.replaces is not None:
        message.replaces_state = row.replaces.event.event_id
        message.prev_content = orjson.dumps(row.replaces.event.content)
    return message


def ref_in(room_id: str, lane: int, body: bytes) -> RoomRef | None:
    """Where the room of a serialised ``RoomBody`` is; None from a writer that does not say."""
    message = proto.RoomBody.FromString(body)
    return RoomRef(room_id, lane, message.room, message.room_version) if message.room else None


def events_of(ref: RoomRef, body: bytes) -> list[StoredEvent]:
    """The events of a serialised ``RoomBody``, in order, with what they replaced in the state."""
    message = proto.RoomBody.FromString(body)
    version = ROOM_VERSIONS[message.room_version]
    events = []
    for found in message.events:
        event = Event.from_raw(version, found.raw, found.event_id)
        stored = StoredEvent(
            ref,
            found.num,
            found.ordinal if found.HasField("ordinal") else None,
            found.sub,
            found.event_id,
            event.type,
            event.state_key,
            event.sender,
            event.origin_server_ts,
            found.snap_before,
            found.snap_after,
            found.room_before if found.HasField("room_before") else None,
            found.room_after if found.HasField("room_after") else None,
            None,
            found.redacted_by if found.HasField("redacted_by") else None,
            found.txn_device if found.HasField("txn_device") else None,
            found.txn_id if found.HasField("txn_id") else None,
            found.raw,
        )
        stored.parsed(event)
        stored.noted = Noted(
            bool(found.notify),
            found.thread or None,
            found.relates,
            {notice.user_id: (notice.notify, notice.highlight) for notice in found.notices},
        )
        if found.HasField("replaces_state"):
            stored.attach(replaces_state=found.replaces_state, prev_content=found.prev_content)
        events.append(stored)
    return events


def events_of_facts(
    lane: int, facts: Iterable[Fact], types: Collection[str]
) -> tuple[list[StoredEvent], list[Fact]]:
    """Of facts about events: the events of these types that ride along, and the facts that come without."""
    events: list[StoredEvent] = []
    without: list[Fact] = []
    for fact in facts:
        ref = None if fact.body is None else ref_in(fact.subject, lane, fact.body)
        if fact.body is None or ref is None:
            without.append(fact)
        else:
            events += [event for event in events_of(ref, fact.body) if event.type in types]
    return events, without

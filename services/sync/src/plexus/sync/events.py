"""An event as /sync sends it: bytes, and the few fields by which sections are made.

The client form of an event is made once in a replica, whoever it is for: everything up to its ``age``, and
what of ``unsigned`` is the same for everybody. What differs per answer (age, the viewer's membership, the
transaction id for the device that sent it) is spliced in. No dict is kept.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from plexus.protocol.relations import relation_of
from plexus.rooms import StoredEvent, Txn

__all__ = ["SyncEvent", "embedded_in", "events_json"]

_HEARD = frozenset({None, "join"})
"""Memberships that were replaced while members were there."""


class SyncEvent:
    """One event of a room's timeline or state. ``membership`` is that of the content of an m.room.member
    event. ``room_before`` and ``room_after`` are snapshots of the room's current state around it;
    ``is_beside`` says that in a forked room these are not the states around the event itself, so what has
    changed between them need not be this event. ``rel_type`` says in what way it relates to another event, if
    it does. ``words_before`` and ``because`` are as of `StoredEvent`.
    """

    __slots__ = (
        "_prefix",
        "_static",
        "because",
        "event_id",
        "has_url",
        "is_beside",
        "is_redacted",
        "membership",
        "noted",
        "ordinal",
        "ref",
        "rel_type",
        "room_after",
        "room_before",
        "sender",
        "state_key",
        "ts",
        "txn_device",
        "txn_id",
        "type",
        "words_before",
    )

    def __init__(self, stored: StoredEvent) -> None:
        """From an event that has been decorated: what it replaced, and what redacted it."""
        client = stored.client_dict(now_ms=0, with_room_id=False)
        unsigned = client.pop("unsigned")
        del unsigned["age"]
        self._prefix = orjson.dumps(client)[:-1] + b',"unsigned":{"age":'
        self._static = b"," + orjson.dumps(unsigned)[1:-1] if unsigned else b""
        content = client["content"]
        self.ref = stored.ref
        self.event_id = stored.event_id
        self.type = stored.type
        self.state_key = stored.state_key
        self.sender = stored.sender
        self.ts = stored.origin_server_ts
        self.ordinal = stored.num if stored.ordinal is None else stored.ordinal
        self.room_before = stored.room_before
        self.room_after = stored.room_after
        self.is_beside = stored.is_beside
        self.txn_device = stored.txn_device
        self.txn_id = stored.txn_id
        self.noted = stored.noted
        self.words_before = stored.words_before
        self.because = stored.because
        self.has_url = "url" in content
        self.is_redacted = stored.is_redacted
        relation = relation_of(content) if "m.relates_to" in content else None
        self.rel_type = None if relation is None else relation.rel_type
        membership = content.get("membership") if self.is_member else None
        self.membership: str | None = membership if isinstance(membership, str) else None

    @property
    def num(self) -> int:
        """Its number in the room: that of a live event is its ordinal."""
        return self.ordinal

    @property
    def sub(self) -> int:
        """It is a live event."""
        return 0

    @property
    def is_member(self) -> bool:
        return self.type == "m.room.member" and self.state_key is not None

    @property
    def key(self) -> tuple[str, str] | None:
        """(type, state key) of a state event."""
        return None if self.state_key is None else (self.type, self.state_key)

    @property
    def size(self) -> int:
        """What it costs in memory, in bytes, roughly."""
        return len(self._prefix) + len(self._static) + 700

    def txn_name(self, user_id: str, device_id: str | None) -> str | None:
        """As what this device is shown the transaction id; None if it is not."""
        if self.txn_id is None or self.sender != user_id:
            return None
        return Txn.shown_as(self.txn_device, device_id)

    def json(self, now_ms: int, membership: bytes, txn_name: str | None = None) -> bytes:
        """``ClientEventWithoutRoomID``. ``membership`` is the viewer's at the time of the event."""
        if txn_name is not None:
            return b'%b%d%b,"membership":"%b","%b":%b}}' % (
                self._prefix,
                max(0, now_ms - self.ts),
                self._static,
                membership,
                txn_name.encode(),
                orjson.dumps(self.txn_id),
            )
        return b'%b%d%b,"membership":"%b"}}' % (
            self._prefix,
            max(0, now_ms - self.ts),
            self._static,
            membership,
        )

    def state_json(self, now_ms: int) -> bytes:
        """The same for a state section, where a viewer's membership says nothing."""
        return b"%b%d%b}}" % (self._prefix, max(0, now_ms - self.ts), self._static)


def embedded_in(events: Iterable[SyncEvent | StoredEvent]) -> dict[str, int]:
    """Whose words stand in events that are told to members, with the ordinal since which one must have been
    there to have heard them: why they redacted something, and what they said when they had left, of which
    that is not known.
    """
    found: dict[str, int] = {}
    for event in events:
        because = event.because
        if because is not None and because.ordinal is not None:
            found[because.sender] = min(because.ordinal, found.get(because.sender, because.ordinal))
        if event.words_before not in _HEARD and event.state_key is not None:
            found[event.state_key] = 0
    return found


def events_json(events: list[bytes]) -> bytes:
    """``{"events": [...]}`` of events that are JSON already."""
    return b'{"events":[' + b",".join(events) + b"]}"

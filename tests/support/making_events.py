"""Events for rooms in memory, in every room version: real ones, hashed and signed, or light ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plexus.protocol import Event, RoomVersion, SigningKey, build_event
from plexus.protocol.events import reference_hash_of

KEY = SigningKey("ed25519:a_graph", bytes(range(32)))
"""Signs for all servers."""

START = 1_700_000_000_000
"""The time of the first event, in milliseconds."""


class Events:
    """The events of one room, by ID, in the order they were made: each comes after those it names.

    Those that are not ``real`` have no bytes, and IDs that say no more than their place. A hundred thousand
    of them take a second.
    """

    def __init__(self, version: RoomVersion, creator: str, prefix: str = "", *, real: bool = True) -> None:
        self.version = version
        self.prefix = prefix
        """Of the IDs that are given, for events that are to share a store with those of other rooms."""
        self.creator = creator
        self.real = real
        self.by_id: dict[str, Event] = {}
        self.hashes: dict[str, str] = {}

    @property
    def create(self) -> Event | None:
        return next(iter(self.by_id.values()), None)

    @property
    def room_id(self) -> str | None:
        """None before the create event is there that names the room."""
        if self.create is not None:
            return self.create.room_id
        return None if self.version.room_id_is_create_event_hash else "!room:" + server_of(self.creator)

    def next_id(self, sender: str) -> str | None:
        """The ID that the next event is given, in versions that give IDs."""
        return (
            f"${self.prefix}{len(self.by_id)}:{server_of(sender)}"
            if self.version.event_ids == "given"
            else None
        )

    def make(
        self,
        type: str,
        sender: str,
        content: Mapping[str, Any],
        state_key: str | None,
        *,
        prev_events: Sequence[str],
        auth_events: Sequence[str],
        ts: int | None = None,
    ) -> Event:
        """Make and keep an event. One that is the same as another in all it says is the other."""
        depth = 1 + max((self.by_id[event_id].depth for event_id in prev_events), default=0)
        ts = START + len(self.by_id) if ts is None else ts
        if not self.real:
            event_id = f"${len(self.by_id)}:{server_of(sender)}"
            event = Event(
                raw=b"",
                event_id=event_id,
                room_id=self.room_id or "!" + event_id[1:],
                type=type,
                state_key=state_key,
                sender=sender,
                origin_server_ts=ts,
                depth=depth,
                prev_events=tuple(prev_events),
                auth_events=tuple(auth_events),
                content=dict(content),
                redacts=None,
            )
            return self.by_id.setdefault(event_id, event)
        event = build_event(
            self.version,
            room_id=self.room_id,
            type=type,
            sender=sender,
            content=content,
            state_key=state_key,
            event_id=self.next_id(sender),
            prev_events=prev_events,
            auth_events=auth_events,
            reference_hashes=self.hashes,
            depth=depth,
            origin_server_ts=ts,
            server_name=server_of(sender),
            key=KEY,
        )
        return self.adopt(event)

    def adopt(self, event: Event) -> Event:
        """Keep an event, also one that was made elsewhere."""
        if self.version.references_with_hashes:
            self.hashes[event.event_id] = reference_hash_of(self.version, event.raw)
        return self.by_id.setdefault(event.event_id, event)

    def create_content(self, **more: Any) -> dict[str, Any]:
        named = {"creator": self.creator} if self.version.auth.create_needs_creator else {}
        return {"room_version": self.version.identifier, **named, **more}


def server_of(user_id: str) -> str:
    return user_id.partition(":")[2]

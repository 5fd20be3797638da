"""A client that only knows what it was told: folds syncs into a picture of its rooms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.support.http import Json

Key = tuple[str, str]


@dataclass
class FoldedRoom:
    state: dict[Key, str] = field(default_factory=dict)
    timeline: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    account_data: dict[str, Json] = field(default_factory=dict)
    receipts: dict[tuple[str, str, str | None], str] = field(default_factory=dict)
    typing: list[str] = field(default_factory=list)

    def ephemeral(self, events: list[Json]) -> None:
        for event in events:
            if event["type"] == "m.typing":
                self.typing = event["content"]["user_ids"]
                continue
            for event_id, by_type in event["content"].items():
                for kind, by_user in by_type.items():
                    for user_id, said in by_user.items():
                        self.receipts[user_id, kind, said.get("thread_id")] = event_id


@dataclass
class Fold:
    """``seen`` are the events that have been in a timeline of a room since the user last came into it."""

    rooms: dict[str, FoldedRoom] = field(default_factory=dict)
    invites: dict[str, set[Key]] = field(default_factory=dict)
    knocks: set[str] = field(default_factory=set)
    account_data: dict[str, Json] = field(default_factory=dict)
    since: str | None = None
    complaints: list[str] = field(default_factory=list)

    def take(self, answer: Json) -> None:
        rooms = answer["rooms"]
        for room_id, section in rooms["join"].items():
            self.invites.pop(room_id, None)
            self.knocks.discard(room_id)
            room = self.rooms.setdefault(room_id, FoldedRoom())
            self._timeline(room_id, room, section)
            room.summary.update(section.get("summary", {}))
            for event in section.get("account_data", {}).get("events", ()):
                room.account_data[event["type"]] = event["content"]
            room.ephemeral(section.get("ephemeral", {}).get("events", []))
        for room_id, section in rooms.get("leave", {}).items():
            room = self.rooms.pop(room_id, FoldedRoom())
            self.invites.pop(room_id, None)
            self.knocks.discard(room_id)
            self._timeline(room_id, room, section)
        for room_id, section in rooms.get("invite", {}).items():
            self.rooms.pop(room_id, None)
            self.knocks.discard(room_id)
            events = section["invite_state"]["events"]
            self.invites[room_id] = {(event["type"], event["state_key"]) for event in events}
        for room_id in rooms.get("knock", {}):
            self.rooms.pop(room_id, None)
            self.invites.pop(room_id, None)
            self.knocks.add(room_id)
        for event in answer.get("account_data", {}).get("events", ()):
            self.account_data[event["type"]] = event["content"]
        self.since = answer["next_batch"]

    def _timeline(self, room_id: str, room: FoldedRoom, section: Json) -> None:
        timeline = section.get("timeline", {"events": [], "limited": False})
        if timeline["limited"]:
            # There is a gap: what was before is not continued.
            room.timeline.clear()
        after = "state_after" in section
        for event in section.get("state_after" if after else "state", {}).get("events", ()):
            room.state[event["type"], event["state_key"]] = event["event_id"]
        for event in timeline["events"]:
            if event["event_id"] in room.timeline:
                self.complaints.append(f"{event['event_id']} twice in {room_id}")
            room.timeline.append(event["event_id"])
            if "state_key" in event and not after:
                room.state[event["type"], event["state_key"]] = event["event_id"]
        if not timeline["events"] and not timeline.get("prev_batch", "x"):
            self.complaints.append(f"no prev_batch in {room_id}")


def differences(folded: Fold, fresh: Fold) -> list[str]:
    """In what a folded picture differs from that of a fresh initial sync, in words."""
    found = list(folded.complaints)
    if folded.rooms.keys() != fresh.rooms.keys():
        found.append(f"rooms: folded {sorted(folded.rooms)}, fresh {sorted(fresh.rooms)}")
    for room_id in folded.rooms.keys() & fresh.rooms.keys():
        a, b = folded.rooms[room_id], fresh.rooms[room_id]
        if a.state != b.state:
            wrong = {
                key: (a.state.get(key), b.state.get(key))
                for key in a.state.keys() | b.state.keys()
                if a.state.get(key) != b.state.get(key)
            }
            found.append(f"state of {room_id} (folded, fresh): {wrong}")
        length = min(len(a.timeline), len(b.timeline))
        if length and a.timeline[-length:] != b.timeline[-length:]:
            found.append(f"timeline of {room_id}: folded {a.timeline}, fresh {b.timeline}")
        if a.summary != b.summary:
            found.append(f"summary of {room_id}: folded {a.summary}, fresh {b.summary}")
        if a.receipts != b.receipts:
            found.append(f"receipts of {room_id}: folded {a.receipts}, fresh {b.receipts}")
        if a.typing != b.typing:
            found.append(f"typing in {room_id}: folded {a.typing}, fresh {b.typing}")
        if a.account_data != b.account_data:
            found.append(f"account data of {room_id}: folded {a.account_data}, fresh {b.account_data}")
    if folded.invites != fresh.invites:
        found.append(f"invites: folded {folded.invites}, fresh {fresh.invites}")
    if folded.knocks != fresh.knocks:
        found.append(f"knocks: folded {folded.knocks}, fresh {fresh.knocks}")
    if folded.account_data != fresh.account_data:
        found.append(f"account data: folded {folded.account_data}, fresh {fresh.account_data}")
    return found

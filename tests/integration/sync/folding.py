"""A client that only knows what it was told: folds syncs into a picture of its rooms, and of its account."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from tests.support.http import Json

Key = tuple[str, str]


@dataclass
class FoldedRoom:
    state: dict[Key, str] = field(default_factory=dict)
    timeline: list[str] = field(default_factory=list)
    senders: dict[str, str] = field(default_factory=dict)
    """Of the events of the timeline."""
    summary: dict[str, Any] = field(default_factory=dict)
    account_data: dict[str, Json] = field(default_factory=dict)
    receipts: dict[tuple[str, str, str | None], str] = field(default_factory=dict)
    """(user, type, thread) to the event."""
    typing: list[str] = field(default_factory=list)
    unread: dict[str, int] = field(default_factory=lambda: {"notification_count": 0, "highlight_count": 0})
    threads: dict[str, dict[str, int]] = field(default_factory=dict)
    """The same by thread, of those in which there is anything."""


@dataclass
class Fold:
    """``seen`` has for each room all events that were ever in its timeline. ``tracked`` are the users whose
    devices are followed: those that ``changed`` and have not ``left``; ``versions`` counts how often
    anybody's devices have changed, and ``known`` is what this client has fetched of them when it was told to.
    """

    versions: dict[str, int] = field(default_factory=dict)
    rooms: dict[str, FoldedRoom] = field(default_factory=dict)
    invites: dict[str, set[Key]] = field(default_factory=dict)
    knocks: set[str] = field(default_factory=set)
    account_data: dict[str, Json] = field(default_factory=dict)
    messages: list[int] = field(default_factory=list)
    key_counts: Json = field(default_factory=dict)
    tracked: set[str] = field(default_factory=set)
    known: dict[str, int] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)
    presence: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """What others are shown as, with their status."""
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
            if "unread_notifications" in section:
                room.unread = section["unread_notifications"]
                threads = section.get("unread_thread_notifications", {})
                room.threads = {root: counts for root, counts in threads.items() if any(counts.values())}
            _take_account_data(room.account_data, section)
            for event in section.get("ephemeral", {}).get("events", ()):
                if event["type"] == "m.receipt":
                    _take_receipts(room, event["content"])
                elif event["type"] == "m.typing":
                    room.typing = event["content"]["user_ids"]
        for room_id, section in rooms.get("leave", {}).items():
            room = self.rooms.pop(room_id, FoldedRoom())
            self.invites.pop(room_id, None)
            self.knocks.discard(room_id)
            self._timeline(room_id, room, section)
            if "summary" in section or "ephemeral" in section:
                self.complaints.append(f"{room_id} is left and told as if it were not")
        for room_id, section in rooms.get("invite", {}).items():
            self.rooms.pop(room_id, None)
            self.knocks.discard(room_id)
            events = section["invite_state"]["events"]
            self.invites[room_id] = {(event["type"], event["state_key"]) for event in events}
        for room_id in rooms.get("knock", {}):
            self.rooms.pop(room_id, None)
            self.invites.pop(room_id, None)
            self.knocks.add(room_id)
        _take_account_data(self.account_data, answer)
        self.messages += [event["content"]["n"] for event in answer.get("to_device", {}).get("events", ())]
        self.key_counts = {name: value for name, value in answer.items() if name.startswith("device_o")}
        self.key_counts |= {name: value for name, value in answer.items() if name.startswith("device_u")}
        self._devices(answer.get("device_lists", {}))
        for event in answer.get("presence", {}).get("events", ()):
            shown = event["content"]
            self.presence[event["sender"]] = (shown["presence"], shown.get("status_msg"))
        self.since = answer["next_batch"]

    def _devices(self, lists: Json) -> None:
        if self.since is None:
            # Who begins fetches the devices of everybody.
            self.known = dict(self.versions)
        changed, left = set(lists.get("changed", ())), set(lists.get("left", ()))
        if changed & left:
            self.complaints.append(f"{changed & left} changed and left")
        self.tracked |= changed
        self.tracked -= left
        # A client that is told fetches what there is now.
        self.known.update({user: self.versions.get(user, 0) for user in changed})

    def _timeline(self, room_id: str, room: FoldedRoom, section: Json) -> None:
        timeline = section.get("timeline", {"events": [], "limited": False})
        if timeline["limited"]:
            # There is a gap: what was before is not continued.
            room.timeline.clear()
        after = "state_after" in section
        if after and "state" in section:
            self.complaints.append(f"{room_id} has state and state_after")
        told: set[Key] = set()
        for event in section.get("state_after" if after else "state", {}).get("events", ()):
            key = (event["type"], event["state_key"])
            if key in told:
                self.complaints.append(f"{key} twice in the state of {room_id}")
            told.add(key)
            room.state[key] = event["event_id"]
        for event in timeline["events"]:
            event_id = event["event_id"]
            if event_id in room.timeline:
                self.complaints.append(f"{event_id} twice in {room_id}")
            room.timeline.append(event_id)
            room.senders[event_id] = event["sender"]
            self.seen.setdefault(room_id, set()).add(event_id)
            if "state_key" in event and not after:
                room.state[event["type"], event["state_key"]] = event_id
        if not timeline["events"] and not timeline.get("prev_batch", "x"):
            self.complaints.append(f"no prev_batch in {room_id}")


def _take_account_data(found: dict[str, Json], section: Json) -> None:
    for event in section.get("account_data", {}).get("events", ()):
        found[event["type"]] = event["content"]


def _take_receipts(room: FoldedRoom, content: Json) -> None:
    for event_id, by_type in content.items():
        for type_, by_user in by_type.items():
            for user_id, said in by_user.items():
                room.receipts[user_id, type_, said.get("thread_id")] = event_id


def differences(
    folded: Fold, fresh: Fold, *, lazy: bool = False, lean: bool = False, gone: Collection[str] = ()
) -> list[str]:
    """In what a folded picture differs from that of a fresh initial sync, in words. With lazy-loading the
    fresh one has all members: those that the folded one has are the same, and the senders are among them, but
    for those who are ``gone``. A lean one has none.
    """
    found = list(folded.complaints)
    if folded.rooms.keys() != fresh.rooms.keys():
        found.append(f"rooms: folded {sorted(folded.rooms)}, fresh {sorted(fresh.rooms)}")
    for room_id in folded.rooms.keys() & fresh.rooms.keys():
        a, b = folded.rooms[room_id], fresh.rooms[room_id]
        keys = a.state.keys() | {key for key in b.state if not lazy or key[0] != "m.room.member"}
        wrong = {
            key: (a.state.get(key), b.state.get(key)) for key in keys if a.state.get(key) != b.state.get(key)
        }
        if wrong:
            found.append(f"state of {room_id} (folded, fresh): {wrong}")
        for event_id in () if lean else a.timeline:
            sender = a.senders[event_id]
            if ("m.room.member", sender) not in a.state and sender not in gone:
                found.append(f"in {room_id} the sender of {event_id} is not known")
        length = min(len(a.timeline), len(b.timeline))
        if length and a.timeline[-length:] != b.timeline[-length:]:
            found.append(f"timeline of {room_id}: folded {a.timeline}, fresh {b.timeline}")
        for part in ("summary", "account_data", "receipts", "typing", "unread", "threads"):
            if getattr(a, part) != getattr(b, part):
                found.append(f"{part} of {room_id}: folded {getattr(a, part)}, fresh {getattr(b, part)}")
    for part in ("invites", "knocks", "account_data"):
        if getattr(folded, part) != getattr(fresh, part):
            found.append(f"{part}: folded {getattr(folded, part)}, fresh {getattr(fresh, part)}")
    return found


def presence_differences(folded: Fold, fresh: Fold, others: Collection[str]) -> list[str]:
    """The same of the presence of those with whom a room is shared. Who begins is told only of who is there,
    and what somebody said who is not there does not matter.
    """
    away = ("offline", None)
    found = [f"{user} is told, and is a stranger" for user in fresh.presence.keys() - set(others)]
    for user in others:
        a, b = folded.presence.get(user, away), fresh.presence.get(user, away)
        if a != b and (a[0], b[0]) != ("offline", "offline"):
            found.append(f"presence of {user}: folded {a}, fresh {b}")
    return found

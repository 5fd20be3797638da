"""A client of sliding sync that goes by what the answers say, and by nothing else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Self

from tests.integration.sync.building import SyncPerson
from tests.integration.sync.test_sliding import ask
from tests.support.http import Answer, Json

THREADS = "io.element.msc4308.thread_subscriptions"
EXTENSIONS = ("account_data", "receipts", "typing", "e2ee")

Thread = tuple[str, str]


@dataclass
class SlidingRoom:
    facts: dict[str, Any] = field(default_factory=dict)
    state: dict[tuple[str, str], str] = field(default_factory=dict)
    stripped: set[tuple[str, str]] = field(default_factory=set)
    timeline: list[str] = field(default_factory=list)
    senders: dict[str, str] = field(default_factory=dict)
    account_data: dict[str, Json] = field(default_factory=dict)
    receipts: dict[tuple[str, str, str | None], str] = field(default_factory=dict)
    """(user, type, thread) to the event."""
    typing: list[str] = field(default_factory=list)


@dataclass
class SlidingFold:
    """One connection. ``versions``, ``known``, ``tracked`` and ``seen`` are as of `Fold`."""

    limit: int
    conn_id: str
    versions: dict[str, int] = field(default_factory=dict)
    lazy: bool = False
    with_messages: bool = True
    pos: str | None = None
    rooms: dict[str, SlidingRoom] = field(default_factory=dict)
    account_data: dict[str, Json] = field(default_factory=dict)
    threads: dict[Thread, Json] = field(default_factory=dict)
    messages: list[int] = field(default_factory=list)
    messages_since: str | None = None
    key_counts: Json = field(default_factory=dict)
    tracked: set[str] = field(default_factory=set)
    known: dict[str, int] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    @property
    def much(self) -> Json:
        """The config that wants everything of a room."""
        state: Json = {"include": [{}]}
        if self.lazy:
            state["lazy_members"] = True
        return {"timeline_limit": self.limit, "required_state": state}

    def asks(self, scopes: Json | None = None) -> Json:
        """``scopes`` restrict extensions, or turn them off."""
        extensions: Json = {name: {"enabled": True} for name in EXTENSIONS}
        for name, scope in (scopes or {}).items():
            extensions[name] |= scope
        extensions[THREADS] = {"enabled": True, "limit": 2}
        if self.with_messages:
            since = {} if self.messages_since is None else {"since": self.messages_since}
            extensions["to_device"] = {"enabled": True, **since}
        return {"conn_id": self.conn_id, "extensions": extensions}

    def anew(self) -> Self:
        """As after a start without what was stored, but for the place in the inbox."""
        return replace(
            self.fresh(self.conn_id),
            versions=self.versions,
            with_messages=self.with_messages,
            messages=self.messages,
            messages_since=self.messages_since,
            complaints=self.complaints,
        )

    def fresh(self, conn_id: str) -> Self:
        """Another connection, which knows nothing."""
        return replace(
            self,
            conn_id=conn_id,
            versions={},
            with_messages=False,
            pos=None,
            rooms={},
            account_data={},
            threads={},
            messages=[],
            messages_since=None,
            key_counts={},
            tracked=set(),
            known={},
            seen={},
            complaints=[],
        )

    async def ask(self, person: SyncPerson, pos: str | None, **body: Any) -> Answer:
        return await ask(person, pos, **body)

    def take(self, answer: Json) -> None:
        for room_id, told in answer["rooms"].items():
            if told.get("initial") or "stripped_state" in told:
                kept = self.rooms.get(room_id, SlidingRoom()).account_data
                self.rooms[room_id] = SlidingRoom(account_data=kept)
            elif room_id not in self.rooms:
                self.complaints.append(f"{room_id} begins without initial")
                continue
            self._take_room(room_id, told)
        self._take_extensions(answer["extensions"])
        self.pos = answer["pos"]

    def _take_extensions(self, told: Json) -> None:
        account_data = told.get("account_data", {})
        for event in account_data.get("global", ()):
            self.account_data[event["type"]] = event["content"]
        for room_id, events in account_data.get("rooms", {}).items():
            for event in events:
                self.rooms[room_id].account_data[event["type"]] = event["content"]
        for room_id, event in told.get("receipts", {}).get("rooms", {}).items():
            for event_id, by_type in event["content"].items():
                for type_, by_user in by_type.items():
                    for user_id, said in by_user.items():
                        key = (user_id, type_, said.get("thread_id"))
                        self.rooms[room_id].receipts[key] = event_id
        for room_id, event in told.get("typing", {}).get("rooms", {}).items():
            self.rooms[room_id].typing = event["content"]["user_ids"]
        self.take_threads(told[THREADS])
        if "to_device" in told:
            self.messages += [event["content"]["n"] for event in told["to_device"]["events"]]
            self.messages_since = told["to_device"]["next_batch"]
        self._take_devices(told["e2ee"])

    def take_threads(self, told: Json) -> None:
        """ "The update with the higher bump_stamp is later and renders the update with the lower" void."""
        for kind in ("subscribed", "unsubscribed"):
            for room_id, threads in told.get(kind, {}).items():
                for root, new in threads.items():
                    old = self.threads.get((room_id, root))
                    if old is None or old["bump_stamp"] < new["bump_stamp"]:
                        self.threads[room_id, root] = {"kind": kind, **new}

    def _take_devices(self, told: Json) -> None:
        if self.pos is None:
            # Who begins fetches the devices of everybody.
            self.known = dict(self.versions)
        self.key_counts |= {name: value for name, value in told.items() if name != "device_lists"}
        lists = told.get("device_lists", {})
        changed, left = set(lists.get("changed", ())), set(lists.get("left", ()))
        self.tracked = (self.tracked | changed) - left
        self.known.update({user: self.versions.get(user, 0) for user in changed})

    def _take_room(self, room_id: str, told: Json) -> None:
        room = self.rooms[room_id]
        for name in ("membership", "name", "joined_count", "invited_count"):
            if name in told:
                room.facts[name] = told[name]
        if "heroes" in told:
            heroes = told["heroes"]
            room.facts["heroes"] = sorted((hero["user_id"], hero.get("displayname")) for hero in heroes)
        if told.get("name"):
            # Nobody has to stand for a room that has a name.
            room.facts.pop("heroes", None)
        if "is_dm" in told:
            room.facts["is_dm"] = told["is_dm"] or None
        for event in told.get("stripped_state", ()):
            room.stripped.add((event["type"], event["state_key"]))
        for event in told.get("required_state", ()):
            key = (event["type"], event["state_key"])
            if "content" in event:
                room.state[key] = event["event_id"]
            else:
                room.state.pop(key, None)
        if told.get("limited") or told.get("expanded_timeline"):
            room.timeline.clear()
        for event in told.get("timeline", ()):
            if event["event_id"] in room.timeline:
                self.complaints.append(f"{event['event_id']} twice in {room_id}")
            room.timeline.append(event["event_id"])
            room.senders[event["event_id"]] = event["sender"]
            self.seen.setdefault(room_id, set()).add(event["event_id"])


def sliding_differences(
    folded: SlidingFold, fresh: SlidingFold, *, forked: Collection[str] = ()
) -> list[str]:
    """In what a folded picture differs from that of a new connection, in words. In ``forked`` rooms a member
    may be gone, which cannot be told.
    """
    found = list(folded.complaints)
    if folded.account_data != fresh.account_data:
        found.append(f"account data {folded.account_data} and {fresh.account_data}")
    if folded.threads != fresh.threads:
        found.append(f"threads {folded.threads} and {fresh.threads}")
    for room_id in folded.rooms.keys() - fresh.rooms.keys():
        # Left by oneself, or kept out of a room one never was in.
        if folded.rooms[room_id].facts["membership"] not in ("leave", "ban"):
            found.append(f"{room_id} is not there any more")
    for room_id, room in fresh.rooms.items():
        old = folded.rooms.get(room_id)
        if old is None:
            found.append(f"{room_id} is missing")
            continue
        facts = {name: value for name, value in old.facts.items() if value is not None}
        if facts != room.facts:
            found.append(f"{room_id}: {facts} and {room.facts}")
        if old.stripped != room.stripped:
            found.append(f"{room_id}: stripped {old.stripped ^ room.stripped}")
        found += [f"{room_id}: {each}" for each in _of_state(old, room, folded.lazy, room_id in forked)]
        if folded.lazy and room_id not in forked:
            found += [f"{room_id}: {each}" for each in _of_senders(old, room)]
        if room.facts["membership"] == "join":
            found += [f"{room_id}: {each}" for each in _of_joined(old, room)]
    return found


def _of_state(old: SlidingRoom, new: SlidingRoom, lazy: bool, forked: bool) -> list[str]:
    wrong = {
        (key, old.state.get(key), new.state.get(key))
        for key in old.state.keys() | new.state.keys()
        if old.state.get(key) != new.state.get(key)
        # Those that are loaded lazily hang on what was shown, and one that is gone cannot be told.
        and not (key[0] == "m.room.member" and (lazy or (forked and key not in new.state)))
    }
    return [f"state {wrong}"] if wrong else []


def _of_senders(old: SlidingRoom, new: SlidingRoom) -> list[str]:
    """Where members are loaded lazily, those who have sent what is shown are known."""
    found = []
    for event_id in old.timeline:
        key = ("m.room.member", old.senders[event_id])
        known = old.state.get(key)
        if known is None or known != new.state.get(key, known):
            found.append(f"of the sender of {event_id} {known} is known and there is {new.state.get(key)}")
    return found


def _of_joined(old: SlidingRoom, new: SlidingRoom) -> list[str]:
    found = []
    if old.account_data != new.account_data:
        found.append(f"account data {old.account_data} and {new.account_data}")
    if old.typing != new.typing:
        found.append(f"typing {old.typing} and {new.typing}")
    # A room has one event of receipts here: of those by thread on the same event it has only one a user.
    at = [{(user, type_, event) for (user, type_, _), event in room.receipts.items()} for room in (old, new)]
    if not at[1] <= at[0]:
        found.append(f"receipts {at[0]} and {at[1]}")
    shared = min(len(old.timeline), len(new.timeline))
    if old.timeline[-shared:] != new.timeline[-shared:] or (new.timeline and not shared):
        found.append(f"timeline {old.timeline} and {new.timeline}")
    return found

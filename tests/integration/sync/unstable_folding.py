"""A client of sliding sync in its unstable form: it asks and is told in other words, and folds the same."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tests.integration.sync.building import SyncPerson
from tests.integration.sync.sliding_folding import SlidingFold
from tests.integration.sync.test_sliding import UNSTABLE
from tests.support.http import Answer, Json

COUNTS = ("notification_count", "highlight_count")


@dataclass
class UnstableFold(SlidingFold):
    """What it is itself in a room is not told: it is seen in the own member event, or in how the room is
    told. Nor is it told what is not there any more.
    """

    user_id: str = ""

    async def ask(self, person: SyncPerson, pos: str | None, **body: Any) -> Answer:
        await person.hear()
        query = {} if pos is None else {"pos": pos}
        for name in ("timeout", "set_presence"):
            if name in body:
                query[name] = str(body.pop(name))
        for kind in ("lists", "room_subscriptions"):
            body[kind] = {name: _asked(config) for name, config in body.get(kind, {}).items()}
        path = UNSTABLE + "?" + "&".join(f"{name}={value}" for name, value in query.items())
        return await person.post(path, body)

    def take(self, answer: Json) -> None:
        rooms = {room_id: self._told(room_id, told) for room_id, told in answer["rooms"].items()}
        super().take(answer | {"rooms": rooms})

    def forget_what_is_gone(self, fresh: SlidingFold, forked: Collection[str]) -> None:
        """A name that was taken away; in a room that forks any state. By branches unread counts may differ
        until they are counted anew.
        """
        for room_id in self.rooms.keys() & fresh.rooms.keys():
            old, new = self.rooms[room_id], fresh.rooms[room_id]
            if "name" not in new.facts:
                old.facts.pop("name", None)
            if room_id in forked:
                old.facts.update({name: new.facts[name] for name in COUNTS if name in new.facts})
                old.state = {key: event for key, event in old.state.items() if key in new.state}

    def _told(self, room_id: str, told: Json) -> Json:
        """The same in the words of the accepted form."""
        found = dict(told)
        for name, membership in (("invite_state", "invite"), ("knock_state", "knock")):
            if name in told:
                found |= {"stripped_state": told[name], "membership": membership}
        if told.get("unstable_expanded_timeline"):
            found["expanded_timeline"] = True
        for event in (*told.get("required_state", ()), *told.get("timeline", ())):
            if (event["type"], event.get("state_key")) == ("m.room.member", self.user_id):
                found["membership"] = event["content"]["membership"]
        if told.get("initial") and "membership" not in found:
            self.complaints.append(f"{room_id} does not say what one is in it")
        return found

    def _take_room(self, room_id: str, told: Json) -> None:
        super()._take_room(room_id, told)
        facts = self.rooms[room_id].facts
        facts.update({name: told[name] for name in COUNTS if name in told})
        if facts.get("membership") in ("leave", "ban"):
            # Nothing is counted in it any more.
            for name in COUNTS:
                facts.pop(name, None)


def _asked(config: Json) -> Json:
    """A list or a subscription in the words of the unstable form."""
    found = dict(config)
    required = found.pop("required_state")
    pairs = [[each.get("type", "*"), each.get("state_key", "*")] for each in required.get("include", ())]
    if required.get("lazy_members"):
        pairs.append(["m.room.member", "$LAZY"])
    found["required_state"] = [*pairs, ["m.room.member", "$ME"]]
    if "range" in found:
        found["ranges"] = [found.pop("range")]
    if "is_invited" in found.get("filters", {}):
        found["filters"] = {"is_invite": found["filters"]["is_invited"]}
    return found

"""What follows a user from a room into the one that replaces it: tags, push rules, and being a direct chat.

"When a user joins the new room, the server should automatically transfer/replicate some of the user's
personalized settings such as notifications, tags, etc."

Anybody may make a room that calls itself the successor of another, so it counts only if the old room's
tombstone says the same. What the user has set in the new room already stays.

Client-Server API, "Room Upgrades", "Server behaviour".
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from plexus.protocol.errors import MatrixError
from plexus.protocol.identifiers import is_room_id
from plexus.protocol.push_rules import Kind, Overlay, Rule
from plexus.rooms import Rooms
from plexus.users import Users

log = logging.getLogger(__name__)

MOST_KNOWN = 10_000
"""Rooms of which it is kept whether they replace another. It never changes, and every join asks."""

_KINDS: Final[tuple[Kind, ...]] = ("override", "room", "underride")
"""The kinds of push rules that can speak of one room. Clients mute a room by an override that names it."""


class Following:
    """For one process."""

    def __init__(self, rooms: Rooms, users: Users) -> None:
        self._rooms = rooms
        self._users = users
        self._known: dict[str, str | None] = {}

    async def after_join(self, room_id: str, user_id: str) -> None:
        """Bring along what the user had in the room that this one replaces. The join is done: what goes wrong
        here is told to the log only.
        """
        try:
            old = await self._replaced_by(room_id)
            if old is not None:
                await self._tags(user_id, old, room_id)
                await self._direct(user_id, old, room_id)
                await self._push_rules(user_id, old, room_id)
        except MatrixError as error:
            log.warning("settings have not followed into an upgraded room: %s", error)

    async def _replaced_by(self, room_id: str) -> str | None:
        old = self._known.get(room_id, "")
        if old == "":
            create = await self._rooms.state_event(room_id, "m.room.create", "")
            if create is None:
                # A replica of the database may not have the room yet.
                return None
            old = _predecessor(create.content)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[room_id] = old
        if old is None:
            return None
        tombstone = await self._rooms.state_event(old, "m.room.tombstone", "")
        if tombstone is None or tombstone.content.get("replacement_room") != room_id:
            return None
        return old

    async def _tags(self, user_id: str, old: str, new: str) -> None:
        tags = await self._users.account_data(user_id, "m.tag", old)
        if tags is not None and await self._users.account_data(user_id, "m.tag", new) is None:
            await self._users.set_account_data(user_id, "m.tag", orjson.loads(tags), new)

    async def _direct(self, user_id: str, old: str, new: str) -> None:
        stored = await self._users.account_data(user_id, "m.direct")
        content = None if stored is None else orjson.loads(stored)
        if not isinstance(content, dict):
            return
        changed = {
            other: [*rooms, new]
            for other, rooms in content.items()
            if isinstance(rooms, list) and old in rooms and new not in rooms
        }
        if changed:
            await self._users.set_account_data(user_id, "m.direct", {**content, **changed})

    async def _push_rules(self, user_id: str, old: str, new: str) -> None:
        if _followed(await self._users.push_overlay(user_id), old, new):
            await self._users.edit_push_rules(user_id, lambda overlay: _follow(overlay, old, new))


def _predecessor(create: Mapping[str, Any]) -> str | None:
    predecessor = create.get("predecessor")
    room_id = predecessor.get("room_id") if isinstance(predecessor, dict) else None
    return room_id if isinstance(room_id, str) and is_room_id(room_id) else None


def _followed(overlay: Overlay, old: str, new: str) -> list[tuple[Kind, str, Rule]]:
    """(kind, ID for the new room, rule) of the rules that are for the old room and have no counterpart."""
    found = []
    for kind in _KINDS:
        rules: Sequence[Rule] = overlay.rules.get(kind, ())
        ids = {rule["rule_id"] for rule in rules}
        for rule in rules:
            rule_id = rule["rule_id"].replace(old, new)
            if rule_id != rule["rule_id"] and rule_id not in ids:
                found.append((kind, rule_id, rule))
    return found


def _follow(overlay: Overlay, old: str, new: str) -> Overlay:
    """The changes with a rule for the new room right after each that is for the old one."""
    for kind, rule_id, rule in _followed(overlay, old, new):
        body = {"actions": rule["actions"]}
        if "conditions" in rule:
            body["conditions"] = [_renamed(condition, old, new) for condition in rule["conditions"]]
        overlay = overlay.put_rule(kind, rule_id, body, after=rule["rule_id"])
        if not rule["enabled"]:
            overlay = overlay.set_enabled(kind, rule_id, False)
    return overlay


def _renamed(condition: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    return {name: new if value == old else value for name, value in condition.items()}

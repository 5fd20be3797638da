"""What a push gateway is told. Push Gateway API, ``notify``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from plexus.client_api.pushing.queries import Push
from plexus.rooms import MAIN_THREAD, Rooms, StoredEvent
from plexus.users import Pusher


@dataclass(frozen=True, slots=True)
class Payload:
    """The body of a request, and how many unread messages it tells of."""

    body: bytes
    unread: int


async def badge(rooms: Rooms, push: Push, pusher: Pusher, known: int) -> Payload | None:
    """Of a push without an event; None if the pusher knows the number."""
    unread = await _unread(rooms, push.user_id)
    if unread == known:
        return None
    notification = {"prio": "low", "counts": _counts(unread), "devices": [_device(pusher)]}
    return Payload(orjson.dumps({"notification": notification}), unread)


async def payload(rooms: Rooms, push: Push, pusher: Pusher) -> Payload | None:
    """None if there is nothing to tell any more: the event was redacted, or the user has read it or left."""
    found = await rooms.notified_event(push.lane, push.room, push.num)
    if found is None:
        return None
    event, thread = found
    read = (await rooms.read_places([event.ref], push.user_id))[event.ref].of(thread or MAIN_THREAD)
    if read is not None and event.place <= read:
        return None
    if await rooms.membership(event.room_id, push.user_id) not in ("join", "invite"):
        return None
    tweaks = _tweaks(push)
    unread = await _unread(rooms, push.user_id)
    notification: dict[str, Any] = {
        "event_id": event.event_id,
        "room_id": event.room_id,
        "prio": "high" if tweaks.get("highlight") or tweaks.get("sound") else "low",
        "counts": _counts(unread),
        "devices": [{**_device(pusher), "tweaks": tweaks}],
    }
    if pusher.data.get("format") != "event_id_only":
        notification |= await _about(rooms, event, push.user_id)
    return Payload(orjson.dumps({"notification": notification}), unread)


def _device(pusher: Pusher) -> dict[str, Any]:
    data = {name: value for name, value in pusher.data.items() if name != "url"}
    return {"app_id": pusher.app_id, "pushkey": pusher.pushkey, "data": data}


def _tweaks(push: Push) -> dict[str, Any]:
    tweaks: dict[str, Any] = {}
    for action in orjson.loads(push.actions):
        if isinstance(action, dict) and isinstance(name := action.get("set_tweak"), str):
            tweaks[name] = action.get("value", True if name == "highlight" else None)
    return tweaks


def _counts(unread: int) -> dict[str, int]:
    """As the API has it: "counts whose value is zero should be omitted"."""
    return {"unread": unread} if unread else {}


async def _unread(rooms: Rooms, user_id: str) -> int:
    """How much the user has not read in all their rooms."""
    refs = [room.ref for room in await rooms.rooms_of(user_id)]
    unread = await rooms.unread(refs, user_id)
    return sum(each.total.notifications for each in unread.values())


async def _about(rooms: Rooms, event: StoredEvent, user_id: str) -> dict[str, Any]:
    """What ``event_id_only`` leaves out."""
    about: dict[str, Any] = {"type": event.type, "sender": event.sender, "content": event.content}
    if event.type == "m.room.member" and event.state_key == user_id:
        about["user_is_target"] = True
    for name, kind, state_key, member in (
        ("sender_display_name", "m.room.member", event.sender, "displayname"),
        ("room_name", "m.room.name", "", "name"),
        ("room_alias", "m.room.canonical_alias", "", "alias"),
    ):
        state = await rooms.state_event(event.room_id, kind, state_key)
        value = None if state is None else state.content.get(member)
        if isinstance(value, str) and value:
            about[name] = value
    return about

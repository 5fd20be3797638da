"""What a push gateway is told. Push Gateway API, ``notify``."""

from __future__ import annotations

from typing import Any

import orjson
from plexus.client_api.pushing.queries import Push
from plexus.rooms import MAIN_THREAD, Rooms, StoredEvent
from plexus.users import Pusher


async def payload(rooms: Rooms, push: Push, pusher: Pusher) -> bytes | None:
    """The body of the request; None if there is nothing to tell any more: the event was redacted, or the user
    has read it or left.
    """
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
    notification: dict[str, Any] = {
        "event_id": event.event_id,
        "room_id": event.room_id,
        "prio": "high" if tweaks.get("highlight") or tweaks.get("sound") else "low",
        "counts": await _counts(rooms, push.user_id),
        "devices": [
            {
                "app_id": pusher.app_id,
                "pushkey": pusher.pushkey,
                "data": {name: value for name, value in pusher.data.items() if name != "url"},
                "tweaks": tweaks,
            }
        ],
    }
    if pusher.data.get("format") != "event_id_only":
        notification |= await _about(rooms, event, push.user_id)
    return orjson.dumps({"notification": notification})


def _tweaks(push: Push) -> dict[str, Any]:
    tweaks: dict[str, Any] = {}
    for action in orjson.loads(push.actions):
        if isinstance(action, dict) and isinstance(name := action.get("set_tweak"), str):
            tweaks[name] = action.get("value", True if name == "highlight" else None)
    return tweaks


async def _counts(rooms: Rooms, user_id: str) -> dict[str, int]:
    """How much the user has not read in all their rooms. "Counts whose value is zero should be omitted."""
    refs = [room.ref for room in await rooms.rooms_of(user_id)]
    unread = await rooms.unread(refs, user_id)
    total = sum(each.total.notifications for each in unread.values())
    return {"unread": total} if total else {}


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

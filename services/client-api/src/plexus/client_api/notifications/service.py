"""Listing notifications: those of the rooms that the user is in, or was in and has not forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.platform.http import Requester
from plexus.protocol.push_rules import KINDS, Overlay
from plexus.rooms import MAIN_THREAD, Listed, Notification, ReadPlaces, embeds

DEFAULT = 20
MOST = 100
_MEMBERSHIPS = frozenset({"join", "invite", "knock", "leave", "ban"})


async def list_notifications(
    api: ClientApi, requester: Requester, start: str | None, limit: int, *, highlights: bool
) -> dict[str, Any]:
    """``getNotifications``: `InvalidParam` for a token that is none."""
    user_id, limit = requester.user_id, min(limit, MOST)
    before = None if start is None else Listed.decode(start)
    rooms = await api.rooms.rooms_of(user_id, _MEMBERSHIPS)
    found = await api.rooms.notifications(rooms, user_id, before, limit + 1, highlights=highlights)
    page = found[:limit]
    await api.rooms.decorate([notification.event for notification in page])
    embedding = [notification.event for notification in page if embeds(notification.event)]
    withheld = await api.rooms.withheld_from(user_id, embedding)
    refs = list({notification.event.ref: None for notification in page})
    places = await api.rooms.read_places(refs, user_id)
    overlay = await api.users.push_overlay(user_id)
    now = api.platform.clock.now_ms()
    shown = [
        {
            "actions": _actions(notification, overlay),
            "event": withheld.shown(notification.event).client_dict(
                now_ms=now, user_id=user_id, device_id=requester.device_id, with_room_id=False
            ),
            "read": _is_read(notification, places[notification.event.ref]),
            "room_id": notification.event.room_id,
            "ts": notification.event.origin_server_ts,
        }
        for notification in page
    ]
    answer: dict[str, Any] = {"notifications": shown}
    if len(found) > limit:
        answer["next_token"] = page[-1].place.encode()
    return answer


def _actions(notification: Notification, overlay: Overlay) -> Sequence[Any]:
    """Those of the rule, as the user has them."""
    for kind in KINDS:
        changed = overlay.actions.get((kind, notification.rule_id or ""))
        if changed is not None:
            return changed
    return notification.actions


def _is_read(notification: Notification, places: ReadPlaces) -> bool:
    read = places.of(notification.thread or MAIN_THREAD)
    return read is not None and notification.event.place <= read

"""Which receipts are taken.

A receipt names an event in the timeline of its room, and with a thread one that is in that thread. The fully
read marker is account data of the room; like the receipts it only goes forward.

Client-Server API, "Receipts"; "Fully read markers".
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from plexus.client_api.deps import ClientApi
from plexus.client_api.receipts.models import ReadMarkers
from plexus.protocol.errors import Forbidden, InvalidParam, NotFound
from plexus.protocol.identifiers import is_event_id
from plexus.rooms import MAIN_THREAD, ReceiptTarget, ReceiptType

FULLY_READ = "m.fully_read"
_TYPES: Mapping[str, ReceiptType] = {"m.read": "m.read", "m.read.private": "m.read.private"}


async def post_receipt(
    api: ClientApi, user_id: str, room_id: str, type_: str, event_id: str, body: Mapping[str, Any]
) -> None:
    """``postReceipt``; `InvalidParam` as it says, `Forbidden` for who is not in the room, `NotFound` for an
    event that the room does not have.
    """
    thread = _thread_id(body)
    if type_ == FULLY_READ:
        if thread is not None:
            raise InvalidParam("thread_id goes with no m.fully_read")
        await _set_fully_read(api, user_id, room_id, event_id)
        return
    receipt_type = _TYPES.get(type_)
    if receipt_type is None:
        raise InvalidParam("The receipt type is m.read, m.read.private or m.fully_read")
    target = await _target(api, user_id, room_id, event_id)
    if thread is not None and target.thread not in (thread, None):
        raise InvalidParam("event_id is not related to thread_id")
    await api.rooms.put_receipt(room_id, user_id, receipt_type, target, thread)


async def set_read_marker(api: ClientApi, user_id: str, room_id: str, markers: ReadMarkers) -> None:
    """``setReadMarker``: all of it, or nothing if one of the events is not there."""
    named = {event_id for event_id in (markers.fully_read, markers.read, markers.read_private) if event_id}
    targets = {event_id: await _target(api, user_id, room_id, event_id) for event_id in sorted(named)}
    receipts = (("m.read", markers.read), ("m.read.private", markers.read_private))
    # Together, so that they are written together.
    await asyncio.gather(
        *(
            api.rooms.put_receipt(room_id, user_id, _TYPES[type_], targets[event_id])
            for type_, event_id in receipts
            if event_id is not None
        )
    )
    if markers.fully_read is not None:
        await _set_fully_read(api, user_id, room_id, markers.fully_read)
    elif not named:
        await _check_member(api, user_id, room_id)


async def _set_fully_read(api: ClientApi, user_id: str, room_id: str, event_id: str) -> None:
    await _check_member(api, user_id, room_id)
    target = await _target(api, user_id, room_id, event_id)
    await api.users.set_fully_read(user_id, room_id, event_id, target.place.ordinal)


async def _target(api: ClientApi, user_id: str, room_id: str, event_id: str) -> ReceiptTarget:
    target = await api.rooms.receipt_target(room_id, event_id)
    if target is None:
        # Who is not in the room is not told what it has.
        await _check_member(api, user_id, room_id)
        raise NotFound("There is no such event in the room")
    return target


async def _check_member(api: ClientApi, user_id: str, room_id: str) -> None:
    if await api.rooms.membership(room_id, user_id) != "join":
        raise Forbidden("You are not in this room")


def _thread_id(body: Mapping[str, Any]) -> str | None:
    if "thread_id" not in body:
        return None
    thread = body["thread_id"]
    if not isinstance(thread, str) or not thread:
        raise InvalidParam("thread_id is a non-empty string")
    if thread != MAIN_THREAD and not is_event_id(thread):
        raise InvalidParam("thread_id is main or the event ID of a thread's root")
    return thread

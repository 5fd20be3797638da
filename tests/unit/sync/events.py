"""Events for tests, without a room engine."""

from __future__ import annotations

from typing import Any

import orjson
from plexus.rooms import RoomRef, StoredEvent

REF = RoomRef("!room:example.org", 3, 1, "10")


def stored(
    num: int,
    type: str = "m.room.message",
    sender: str = "@alice:example.org",
    content: dict[str, Any] | None = None,
    state_key: str | None = None,
    *,
    snaps: tuple[int, int] = (1, 1),
    txn: tuple[str, str] | None = None,
    ts: int = 1_000,
    ref: RoomRef = REF,
) -> StoredEvent:
    """A stored event whose num is its ordinal."""
    pdu: dict[str, Any] = {
        "auth_events": [],
        "content": content if content is not None else {"body": f"message {num}", "msgtype": "m.text"},
        "depth": num,
        "hashes": {},
        "origin_server_ts": ts,
        "prev_events": [],
        "room_id": ref.room_id,
        "sender": sender,
        "signatures": {},
        "type": type,
    }
    if state_key is not None:
        pdu["state_key"] = state_key
    device, txn_id = txn if txn is not None else (None, None)
    return StoredEvent(
        ref,
        num,
        num,
        0,
        f"$event{num}",
        type,
        state_key,
        sender,
        ts,
        snaps[0],
        snaps[1],
        None,
        None,
        None,
        None,
        device,
        txn_id,
        orjson.dumps(pdu, option=orjson.OPT_SORT_KEYS),
    )


def member(num: int, user_id: str, membership: str, **rest: Any) -> StoredEvent:
    return stored(num, "m.room.member", user_id, {"membership": membership}, user_id, **rest)

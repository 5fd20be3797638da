"""Which events can be found, and by what text.

Client-Server API, "Server Side Search", ``room_events``.
"""

from __future__ import annotations

from typing import Any

from plexus.rooms import StoredEvent

KINDS = {"content.body": 1, "content.name": 2, "content.topic": 3}
"""The keys that a client may search, as the index numbers them."""
_KIND_OF_TYPE = {"m.room.message": 1, "m.room.name": 2, "m.room.topic": 3}
TYPES = tuple(_KIND_OF_TYPE)


def kind_of(event: StoredEvent) -> int:
    """`TYPES` only."""
    return _KIND_OF_TYPE[event.type]


def text_of(event: StoredEvent) -> str:
    """What the event is found by; empty if there is nothing, as in a redacted one."""
    content = event.content
    if event.type == "m.room.message":
        return _text(content.get("body"))
    if event.state_key != "":
        return ""
    if event.type == "m.room.name":
        return _text(content.get("name"))
    plain = _plain_topic(content.get("m.topic"))
    topic = _text(content.get("topic"))
    return topic if plain in ("", topic) else f"{topic}\n{plain}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _plain_topic(value: Any) -> str:
    """The ``text/plain`` representation in ``m.topic``, which is the default of ``mimetype``."""
    texts = value.get("m.text") if isinstance(value, dict) else None
    for part in texts if isinstance(texts, list) else ():
        if isinstance(part, dict) and part.get("mimetype", "text/plain") == "text/plain":
            return _text(part.get("body"))
    return ""

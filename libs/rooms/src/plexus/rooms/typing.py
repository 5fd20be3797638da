"""Who is typing where, on its way from the client API to whoever tells clients.

Nothing of it is kept in the database. The client API publishes on a channel of the ephemeral port; each sync
replica keeps what it has heard until its time is up. One that has just started says `ASK`, and the others
publish what they know.

Client-Server API, "Typing Notifications".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import orjson

TYPING_CHANNEL = "typing"
ASK = b"?"

MAX_TIMEOUT_MS = 120_000
"""A client whose server never hears of it again types so long at most."""


class Typing(NamedTuple):
    """``timeout_ms`` from now on; 0: has stopped."""

    room_id: str
    user_id: str
    timeout_ms: int


def encode_typing(found: Iterable[Typing]) -> bytes:
    return orjson.dumps([list(typing) for typing in found])


def decode_typing(payload: bytes) -> list[Typing]:
    """`ValueError` for what is no such message."""
    try:
        return [Typing(*entry) for entry in orjson.loads(payload)]
    except TypeError as error:
        raise ValueError("not a message about typing") from error

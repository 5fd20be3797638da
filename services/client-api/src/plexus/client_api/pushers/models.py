"""What a client asks of ``pushers/set``."""

from __future__ import annotations

from typing import Annotated, Any

from plexus.platform.http import Body
from plexus.protocol.errors import InvalidParam
from pydantic import AfterValidator, Field

MAX_PUSHKEY_BYTES = 512
MAX_APP_ID = 64
MAX_DATA_BYTES = 16_384
"""Of ``data`` as JSON: it goes with every notification. The specification sets no limit."""


def _storable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidParam("Not valid Unicode") from None
    if "\0" in text:
        raise InvalidParam("A NUL cannot stand here")
    return text


def _pushkey(pushkey: str) -> str:
    if not 0 < len(pushkey.encode()) <= MAX_PUSHKEY_BYTES:
        raise InvalidParam(f"A pushkey has 1 to {MAX_PUSHKEY_BYTES} bytes")
    return pushkey


def _app_id(app_id: str) -> str:
    if not 0 < len(app_id) <= MAX_APP_ID:
        raise InvalidParam(f"An app_id has 1 to {MAX_APP_ID} characters")
    return app_id


Text = Annotated[str, Field(max_length=1_000), AfterValidator(_storable)]


class PusherRequest(Body):
    """``kind`` null deletes the pusher; otherwise what may be null here must be there."""

    app_id: Annotated[str, AfterValidator(_storable), AfterValidator(_app_id)]
    pushkey: Annotated[str, AfterValidator(_storable), AfterValidator(_pushkey)]
    kind: str | None
    app_display_name: Text | None = None
    device_display_name: Text | None = None
    profile_tag: Text | None = None
    lang: Text | None = None
    data: dict[str, Any] | None = None
    append: bool = False

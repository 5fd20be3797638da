"""Tags and what comes with them. Client-Server API, "Room Tagging"."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body as JsonBody
from fastapi import Path
from plexus.client_api.params import check_name
from plexus.protocol.errors import InvalidParam
from pydantic import AfterValidator, WithJsonSchema

MAX_TAG_BYTES = 255


def _check_tag(tag: str) -> str:
    """At most 255 bytes, as the specification says."""
    if len(check_name(tag).encode("utf-8", "replace")) > MAX_TAG_BYTES:
        raise InvalidParam(f"A tag has at most {MAX_TAG_BYTES} bytes")
    return tag


def _check_content(content: dict[str, Any]) -> dict[str, Any]:
    """``order`` is a number from 0 to 1, or not there; what else there is is the client's."""
    order = content.get("order", 0)
    if isinstance(order, bool) or not isinstance(order, int | float) or not 0 <= order <= 1:
        raise InvalidParam("order must be a number from 0 to 1")
    return content


Tag = Annotated[str, Path(alias="tag", description="The tag."), AfterValidator(_check_tag)]
TagContent = Annotated[
    dict[str, Any],
    JsonBody(description="Extra data for the tag, e.g. its order."),
    AfterValidator(_check_content),
    WithJsonSchema(
        {"type": "object", "properties": {"order": {"type": "number", "minimum": 0, "maximum": 1}}}
    ),
]

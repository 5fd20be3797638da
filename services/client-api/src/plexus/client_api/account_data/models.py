"""The parameters of account data."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body as JsonBody
from fastapi import Path
from plexus.client_api.params import check_name
from plexus.protocol.errors import InvalidParam
from pydantic import AfterValidator

MAX_TYPE_BYTES = 255


def _check_type(type_: str) -> str:
    if len(check_name(type_).encode("utf-8", "replace")) > MAX_TYPE_BYTES:
        raise InvalidParam(f"A type has at most {MAX_TYPE_BYTES} bytes")
    return type_


DataType = Annotated[
    str, Path(alias="type", description="The type of account data."), AfterValidator(_check_type)
]
Content = Annotated[dict[str, Any], JsonBody(description="The content.")]

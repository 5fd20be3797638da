"""What a profile field may be called, and what its value may be.

Client-Server API, "Profiles".
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body as JsonBody
from fastapi import Path
from plexus.protocol.errors import InvalidParam, MatrixError, MissingParam
from plexus.protocol.identifiers import is_namespaced_id
from pydantic import AfterValidator, WithJsonSchema

DEFINED = frozenset(("displayname", "avatar_url", "m.tz"))
MAX_KEY_BYTES = 255
# A name and an avatar stand in a member event of every room, which has at most 64 KiB with all else.
MAX_DISPLAYNAME = 256
MAX_AVATAR_URL = 1000


def check_field_name(name: str) -> str:
    """``M_KEY_TOO_LARGE`` or `InvalidParam` unless it is a field of the spec or a namespaced name."""
    if len(name.encode("utf-8", "replace")) > MAX_KEY_BYTES:
        raise MatrixError(400, "M_KEY_TOO_LARGE", f"A profile key has at most {MAX_KEY_BYTES} bytes")
    if name not in DEFINED and not (is_namespaced_id(name) and "." in name):
        raise InvalidParam("Invalid profile key")
    return name


def read_value(name: str, body: dict[str, Any]) -> Any:
    """The one member that the body must have, checked."""
    if name not in body:
        raise MissingParam(f"{name} is missing")
    value = body[name]
    if name in DEFINED and not isinstance(value, str):
        raise InvalidParam(f"{name} must be a string")
    if name == "displayname" and len(value) > MAX_DISPLAYNAME:
        raise InvalidParam(f"displayname has at most {MAX_DISPLAYNAME} characters")
    if name == "avatar_url":
        if len(value) > MAX_AVATAR_URL:
            raise InvalidParam(f"avatar_url has at most {MAX_AVATAR_URL} characters")
        # Clients take an avatar away by setting an empty one.
        if value and not value.startswith("mxc://"):
            raise InvalidParam("avatar_url must be an mxc:// URI")
    return value


FieldName = Annotated[
    str,
    Path(alias="keyName", description="The profile field."),
    AfterValidator(check_field_name),
    WithJsonSchema({"type": "string", "pattern": r"^[a-z][a-z0-9._-]*$"}),
]
FieldBody = Annotated[
    dict[str, Any],
    JsonBody(description="An object with the field, under the name that the path has."),
    WithJsonSchema({"type": "object", "minProperties": 1}),
]

"""What an administrator has the server say."""

from __future__ import annotations

from typing import Annotated

from plexus.platform.http import Body
from plexus.protocol.errors import InvalidParam
from pydantic import AfterValidator


def said(text: str) -> str:
    """The text, unless it says nothing."""
    if not text.strip():
        raise InvalidParam("A notice says something")
    return text


class Notice(Body):
    body: Annotated[str, AfterValidator(said)]

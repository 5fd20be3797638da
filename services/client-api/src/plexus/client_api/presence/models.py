"""The body of ``setPresence``, and the answer of ``getPresence``."""

from __future__ import annotations

from typing import Literal

from plexus.platform.http import Body
from pydantic import BaseModel, Field

MAX_STATUS = 1_000
"""Characters of a status message: it is sent to everybody who shares a room. The spec sets no limit."""

State = Literal["online", "offline", "unavailable"]


class NewPresence(Body):
    presence: State
    status_msg: str | None = Field(default=None, max_length=MAX_STATUS)


class Presence(BaseModel):
    presence: State
    last_active_ago: int | None = Field(default=None, description="Milliseconds.")
    currently_active: bool | None = None
    status_msg: str | None = None

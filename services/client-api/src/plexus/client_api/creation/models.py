"""The request of createRoom."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from plexus.client_api.membership.models import Invite3pid
from plexus.platform.http import Body
from plexus.protocol.identifiers import check_user_id
from pydantic import AfterValidator, Field

Visibility = Literal["public", "private"]
Preset = Literal["private_chat", "public_chat", "trusted_private_chat"]
UserId = Annotated[str, AfterValidator(check_user_id)]


class StateEvent(Body):
    """``StateEvent`` of ``initial_state``."""

    type: str = Field(min_length=1)
    content: dict[str, Any]
    state_key: str = ""


class CreateRoom(Body):
    """The room as its creator wants it. What is null is as if it was not there."""

    visibility: Visibility | None = None
    room_alias_name: str | None = None
    name: str | None = None
    topic: str | None = None
    invite: list[UserId] | None = Field(default=None, max_length=1000)
    invite_3pid: list[Invite3pid] | None = Field(default=None, max_length=20)
    room_version: str | None = None
    creation_content: dict[str, Any] | None = None
    initial_state: list[StateEvent] | None = Field(default=None, max_length=1000)
    preset: Preset | None = None
    is_direct: bool | None = None
    power_level_content_override: dict[str, Any] | None = None

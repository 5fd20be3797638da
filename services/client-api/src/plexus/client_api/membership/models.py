"""Requests that change a membership."""

from __future__ import annotations

from typing import Annotated, Any

from plexus.client_api.params import USER_ID_SCHEMA
from plexus.platform.http import Body
from plexus.protocol.identifiers import check_user_id
from pydantic import AfterValidator, WithJsonSchema

UserId = Annotated[str, AfterValidator(check_user_id), WithJsonSchema(USER_ID_SCHEMA)]


class Reasoned(Body):
    """A change with an optional reason."""

    reason: str | None = None


class Join(Reasoned):
    third_party_signed: dict[str, Any] | None = None


class Targeted(Reasoned):
    """A change of another user's membership."""

    user_id: UserId


class Invite(Reasoned):
    """By user ID (``inviteUser``) or by third-party identifier (``inviteBy3PID``): one path, two bodies."""

    user_id: UserId | None = None
    medium: str | None = None
    address: str | None = None

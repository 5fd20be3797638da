"""Requests about aliases and the published room directory."""

from __future__ import annotations

from typing import Annotated, Literal

from plexus.client_api.params import ROOM_ID_SCHEMA
from plexus.platform.http import Body
from plexus.protocol.identifiers import check_room_id
from pydantic import AfterValidator, Field, WithJsonSchema

MAX_PAGE = 500
DEFAULT_PAGE = 100


class AliasTarget(Body):
    room_id: Annotated[str, AfterValidator(check_room_id), WithJsonSchema(ROOM_ID_SCHEMA)]


class RoomVisibility(Body):
    visibility: Literal["public", "private"] = "public"


class DirectoryFilter(Body):
    generic_search_term: str | None = None
    room_types: list[str | None] | None = None


class DirectoryQuery(Body):
    limit: int | None = Field(default=None, ge=0)
    since: str | None = None
    filter: DirectoryFilter | None = None
    include_all_networks: bool = False
    third_party_instance_id: str | None = None

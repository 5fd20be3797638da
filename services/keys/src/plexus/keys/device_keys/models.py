"""Requests about device keys."""

from __future__ import annotations

from typing import Annotated, Any

from plexus.platform.http import Body
from pydantic import Field

Timeout = Annotated[int | None, Field(ge=0, description="Milliseconds to wait for other servers.")]


class KeysUpload(Body):
    device_keys: dict[str, Any] | None = None
    one_time_keys: dict[str, Any] | None = None
    fallback_keys: dict[str, Any] | None = None


class KeysQuery(Body):
    device_keys: dict[str, list[str]]
    timeout: Timeout = None


class KeysClaim(Body):
    one_time_keys: dict[str, dict[str, str]]
    timeout: Timeout = None

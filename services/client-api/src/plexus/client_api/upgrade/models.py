"""The request of upgradeRoom."""

from __future__ import annotations

from plexus.platform.http import Body
from pydantic import Field


class UpgradeRoom(Body):
    """``additional_creators`` counts only where the new version has such creators, and is only then read."""

    new_version: str
    additional_creators: list[str] | None = Field(default=None, max_length=1000)

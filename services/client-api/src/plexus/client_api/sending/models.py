"""Requests that send."""

from __future__ import annotations

from plexus.platform.http import Body


class Redaction(Body):
    reason: str | None = None

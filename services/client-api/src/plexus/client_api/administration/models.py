"""Requests of administrators."""

from __future__ import annotations

from plexus.platform.http import Body
from pydantic import StrictBool


class Lock(Body):
    locked: StrictBool


class Suspension(Body):
    suspended: StrictBool

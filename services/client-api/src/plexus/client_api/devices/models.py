"""Requests about devices."""

from __future__ import annotations

from typing import Annotated

from plexus.client_api.accounts.models import Auth, Name
from plexus.platform.http import Body
from pydantic import Field


class DeviceUpdate(Body):
    display_name: Name = None


class DeviceDeletion(Body):
    auth: Auth = None


class DevicesDeletion(Body):
    auth: Auth = None
    devices: Annotated[list[str], Field(max_length=1000)]

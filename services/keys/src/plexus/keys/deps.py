"""What every endpoint of this service stands on, and how it gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from plexus.keys.server_keys.service import KeyDocument
from plexus.platform.context import Platform
from plexus.users import Users


@dataclass(slots=True)
class Keys:
    """The service's parts, made once by `plexus.keys.root.build`."""

    platform: Platform
    users: Users
    document: KeyDocument


def deps(request: Request) -> Keys:
    """The `Keys` of the application that answers ``request``."""
    found: Keys = request.app.state.deps
    return found


Deps = Annotated[Keys, Depends(deps)]

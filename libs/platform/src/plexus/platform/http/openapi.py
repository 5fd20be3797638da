"""The description of a service's routes, hot ones included."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from plexus.platform.service import Service


def openapi_of(service: Service) -> dict[str, Any]:
    """OpenAPI of one service: what FastAPI knows, and the ``operation`` of each hot route."""
    schema: dict[str, Any] = deepcopy(service.app.openapi())
    paths = schema.setdefault("paths", {})
    for route in service.hot:
        paths.setdefault(route.template, {})[route.method.lower()] = route.operation
    return schema

"""The body of a filter: checked by `plexus.protocol.filters`, kept as it was sent."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body as JsonBody

Definition = Annotated[dict[str, Any], JsonBody(description="The filter.")]

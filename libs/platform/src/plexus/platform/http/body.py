"""The base of every model of a request body."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """Unknown members are kept (clients send more than the spec names), types are strict: ``"1"`` is no
    integer.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

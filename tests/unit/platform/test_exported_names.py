"""The flat faces of the platform's packages: each name is there and stands once."""

from __future__ import annotations

from importlib import import_module
from inspect import ismodule

import pytest


@pytest.mark.parametrize("name", ["http", "settings", "telemetry"])
def test_what_is_exported(name: str) -> None:
    module = import_module(f"plexus.platform.{name}")
    exported = module.__all__
    assert len(exported) == len(set(exported))
    for item in exported:
        assert hasattr(module, item), item
    # What a package shows is what it says it shows.
    shown = {
        item for item in vars(module) if not item.startswith("_") and not ismodule(getattr(module, item))
    }
    assert shown == set(exported)

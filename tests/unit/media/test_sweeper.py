"""The sweeper goes on after a sweep that failed, for whatever reason."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from obstore.exceptions import GenericError
from plexus.media import sweep
from plexus.media.sweep import Sweeper
from plexus.platform.context import Platform


class Turns:
    """A leadership that fails as told and then lets another process sweep."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.fine = asyncio.Event()

    async def acquire(self, name: str, holder: str, *, ttl_ms: int) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.fine.set()

    async def release(self, lease: Any) -> None:
        raise AssertionError("nothing was held")


class Full:
    """A store in trouble: said at the start, and no reason to stop."""

    async def trouble(self) -> str:
        return "no such bucket"


async def test_an_unexpected_error_does_not_end_the_sweeper(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sweep, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(sweep, "INTERVAL_SECONDS", 0.01)
    errors = (OSError("no route"), GenericError("the bucket says 500"), RuntimeError("of no known kind"))
    turns = Turns(*errors)
    sweeper = Sweeper(cast(Platform, SimpleNamespace(leadership=turns, objects=Full())))
    await sweeper.start()
    await asyncio.wait_for(turns.fine.wait(), 5)
    await sweeper.stop()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING", "ERROR", "ERROR"]
    assert "no such bucket" in caplog.text
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == list(errors)

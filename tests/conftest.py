"""What all tests share: a skip is a failure where everything must run, and real servers for those who ask."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support.server import PlexusServer


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With PLEXUS_REQUIRE_ALL=1 (as in CI) a test that skips itself has failed."""
    report = yield
    if report.skipped and os.environ.get("PLEXUS_REQUIRE_ALL") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped itself, and PLEXUS_REQUIRE_ALL=1: {report.longrepr}"
    return report


@pytest.fixture(scope="module")
def plexus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlexusServer]:
    """A `plexus up` of the module's own, on an empty data folder; rate limits off, cheap password hashes."""
    with PlexusServer(tmp_path_factory.mktemp("plexus") / "data") as server:
        yield server


@pytest.fixture
def fresh_plexus(tmp_path: Path) -> Iterator[PlexusServer]:
    """A `plexus up` for one test that means to stop, kill or copy it."""
    with PlexusServer(tmp_path / "data") as server:
        yield server

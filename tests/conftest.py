"""What all tests share: a skip is a failure where everything must run, and real servers for those who ask."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support import topology
from tests.support.cluster import ClusterServer, clusters
from tests.support.server import PlexusServer
from tests.support.stuck import Watchdog

INTEROP = Path(__file__).parent / "interop"
WATCHDOG = pytest.StashKey[Watchdog]()


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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--topology",
        choices=["embedded", "cluster", "both"],
        default="both",
        help="where the tests of whole conversations run: one process, a cluster of services, or both; and "
        "with cluster, those of stories (tests/integration) over Kafka and Redis",
    )


def pytest_configure(config: pytest.Config) -> None:
    topology.CLUSTER = config.getoption("--topology") == "cluster"
    # Nothing is captured yet, so this is where the run itself writes.
    config.stash[WATCHDOG] = Watchdog(os.fdopen(os.dup(2), "w"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that its timeout does not end is told of, and ends the run."""
    with item.config.stash[WATCHDOG].over(item):
        return (yield)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whole conversations (tests/interop) run on both topologies."""
    if "plexus" in metafunc.fixturenames and INTEROP in metafunc.definition.path.parents:
        chosen = metafunc.config.getoption("--topology")
        topologies = ["embedded", "cluster"] if chosen == "both" else [chosen]
        metafunc.parametrize("plexus", topologies, indirect=True, scope="module")


@pytest.fixture(scope="session")
def cluster() -> Iterator[ClusterServer]:
    """The cluster of the run, started by the first who asks; every program of it runs when a test ends."""
    yield from clusters()


@pytest.fixture(scope="module")
def plexus(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PlexusServer | ClusterServer]:
    """A `plexus up` of the module's own, on an empty data folder; rate limits off, cheap password hashes. Or
    the cluster that all modules share.
    """
    if getattr(request, "param", "embedded") == "cluster":
        yield request.getfixturevalue("cluster")
        return
    with PlexusServer(tmp_path_factory.mktemp("plexus") / "data") as server:
        yield server


@pytest.fixture
def fresh_plexus(tmp_path: Path) -> Iterator[PlexusServer]:
    """A `plexus up` for one test that means to stop, kill or copy it."""
    with PlexusServer(tmp_path / "data") as server:
        yield server

"""A cluster for tests: `Cluster` with the face of `PlexusServer`, one for all modules of a run.

Server-wide state is shared, so tests make users and rooms of their own, and leave every program running.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from deploy.local.cluster import Cluster
from deploy.local.installing import need
from deploy.local.kafka import jars
from deploy.local.program import ProgramError
from tests.support.otlp import OtlpReceiver
from tests.support.server import OPEN

# Whatever a client asks to be traced is; nothing else, for it costs.
_TRACE_RATIO = "0.000001"


class ClusterServer(Cluster):
    """On a folder; `start` and `stop` may be called again and again, the ports stay the same.

    :param settings: environment variables laid over `OPEN`; others as of `Cluster`.

    ``receiver`` gets the traces of those requests whose client says so in its ``traceparent``.
    """

    def __init__(self, data: Path, settings: dict[str, str] | None = None, **options: Any) -> None:
        self.receiver = OtlpReceiver()
        traced = {
            "PLEXUS_TELEMETRY__OTLP_ENDPOINT": self.receiver.url,
            "PLEXUS_TELEMETRY__TRACE_RATIO": _TRACE_RATIO,
        }
        super().__init__(data, settings=OPEN | traced | (settings or {}), **options)

    @property
    def data(self) -> Path:
        """For ``plexus ... --data``."""
        return self.folder

    @property
    def running(self) -> bool:
        return self.gateway.running

    def tail(self, lines: int = 20) -> str:
        """The end of every log."""
        return "\n".join(f"--- {program.name}\n{program.tail(lines)}" for program in self.programs)


def clusters(**options: Any) -> Iterator[ClusterServer]:
    """A cluster until the generator is closed, with ``options`` as of `Cluster`; the test is skipped where
    none can be had.
    """
    if (lacking := what_lacks()) is not None:
        pytest.skip(f"no cluster here: {lacking}")
    folder = Path(tempfile.mkdtemp(prefix="plexus-cluster-"))
    folder.chmod(0o711)
    try:
        made = ClusterServer(folder / "data", **options)
        with made.receiver, made:
            yield made
    finally:
        if os.environ.get("PLEXUS_TEST_KEEP") != "1":
            shutil.rmtree(folder, ignore_errors=True)


@cache
def what_lacks() -> str | None:
    """What of a cluster's programs cannot be had on this machine; None if nothing."""
    try:
        need("pg_ctl", "pgbouncer", "haproxy", "redis-server")
        jars()
    except ProgramError as error:
        return str(error)
    return None

"""A room list and a timeline through matrix-js-sdk's `SlidingSync`: js/sliding.mjs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.interop.test_js_sdk import SOURCES
from tests.support import node
from tests.support.cluster import ClusterServer
from tests.support.server import PlexusServer

STEPS = ["rooms", "room list", "scroll", "timeline", "subscription", "invite", "extensions"]


@pytest.mark.timeout(400)  # the first run installs the packages
def test_sliding_sync(plexus: PlexusServer | ClusterServer, tmp_path: Path) -> None:
    packages = node.installed(SOURCES)
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    for name in ("package.json", "sliding.mjs"):
        shutil.copy(SOURCES / name, tmp_path)
    run = subprocess.run(
        [str(node.NODE), "sliding.mjs", plexus.base_url],
        cwd=tmp_path,
        env=node.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    steps = [line.removeprefix("step ") for line in run.stdout.splitlines() if line.startswith("step ")]
    assert (run.returncode, steps) == (0, STEPS), run.stdout[-4000:] + run.stderr[-8000:]

"""A whole conversation through matrix-js-sdk, a client that nobody here wrote: js/conversation.mjs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import node
from tests.support.server import PlexusServer

SOURCES = Path(__file__).parent / "js"
STEPS = [
    "register",
    "login",
    "first sync",
    "create room",
    "invite",
    "join",
    "send and receive",
    "paginate backwards",
    "redact",
    "account data",
    "profile",
    "upload and download",
    "leave",
    "log out",
]


@pytest.mark.timeout(400)  # the first run installs the packages
@pytest.mark.parametrize("room_version", ["10", "12"])
def test_conversation(plexus: PlexusServer, tmp_path: Path, room_version: str) -> None:
    packages = node.installed(SOURCES)
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    for name in ("package.json", "conversation.mjs"):
        shutil.copy(SOURCES / name, tmp_path)

    run = subprocess.run(
        [str(node.NODE), "conversation.mjs", plexus.base_url, room_version],
        cwd=tmp_path,
        env=node.environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    steps = [line.removeprefix("step ") for line in run.stdout.splitlines() if line.startswith("step ")]
    assert (run.returncode, steps) == (0, STEPS), run.stdout[-4000:] + run.stderr[-8000:]
